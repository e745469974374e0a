"""Evidence names only keys that misbehave, and is evidence by the rule that the ledger uses."""

from __future__ import annotations

from consensus import bft


class EvidenceNamesTheGuilty:
    """Knows who may be guilty."""

    def __init__(self, guilty: tuple[bytes, ...]) -> None:
        self._guilty = guilty

    def reported(self, key: bytes, report: bft.Report) -> None:
        """A node found a pair of votes."""
        assert bft.is_evidence(report.first, report.second), "evidence: the pair proves nothing"
        assert key in self._guilty, f"evidence: {key[:2].hex()} is honest"

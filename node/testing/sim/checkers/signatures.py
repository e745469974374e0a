"""No honest key ever releases two signatures that contradict each other, crashes or not."""

from __future__ import annotations

from andon.core.certificate import SignedVote, VoteKind

_CONTRADICTIONS = (
    (VoteKind.PROPOSE, VoteKind.PROPOSE),
    (VoteKind.NOTAR, VoteKind.NOTAR),
    (VoteKind.FINAL, VoteKind.FINAL),
    (VoteKind.FINAL, VoteKind.SKIP),
)


class NoDoubleSign:
    """Every signature of every honest key, by epoch and slot. Written apart from bft.evidence."""

    def __init__(self) -> None:
        self._seen: dict[tuple[bytes, int, int], dict[VoteKind, bytes]] = {}

    def signed(self, key: bytes, signed: SignedVote) -> None:
        """A signature left its process."""
        vote = signed.vote
        slot = self._seen.setdefault((key, vote.epoch, vote.slot), {})
        first = slot.setdefault(vote.kind, vote.block)
        assert first == vote.block, f"double sign: {vote.kind.name} twice in slot {vote.slot}"
        for left, right in _CONTRADICTIONS:
            assert left is right or not (left in slot and right in slot), (
                f"double sign: {left.name} and {right.name} in slot {vote.slot}"
            )

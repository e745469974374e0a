"""Properties of a run, each in a file of its own, apart from the system that they watch."""

from __future__ import annotations

import hashlib

from andon.core.block import Header, block_hash
from andon.core.certificate import SignedVote, ValidatorSet
from andon.core.wire import FinalBlock
from consensus import bft
from node.testing.sim.checkers.agreement import Agreement
from node.testing.sim.checkers.bounds import Bounds
from node.testing.sim.checkers.durability import Durability
from node.testing.sim.checkers.egress import Egress
from node.testing.sim.checkers.evidence import EvidenceNamesTheGuilty
from node.testing.sim.checkers.signatures import NoDoubleSign
from node.testing.sim.checkers.validity import check_history

__all__ = ["Checkers"]


class Checkers:
    """All checkers of one run; any of them raises AssertionError."""

    def __init__(
        self, genesis_set: ValidatorSet, guilty: tuple[bytes, ...], transactions: list[bytes]
    ) -> None:
        self._genesis_set = genesis_set
        self._transactions = transactions
        self._agreement = Agreement()
        self._durability = Durability()
        self._double_sign = NoDoubleSign()
        self._evidence = EvidenceNamesTheGuilty(guilty)
        self._bounds = Bounds()
        self.egress = Egress()
        self._digest = hashlib.sha256()

    def booted(self, instance: int, height: int) -> None:
        """A process starts with what its disk holds."""
        self._durability.booted(instance, height)

    def wiped(self, instance: int) -> None:
        """A disk was lost."""
        self._durability.wiped(instance)

    def committed(self, instance: int, headers: list[Header]) -> None:
        """Blocks became durable."""
        for header in headers:
            identity = block_hash(header)
            self._agreement.committed(header.height, identity)
            self._durability.committed(instance, header.height)
            self._digest.update(b"%d/%d/" % (instance, header.height) + identity)

    def signed(self, key: bytes, signed: SignedVote) -> None:
        """An honest key's signature left its process."""
        self._double_sign.signed(key, signed)
        vote = signed.vote
        self._digest.update(b"%d/%d/%d/" % (vote.kind, vote.epoch, vote.slot) + vote.block)

    def reported(self, key: bytes, report: bft.Report) -> None:
        """Evidence was found."""
        self._evidence.reported(key, report)

    def stepped(self, state: bft.State) -> None:
        """The core handled an event."""
        self._bounds.stepped(state)

    def finish(self, histories: list[list[FinalBlock]]) -> None:
        """Look at every node's chain as a whole."""
        for history in histories:
            check_history(history, self._transactions)

    def trace_digest(self) -> str:
        """Digest of commits and signatures in order."""
        return self._digest.hexdigest()

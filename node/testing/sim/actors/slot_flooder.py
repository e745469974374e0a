"""Floods with validly signed votes of far future slots and epochs, and of slots long past."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from andon.core.block import Block
from andon.core.certificate import Vote, VoteKind
from andon.core.hashing import ZERO_DIGEST, Domain, digest
from andon.core.wire import VoteMessage
from node.testing.sim.actors.forging import sign
from node.testing.sim.messages import SimMessage

if TYPE_CHECKING:
    from node.testing.sim.node import SimNode

FLOOD = 4


class SlotFlooder:
    """Counts up, so that each vote would open a new table."""

    def __init__(self, chain_id: str) -> None:
        self._chain_id = chain_id
        self._next = 0

    def send(
        self,
        node: SimNode,
        target: int,  # noqa: ARG002 - the port
        message: SimMessage,
        block: Block | None,
    ) -> Iterator[tuple[SimMessage, Block | None]]:
        """Add votes that must not cost the receiver memory."""
        if isinstance(message, VoteMessage):
            vote, own = message.vote.vote, message.vote.validator
            for _ in range(FLOOD):
                self._next += 1
                slot = vote.slot + 60 + self._next * 7
                block_of_nobody = digest(Domain.HEADER, b"%d" % self._next)
                for flood in (
                    Vote(VoteKind.SKIP, vote.epoch, slot, ZERO_DIGEST),
                    Vote(VoteKind.NOTAR, vote.epoch + self._next % 2, slot, block_of_nobody),
                ):
                    yield VoteMessage(sign(self._chain_id, node, flood, own)), None
        yield message, block

"""Votes Final and Skip in every slot, and Notar for whatever it saw."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from andon.core.block import Block
from andon.core.certificate import Vote, VoteKind
from andon.core.hashing import ZERO_DIGEST
from andon.core.wire import VoteMessage
from node.testing.sim.actors.forging import sign
from node.testing.sim.messages import SimMessage

if TYPE_CHECKING:
    from node.testing.sim.node import SimNode


class DoubleVoter:
    """Adds to each own vote all that contradicts it."""

    def __init__(self, chain_id: str) -> None:
        self._chain_id = chain_id

    def send(
        self, node: SimNode, target: int, message: SimMessage, block: Block | None
    ) -> Iterator[tuple[SimMessage, Block | None]]:
        """Send the vote, and its contradictions to some receivers first."""
        extra: list[Vote] = []
        if isinstance(message, VoteMessage):
            vote = message.vote.vote
            extra.append(Vote(VoteKind.SKIP, vote.epoch, vote.slot, ZERO_DIGEST))
            table = node.state.tables.get(vote.slot)
            for candidate in table.candidates if table is not None else ():
                extra.append(Vote(VoteKind.NOTAR, vote.epoch, vote.slot, candidate))
                extra.append(Vote(VoteKind.FINAL, vote.epoch, vote.slot, candidate))
        own = node.state.index
        forged = [
            VoteMessage(sign(self._chain_id, node, vote, own)) for vote in extra if own is not None
        ]
        if target % 2:
            forged.reverse()
        for item in forged:
            yield item, None
        yield message, block

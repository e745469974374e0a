"""Proposes two valid blocks in its slot, one to each half, and votes for both."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from andon.core.block import Block
from andon.core.certificate import VoteKind
from andon.core.wire import Proposal, VoteMessage
from node.testing.sim.actors.forging import sign, with_header
from node.testing.sim.messages import SimMessage

if TYPE_CHECKING:
    from node.testing.sim.node import SimNode


class Equivocator:
    """The second block differs in its time alone, so both are valid."""

    def __init__(self, chain_id: str) -> None:
        self._chain_id = chain_id
        self._second: dict[tuple[int, int], bytes] = {}

    def send(
        self, node: SimNode, target: int, message: SimMessage, block: Block | None
    ) -> Iterator[tuple[SimMessage, Block | None]]:
        """Give odd receivers the second world."""
        is_second = target % 2 == 1
        if isinstance(message, Proposal) and block is not None and not message.slot_justification:
            header = msgspec.structs.replace(message.header, time_ms=message.header.time_ms + 1)
            second = with_header(self._chain_id, node, message, header)
            vote = second.vote.vote
            self._second[vote.epoch, vote.slot] = vote.block
            if is_second:
                yield second, msgspec.structs.replace(block, header=header)
                return
        if isinstance(message, VoteMessage) and is_second:
            vote = message.vote.vote
            other = self._second.get((vote.epoch, vote.slot))
            if other is not None and vote.kind in (VoteKind.NOTAR, VoteKind.FINAL):
                changed = msgspec.structs.replace(vote, block=other)
                yield VoteMessage(sign(self._chain_id, node, changed, message.vote.validator)), None
                return
        yield message, block

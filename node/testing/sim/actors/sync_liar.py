"""Claims great heights, and gives final blocks that are changed, out of order, or missing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from andon.core.block import Block
from andon.core.wire import BlockMessage, Status
from node.testing.sim.messages import Blocks, SimMessage

if TYPE_CHECKING:
    from node.testing.sim.node import SimNode


class SyncLiar:
    """Honest in votes."""

    def send(
        self,
        node: SimNode,  # noqa: ARG002 - the port
        target: int,
        message: SimMessage,
        block: Block | None,
    ) -> Iterator[tuple[SimMessage, Block | None]]:
        """Lie where catch-up listens."""
        match message:
            case Status():
                yield msgspec.structs.replace(message, height=message.height + 1000), None
            case Blocks():
                finals = message.finals
                if target % 3 == 0:
                    yield Blocks(finals[::-1]), None
                elif target % 3 == 1:
                    first = finals[0]
                    changed = msgspec.structs.replace(first.block.header, gas_used=7)
                    body = msgspec.structs.replace(first.block, header=changed)
                    yield Blocks((msgspec.structs.replace(first, block=body), *finals[1:])), None
            case BlockMessage():
                changed = msgspec.structs.replace(message.block.header, gas_used=7)
                yield BlockMessage(msgspec.structs.replace(message.block, header=changed)), None
            case _:
                yield message, block

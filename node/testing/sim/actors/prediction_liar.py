"""A leader who claims other outputs than the model gives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from andon.core.block import Block
from andon.core.codec import encode
from andon.core.merkle import merkle_root
from andon.core.wire import Proposal
from node.testing.sim.actors.forging import with_header
from node.testing.sim.messages import SimMessage

if TYPE_CHECKING:
    from node.testing.sim.node import SimNode

Wire = Iterator[tuple[SimMessage, Block | None]]


class PredictionLiar:
    """Claims other outputs: half the time consistently with the header, else behind its back."""

    def send(self, node: SimNode, target: int, message: SimMessage, block: Block | None) -> Wire:
        """Change the outputs of own proposals."""
        if not isinstance(message, Proposal) or block is None or not block.predictions:
            yield message, block
            return
        wrong = tuple(
            msgspec.structs.replace(item, output=(item.output[0] ^ 1,))
            for item in block.predictions
        )
        if target % 2:
            yield (
                msgspec.structs.replace(message, predictions=wrong),
                msgspec.structs.replace(block, predictions=wrong),
            )
            return
        outputs = merkle_root(tuple(encode(item) for item in wrong))
        header = msgspec.structs.replace(message.header, predictions_root=outputs)
        lie = with_header(node.world.chain_id, node, message, header)
        yield (
            msgspec.structs.replace(lie, predictions=wrong),
            msgspec.structs.replace(block, predictions=wrong, header=header),
        )

"""A leader who lies about what a block does: another state root than execution gives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from andon.core.block import Block
from andon.core.hashing import Domain, digest
from andon.core.wire import Proposal
from node.testing.sim.actors.forging import with_header
from node.testing.sim.messages import SimMessage

if TYPE_CHECKING:
    from node.testing.sim.node import SimNode

Wire = Iterator[tuple[SimMessage, Block | None]]


class StateLiar:
    """Signs a header with another state root than execution gives."""

    def __init__(self, chain_id: str) -> None:
        self._chain_id = chain_id

    def send(
        self,
        node: SimNode,
        target: int,  # noqa: ARG002 - the port
        message: SimMessage,
        block: Block | None,
    ) -> Wire:
        """Change own proposals."""
        if isinstance(message, Proposal) and block is not None and not message.slot_justification:
            root = digest(Domain.STATE_NODE, message.header.state_root)
            header = msgspec.structs.replace(message.header, state_root=root)
            lie = with_header(self._chain_id, node, message, header)
            yield lie, msgspec.structs.replace(block, header=header)
        else:
            yield message, block

"""One who wants no transaction in a block: a leader who never leads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from andon.core.block import Block
from andon.core.wire import Proposal
from node.testing.sim.messages import SimMessage

if TYPE_CHECKING:
    from node.testing.sim.node import SimNode

Wire = Iterator[tuple[SimMessage, Block | None]]


class Censor:
    """Votes for everything and proposes nothing."""

    def send(
        self,
        node: SimNode,  # noqa: ARG002 - the port
        target: int,  # noqa: ARG002 - the port
        message: SimMessage,
        block: Block | None,
    ) -> Wire:
        """Drop own proposals."""
        if not isinstance(message, Proposal):
            yield message, block

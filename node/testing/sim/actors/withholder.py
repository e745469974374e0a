"""One who says nothing of weight."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from andon.core.block import Block
from andon.core.wire import CertificateMessage, Proposal, VoteMessage
from node.testing.sim.messages import SimMessage

if TYPE_CHECKING:
    from node.testing.sim.node import SimNode

Wire = Iterator[tuple[SimMessage, Block | None]]


class Withholder:
    """Takes everything in and says nothing: no votes, no certificates, no proposals."""

    def send(
        self,
        node: SimNode,  # noqa: ARG002 - the port
        target: int,  # noqa: ARG002 - the port
        message: SimMessage,
        block: Block | None,
    ) -> Wire:
        """Drop what matters."""
        if not isinstance(message, (VoteMessage, CertificateMessage, Proposal)):
            yield message, block

"""One who speaks to some only: a certificate may be known to a single validator."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import TYPE_CHECKING

from andon.core.block import Block
from andon.core.wire import CertificateMessage, Proposal, VoteMessage
from node.testing.sim.messages import SimMessage

if TYPE_CHECKING:
    from node.testing.sim.node import SimNode

Wire = Iterator[tuple[SimMessage, Block | None]]


class SelectiveSender:
    """Sends votes, certificates and proposals to one receiver only, another one each slot."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._slot = -1
        self._chosen = 0

    def send(self, node: SimNode, target: int, message: SimMessage, block: Block | None) -> Wire:
        """Let one receiver in a slot hear us: it alone may hold a certificate."""
        if node.state.slot != self._slot:
            self._slot = node.state.slot
            self._chosen = self._rng.randrange(len(node.world.nodes))
        is_weighty = isinstance(message, (VoteMessage, CertificateMessage, Proposal))
        if not is_weighty or target == self._chosen:
            yield message, block

"""Sends old votes, certificates and proposals again and again, and loses new ones."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import TYPE_CHECKING

from andon.core.block import Block
from andon.core.wire import CertificateMessage
from node.testing.sim.messages import SimMessage

if TYPE_CHECKING:
    from node.testing.sim.node import SimNode

KEPT = 64


class StaleReplayer:
    """Keeps what it sent and prefers the oldest."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._old: list[tuple[SimMessage, Block | None]] = []

    def send(
        self, node: SimNode, target: int, message: SimMessage, block: Block | None
    ) -> Iterator[tuple[SimMessage, Block | None]]:
        """Send two old things with every new one, and lose one new one in four."""
        if len(self._old) < KEPT:
            self._old.append((message, block))
        base = node.state.base.certificate
        if base is not None and target % 2:
            yield CertificateMessage(base), None
        for _ in range(2):
            yield self._rng.choice(self._old)
        if self._rng.randrange(4):
            yield message, block

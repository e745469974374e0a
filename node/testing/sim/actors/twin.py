"""Two honest processes with one key, which know nothing of each other: each votes for itself."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import TYPE_CHECKING

from andon.core.block import Block
from node.testing.sim.messages import SimMessage

if TYPE_CHECKING:
    from node.testing.sim.node import SimNode


class Twin:
    """Splits the receivers between the twins, anew in every slot."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._masks: dict[tuple[int, int], int] = {}

    def send(
        self, node: SimNode, target: int, message: SimMessage, block: Block | None
    ) -> Iterator[tuple[SimMessage, Block | None]]:
        """Let a receiver hear one of the two, or both."""
        place = (node.state.base.epoch, node.state.slot)
        mask = self._masks.get(place)
        if mask is None:
            mask = self._masks[place] = self._rng.getrandbits(2 * len(node.world.nodes))
        is_second = node.instance >= len(node.world.keys)
        heard = mask >> (2 * target) & 3
        if heard in (0, 3) or heard == 1 + is_second:
            yield message, block

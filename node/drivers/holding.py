"""Blocks that consensus leaves to the catch-up: what it asks for them waits, and is not lost (S9).

A block that consensus fetches by its hash it has to execute; the catch-up, which is on its way to
the same block, may adopt it for a fraction of that. Nothing else waits here: what is above the
catch-up's target, and what it does not bring in time, is carried out as ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from consensus import bft

LOOK_EVERY_S = 0.1
HELD_MAX = 512
"""Effects that wait; one more is carried out at once."""

Held = bft.Fetch | bft.Validate


class Holding:
    """Effects in the order in which the core asked for them. The event loop owns it."""

    def __init__(self, brings_to: Callable[[], int]) -> None:
        """`brings_to` gives the height up to which a catch-up brings blocks, 0 if none does."""
        self._brings_to = brings_to
        self._held: dict[Held, None] = {}

    def __len__(self) -> int:
        return len(self._held)

    def takes(self, effect: Held, state: bft.State) -> bool:
        """Keep an effect back; False if it is to be carried out now."""
        if not self._is_brought(effect, state, self._brings_to()):
            return False
        if effect not in self._held and len(self._held) >= HELD_MAX:
            return False
        self._held[effect] = None
        return True

    def release(self, state: bft.State) -> list[Held]:
        """Give back what the catch-up does not bring, unless the core needs it no longer."""
        target = self._brings_to()
        freed = [item for item in self._held if not self._is_brought(item, state, target)]
        for item in freed:
            del self._held[item]
        return [item for item in freed if _is_needed(item, state)]

    async def run(self, state: Callable[[], bft.State], carry_out: Callable[[Held], None]) -> None:
        """Carry out what is released, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            for effect in self.release(state()):
                carry_out(effect)

    def _is_brought(self, effect: Held, state: bft.State, target: int) -> bool:
        match effect:
            case bft.Fetch():
                # Its height is unknown, but it stands on blocks that are missing here.
                return target > 0
            case bft.Validate():
                entry = state.blocks.get(effect.block)
                return entry is not None and entry.header.height <= target


def _is_needed(effect: Held, state: bft.State) -> bool:
    match effect:
        case bft.Fetch():
            return effect.block in state.fetching
        case bft.Validate():
            return effect.block in state.blocks

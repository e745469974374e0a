"""Memory stays bounded, whatever is sent (R16, R20)."""

from __future__ import annotations

from consensus import bft
from consensus.bft.state import DEPTH_MAX
from consensus.bft.window import ENDS_SLOTS

SPARE_SLOTS = 64 + 64 + 2
"""Kept below the base, allowed above the open slot."""


class Bounds:
    """Looks at table sizes after every step."""

    def stepped(self, state: bft.State) -> None:
        """The core handled an event."""
        base, floor = state.base.slot, state.sign_floor
        is_cut = floor > base  # R20
        slots_max = SPARE_SLOTS + state.slot - max(base, floor) + is_cut * ENDS_SLOTS
        blocks_max = 2 * slots_max + is_cut * 2 * DEPTH_MAX
        assert len(state.tables) <= slots_max, f"bounds: {len(state.tables)} slot tables"
        assert len(state.blocks) <= blocks_max, f"bounds: {len(state.blocks)} blocks"

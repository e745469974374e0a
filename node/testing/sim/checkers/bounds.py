"""Memory stays bounded, whatever is sent (R16)."""

from __future__ import annotations

from consensus import bft

SPARE_SLOTS = 64 + 64 + 2
"""Kept below the base, allowed above the open slot."""


class Bounds:
    """Looks at table sizes after every step."""

    def stepped(self, state: bft.State) -> None:
        """The core handled an event."""
        slots_max = SPARE_SLOTS + state.slot - state.base.slot
        assert len(state.tables) <= slots_max, f"bounds: {len(state.tables)} slot tables"
        assert len(state.blocks) <= 2 * slots_max, f"bounds: {len(state.blocks)} blocks"

"""A stack of blocks above a state, read in one step: what a catch-up stands on.

An overlay asks its parent for what it did not write, and that one its own; a catch-up has tens of
blocks above the stored state, and most of what a block reads lies below all of them.
"""

from __future__ import annotations

from consensus.ledger.overlay import Overlay
from consensus.ledger.ports import StateReader


class FlatState:
    """Equal in content to the overlay absorbed last. One owner moves it; nobody keeps it."""

    def __init__(self, below: StateReader) -> None:
        self._below = below
        self._top = below
        self._values: dict[bytes, bytes | None] = {}
        self._nodes: dict[bytes, bytes | None] = {}

    def absorb(self, overlay: Overlay) -> None:
        """Move up to a finished block that stands on the last one."""
        self._values.update(overlay.writes)
        self._nodes.update(overlay.tree_writes)
        self._top = overlay

    def get(self, key: bytes) -> bytes | None:
        """Value at a state key."""
        try:
            return self._values[key]
        except KeyError:
            return self._below.get(key)

    def iterate(
        self, prefix: bytes, after: bytes | None, count_max: int
    ) -> list[tuple[bytes, bytes]]:
        """Entries under a prefix, ascending."""
        return self._top.iterate(prefix, after, count_max)

    def tree_node(self, path: bytes) -> bytes | None:
        """Content of a node of the state tree."""
        try:
            return self._nodes[path]
        except KeyError:
            return self._below.tree_node(path)

    def has_transaction(self, transaction_id: bytes) -> bool:
        """Tell whether one of the blocks, or one below, holds the transaction."""
        return self._top.has_transaction(transaction_id)

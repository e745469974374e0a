"""Agreement: no two nodes ever commit different blocks at one height."""

from __future__ import annotations


class Agreement:
    """Remembers the first block of every height."""

    def __init__(self) -> None:
        self._blocks: dict[int, bytes] = {}

    def committed(self, height: int, block: bytes) -> None:
        """A node committed a block."""
        first = self._blocks.setdefault(height, block)
        assert first == block, f"agreement: two blocks at height {height}"

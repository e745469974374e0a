"""Durability: what was committed is there after a crash, and heights have no gap."""

from __future__ import annotations


class Durability:
    """Remembers how far each disk is."""

    def __init__(self) -> None:
        self._heights: dict[int, int] = {}

    def booted(self, instance: int, height: int) -> None:
        """A process found this height on its disk."""
        known = self._heights.get(instance, 0)
        assert height >= known, f"durability: node {instance} lost heights {height + 1} to {known}"
        self._heights[instance] = height

    def wiped(self, instance: int) -> None:
        """Somebody took the disk away."""
        self._heights.pop(instance, None)

    def committed(self, instance: int, height: int) -> None:
        """A block became durable."""
        known = self._heights.get(instance, 0)
        assert height == known + 1, f"durability: node {instance} jumps from {known} to {height}"
        self._heights[instance] = height

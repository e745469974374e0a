"""Faulty clocks and links of a simulated world. Each has a random stream of its own."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

from node.testing.sim.options import Options

US = 1000
EPOCH_MS = 1_000_000
"""Virtual time zero on a true clock."""
JUMPS_EVERY_MS = 3_000


class Clocks:
    """What the nodes take for the time: off from the start, drifting, jumping to and fro.

    At most the weight that may be faulty has a clock that is off by more than the drift bound;
    in the second phase the jumps are undone, as an operator would.
    """

    def __init__(self, options: Options, count: int, rng: random.Random) -> None:
        self._options = options
        self._rng = rng
        self._skew_ms = [rng.randint(-options.skew_ms, options.skew_ms) for _ in range(count)]
        self._drift_ppm = [rng.randint(-options.drift_ppm, options.drift_ppm) for _ in range(count)]
        self._jump_ms = [0] * count
        if options.actor == "twin":
            self._skew_ms[-1] += 1  # so that the twins build different blocks

    def wall_ms(self, instance: int, now_us: int) -> int:
        """Clock of an instance."""
        drift_ms = now_us // US * self._drift_ppm[instance] // 1_000_000
        return (
            EPOCH_MS + now_us // US + drift_ms + self._skew_ms[instance] + self._jump_ms[instance]
        )

    def jump(self) -> None:
        """Let one clock jump; another one is right again."""
        self.settle()
        instance = self._rng.randrange(len(self._jump_ms))
        self._jump_ms[instance] = self._rng.randint(-self._options.jump_ms, self._options.jump_ms)

    def settle(self) -> None:
        """Undo all jumps."""
        self._jump_ms = [0] * len(self._jump_ms)


class Links:
    """Which instances hear each other, and how late: partitions, one-way cuts, clogs."""

    def __init__(self, options: Options, count: int, rng: random.Random) -> None:
        self._options = options
        self._count = count
        self._rng = rng
        self._blocked: dict[tuple[int, int], None] = {}
        self._clogged_until_us: dict[tuple[int, int], int] = {}

    @property
    def is_cut(self) -> bool:
        """Tell whether a partition stands."""
        return bool(self._blocked)

    def is_blocked(self, source: int, target: int) -> bool:
        """Tell whether nothing passes."""
        return (source, target) in self._blocked

    def cut(self) -> int:
        """Split the instances in two by chance; gives for how long, in ms."""
        options = self._options
        sides = [self._rng.randrange(2) for _ in range(self._count)]
        for left in range(self._count):
            for right in range(self._count):
                if sides[left] != sides[right] and not (options.is_oneway and sides[left]):
                    self._blocked[left, right] = None
        return self._rng.randrange(1, 2 * options.partition_ms)

    def cut_between(self, side_of: dict[int, int]) -> None:
        """Split the instances as told."""
        for left in range(self._count):
            for right in range(self._count):
                if side_of.get(left) != side_of.get(right):
                    self._blocked[left, right] = None

    def block(self, links: Iterable[tuple[int, int]]) -> None:
        """Let nothing pass on these links, each from a sender to a receiver."""
        self._blocked.update(dict.fromkeys(links))

    def heal(self) -> None:
        """Let everything pass."""
        self._blocked.clear()

    def wait_us(self, source: int, target: int, now_us: int, count: Callable[[str], None]) -> int:
        """How long a message waits on a clogged link."""
        options, link = self._options, (source, target)
        until_us = self._clogged_until_us.get(link, 0)
        if until_us <= now_us and self._rng.randrange(10_000) < options.clog:
            until_us = now_us + self._rng.randrange(1, 2 * options.clog_ms) * US
            self._clogged_until_us[link] = until_us
            count("clog")
        return max(0, until_us - now_us)

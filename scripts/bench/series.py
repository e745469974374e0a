"""Costs by size: a fitted exponent, what theory says, a log-log plot."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROUNDS = 5
TOLERANCE = 0.25


@dataclass(frozen=True, slots=True)
class Series:
    """Cost by size; `theory` is the exponent that the design has, and `why`."""

    name: str
    unit: str
    theory: float
    why: str
    points: tuple[tuple[int, float], ...]

    @property
    def exponent(self) -> float:
        """Least-squares slope in logarithms."""
        xs = [math.log(size) for size, _ in self.points]
        ys = [math.log(cost) for _, cost in self.points]
        mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
        over = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
        return over / sum((x - mean_x) ** 2 for x in xs)

    @property
    def is_worse(self) -> bool:
        """Tell whether growth exceeds theory."""
        return self.exponent > self.theory + TOLERANCE

    def as_json(self) -> dict[str, object]:
        """What a file keeps."""
        return {
            "name": self.name,
            "unit": self.unit,
            "exponent": self.exponent,
            "theory": self.theory,
            "why": self.why,
            "points": self.points,
        }

    @classmethod
    def from_json(cls, item: dict[str, Any]) -> Series:
        """Read it back."""
        points = tuple((int(size), float(cost)) for size, cost in item["points"])
        return cls(item["name"], item["unit"], item["theory"], item["why"], points)

    def print(self) -> None:
        """One line."""
        points = "  ".join(f"{size}: {cost:.4g}" for size, cost in self.points)
        mark = "  WORSE THAN THEORY" if self.is_worse else ""
        print(
            f"{self.name:<44} exponent {self.exponent:5.2f} (theory {self.theory:.0f}: "
            f"{self.why}){mark}\n    {self.unit}: {points}",
            flush=True,
        )


def best(run: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Least processor seconds of some runs: other work on the machine counts little."""
    times = []
    for _ in range(rounds):
        began = time.process_time()
        run()
        times.append(time.process_time() - began)
    return min(times)


def decades(first: int, last: int) -> Iterable[int]:
    """Sizes ten times apart."""
    size = first
    while size <= last:
        yield size
        size *= 10


def plot(found: list[Series], path: Path) -> None:
    """One small log-log plot a series."""
    import matplotlib as mpl  # noqa: PLC0415 - only who plots needs it

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    columns = 3
    rows = -(-len(found) // columns)
    figure, grid = plt.subplots(rows, columns, figsize=(4 * columns, 3 * rows), squeeze=False)
    for axes, series in zip([cell for row in grid for cell in row], found, strict=False):
        axes.loglog(*zip(*series.points, strict=True), marker="o")
        axes.set_title(f"{series.name}\nexponent {series.exponent:.2f}", fontsize=8)
        axes.set_ylabel(series.unit, fontsize=8)
        axes.tick_params(labelsize=7)
    for axes in [cell for row in grid for cell in row][len(found) :]:
        axes.axis("off")
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)

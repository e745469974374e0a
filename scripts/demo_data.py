"""What the demo streams: windows of several machines with their true remaining life."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.data import cmapss, degradation
from models.package import Package
from models.quantiser import quantise

PACKAGES = Path(__file__).resolve().parent.parent / "models" / "packages"
GENERATED_SEED = 20_240_611
"""No seed of training: the model has never seen these machines."""

MACHINES = 6
STEPS = 12


@dataclass(frozen=True, slots=True)
class Reading:
    """One window of one machine, ready for a transaction. `truth` is capped at 125 cycles."""

    machine: str
    cycle: int
    window: bytes
    truth: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """A package and the rounds of readings that it predicts."""

    package: Package
    title: str
    convention: str
    rounds: tuple[tuple[Reading, ...], ...]

    def readings(self) -> Iterator[Reading]:
        """All readings in order."""
        for readings in self.rounds:
            yield from readings


def generated_feed(steps: int = STEPS) -> Feed:
    """Simulated machines on their way to failure, seen at `steps` moments of their last life."""
    package = Package.load(PACKAGES / "rul-demo")
    machines = degradation.fleet(MACHINES, GENERATED_SEED)
    rounds = []
    for step in range(steps):
        readings = []
        for place, machine in enumerate(machines):
            # Staggered, so that not all machines fail at the same moment.
            share = 0.45 + 0.53 * (step + place / MACHINES) / steps
            cycle = min(machine.cycles, max(degradation.WINDOW, round(machine.cycles * share)))
            window = quantise(package.quantiser, degradation.window_at(machine, cycle)).values
            truth = float(min(machine.remaining(cycle), degradation.RUL_CAP))
            readings.append(Reading(machine.name, cycle, window.tobytes(), truth))
        rounds.append(tuple(readings))
    return Feed(
        package=package,
        title="generated run-to-failure data (models/data/degradation.py)",
        convention=f"true life capped at {degradation.RUL_CAP} cycles",
        rounds=tuple(rounds),
    )


def cmapss_feed(folder: Path, per_round: int = 10) -> Feed:
    """The last window of every C-MAPSS FD001 test engine, as the published metrics want it.

    Raises:
        InvalidInput: BAD_DATASET.
    """
    package = Package.load(PACKAGES / "turbofan-fd001")
    engines = cmapss.read_engines(folder, "FD001", "test")
    windows = cmapss.last_windows(engines)
    quantised = quantise(package.quantiser, windows.sensors, windows.settings).values
    readings = [
        Reading(
            f"engine-{int(number):03d}",
            int(cycle),
            window.tobytes(),
            float(min(rul, cmapss.RUL_CAP)),
        )
        for number, cycle, window, rul in zip(
            windows.engine, windows.cycle, quantised, windows.rul, strict=True
        )
    ]
    return Feed(
        package=package,
        title=f"NASA C-MAPSS FD001, {len(readings)} test engines",
        convention=f"remaining life capped at {cmapss.RUL_CAP} cycles in training and in the test "
        "labels; last window of each test engine",
        rounds=tuple(
            tuple(readings[start : start + per_round])
            for start in range(0, len(readings), per_round)
        ),
    )


def metrics(predicted: list[float], actual: list[float]) -> tuple[float, float]:
    """RMSE and NASA score."""
    left: NDArray[np.float64] = np.array(predicted, np.float64)
    right: NDArray[np.float64] = np.array(actual, np.float64)
    return cmapss.rmse(left, right), cmapss.nasa_score(left, right)

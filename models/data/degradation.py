"""A small physical simulator of machines that wear out, for demos and tests without real data.

Wear w grows from near 0 to failure at 1 by a mixture of steady abrasion, load-driven damage and
self-acceleration (worn parts vibrate, and vibration wears). Eight sensors follow from wear, load
and ambient temperature by simple physics plus noise: friction heats the bearing, leakage lowers
oil pressure, debris collects, efficiency falls and the motor draws more current. Everything is a
function of the seed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SENSORS = (
    "bearing_temperature",
    "vibration_rms",
    "vibration_kurtosis",
    "oil_pressure",
    "oil_debris",
    "motor_current",
    "speed",
    "efficiency",
)
UNITS = ("degC", "mm/s", "1", "bar", "ppm", "A", "rpm", "%")
WINDOW = 30
RUL_CAP = 125
LIFE_MIN = 60
LIFE_MAX = 600


@dataclass(frozen=True, slots=True)
class Machine:
    """One run to failure: `sensors: f64[cycles, 8]` and `wear: f64[cycles]`."""

    name: str
    sensors: Floats
    wear: Floats

    @property
    def cycles(self) -> int:
        """Cycles until failure."""
        return len(self.sensors)

    def remaining(self, cycle: int) -> int:
        """Cycles left after `cycle` cycles have been seen."""
        return self.cycles - cycle


def simulate(name: str, seed: int) -> Machine:
    """Run one machine to failure."""
    random = np.random.default_rng(seed)
    load = _load(random)
    wear = _wear(random, load)
    cycles = len(wear)
    ambient = 20 + 6 * np.sin(np.arange(cycles) / 24 + random.uniform(0, 6)) + random.normal(0, 1)
    return Machine(name, _sensors(random, wear, load[:cycles], ambient), wear)


def fleet(count: int, seed: int) -> list[Machine]:
    """Independent machines `machine-000` and so on."""
    return [simulate(f"machine-{i:03d}", seed * 100_003 + i) for i in range(count)]


def window_at(machine: Machine, cycle: int) -> Floats:
    """The last `WINDOW` readings after `cycle` cycles, padded in front: `f64[30, 8]`."""
    window = machine.sensors[max(0, cycle - WINDOW) : cycle]
    short = WINDOW - len(window)
    return np.concatenate([np.repeat(window[:1], short, axis=0), window]) if short else window


def training_windows(machines: list[Machine], stride: int = 2) -> tuple[Floats, Floats]:
    """All full windows, `stride` cycles apart, and their capped remaining life."""
    pairs = [
        (window_at(machine, cycle), min(machine.remaining(cycle), RUL_CAP))
        for machine in machines
        for cycle in range(WINDOW, machine.cycles + 1, stride)
    ]
    return np.stack([window for window, _ in pairs]), np.array([rul for _, rul in pairs], float)


def _load(random: np.random.Generator) -> Floats:
    level = random.uniform(0.55, 0.85)
    load = np.empty(LIFE_MAX)
    now = level
    for cycle in range(LIFE_MAX):
        now += 0.15 * (level - now) + random.normal(0, 0.03)
        load[cycle] = now
    return np.clip(load, 0.3, 1.1)


def _wear(random: np.random.Generator, load: Floats) -> Floats:
    base = random.lognormal(np.log(0.0012), 0.25)
    feedback = random.uniform(0.012, 0.022)
    now = abs(random.normal(0.01, 0.005))
    wear: list[float] = []
    for cycle in range(LIFE_MAX):
        growth = (base + feedback * now) * (0.5 + load[cycle] ** 2)
        now += growth * random.lognormal(0, 0.35)
        if now >= 1 and cycle >= LIFE_MIN:
            break
        wear.append(min(now, 0.999))
    return np.array(wear)


def _sensors(random: np.random.Generator, wear: Floats, load: Floats, ambient: Floats) -> Floats:
    cycles = len(wear)
    friction = 1 + 2.2 * wear**1.3
    speed = 1480 * (1 - 0.015 * load - 0.01 * wear)
    efficiency = 94 - 5 * wear - 18 * wear**3 - 2 * (load - 0.7) ** 2
    columns = [
        ambient + 28 * load * friction,
        1.1 * (0.6 + 0.4 * load) * (1 + 3.5 * wear**1.5),
        3.0 + 2.5 * wear + 4 * wear**4,
        4.2 - 1.1 * wear - 0.3 * (load - 0.7),
        8 + 90 * wear**1.2,
        42 * load / (efficiency / 94),
        speed,
        efficiency,
    ]
    sigma = np.array([0.8, 0.12, 0.22, 0.05, 4.0, 0.6, 2.5, 0.6])
    noise = random.normal(0, 1, (cycles, len(SENSORS))) * sigma
    return np.asarray(np.stack(columns, axis=1) + noise, np.float64)

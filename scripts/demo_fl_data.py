"""Plants with their own machines: generated run-to-failure data, or NASA C-MAPSS.

With C-MAPSS the first half of the plants owns engines of FD001 (one fault mode), the others those
of FD003 (two), so the split is not IID. The validation set that gates rounds is public: every
tenth engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.data import cmapss, degradation
from models.federated.rul import CAP, Data, Network
from models.quantiser import Quantiser, linear_quantiser, quantise
from models.recipes.turbofan import turbofan_quantiser

PLANTS = 4
MACHINES_A_PLANT = 10
TEST_MACHINES = 20
STRIDE = 3
VALIDATION_MAX = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Sites:
    """What each plant owns, what is public, and what the figures are measured on."""

    title: str
    network: Network
    quantiser: Quantiser
    plants: tuple[Data, ...]
    validation: Data
    test: Data


def generated_sites() -> Sites:
    """Simulated machines; each plant has its own, the test set are machines of nobody."""
    fleets = [degradation.fleet(MACHINES_A_PLANT, 500 + plant) for plant in range(PLANTS)]
    public = degradation.fleet(MACHINES_A_PLANT // 2, 600)
    readings, _ = degradation.training_windows(public, STRIDE)
    # Declared ranges: what the public machines show, so no plant gives its own away.
    lows, highs = np.percentile(readings, [0.1, 99.9], axis=(0, 1))
    quantiser = linear_quantiser(degradation.SENSORS, lows, highs, degradation.UNITS)

    def data(machines: list[degradation.Machine]) -> Data:
        windows, lives = degradation.training_windows(machines, STRIDE)
        return Data(quantise(quantiser, windows).values, lives.astype(np.float32))

    return Sites(
        title="generated run-to-failure data",
        network=Network(degradation.WINDOW, len(degradation.SENSORS)),
        quantiser=quantiser,
        plants=tuple(data(fleet) for fleet in fleets),
        validation=_few(data(public), VALIDATION_MAX),
        test=data(degradation.fleet(TEST_MACHINES, 700)),
    )


def cmapss_sites(folder: Path, plants: int = PLANTS) -> Sites:
    """FD001 and FD003 over an even number of plants. Raises: InvalidInput BAD_DATASET."""
    half = plants // 2
    first = cmapss.read_engines(folder, "FD001", "train")
    third = cmapss.read_engines(folder, "FD003", "train")
    public = [*first[9::10], *third[9::10]]
    quantiser = turbofan_quantiser(public)

    def data(engines: list[cmapss.Engine]) -> Data:
        found = cmapss.all_windows(engines)
        inputs = quantise(quantiser, found.sensors, found.settings).values
        return Data(inputs[::STRIDE], _capped(found.rul)[::STRIDE])

    owned = [[e for k, e in enumerate(group) if k % 10 != 9] for group in (first, third)]
    unseen = [cmapss.last_windows(cmapss.read_engines(folder, s, "test")) for s in _SUBSETS]
    test = Data(
        np.concatenate([quantise(quantiser, w.sensors, w.settings).values for w in unseen]),
        np.concatenate([_capped(w.rul) for w in unseen]),
    )
    return Sites(
        title=f"NASA C-MAPSS FD001 (plants 1 to {half}) and FD003 ({half + 1} to {plants})",
        network=Network(cmapss.WINDOW, len(cmapss.SENSORS)),
        quantiser=quantiser,
        plants=tuple(data(group[place::half]) for group in owned for place in range(half)),
        validation=_few(data(public), VALIDATION_MAX),
        test=test,
    )


_SUBSETS = ("FD001", "FD003")


def _capped(lives: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.asarray(np.minimum(lives, CAP), np.float32)


def _few(data: Data, count: int) -> Data:
    places = np.linspace(0, len(data.lives) - 1, min(count, len(data.lives))).astype(int)
    return Data(data.inputs[places], data.lives[places])

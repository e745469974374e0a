"""The packages in the repository open, conform on XLA and meet their published figures."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from models.data import cmapss, degradation
from models.package import Package
from models.quantiser import quantise
from models.runtime import Runtime

FOLDER = Path(__file__).parents[2] / "models" / "packages"
NAMES = sorted(path.name for path in FOLDER.iterdir() if path.is_dir())
DATA = Path(os.environ.get("ANDON_DATA", "../shared/data")) / "cmapss"


def test_the_two_packages_are_there() -> None:
    assert {"rul-demo", "turbofan-fd001"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_package_is_sound_small_and_conforms(name: str) -> None:
    package = Package.load(FOLDER / name)
    assert package.manifest.name == name
    assert len(package.to_blob()) < 300_000
    assert (FOLDER / name / "card.md").read_text("utf-8") == package.card
    runtime = Runtime("cpu")
    runtime.warm()
    runtime.load(package.to_blob())
    golden = runtime.predict(package.id, list(package.golden.windows))
    assert tuple(golden) == package.golden.outputs


def predict(package: Package, windows: np.ndarray) -> np.ndarray:
    runtime = Runtime("cpu")
    runtime.warm()
    runtime.load(package.to_blob())
    outputs = runtime.predict(package.id, [window.tobytes() for window in windows])
    return np.array([package.value(row[0]) for row in outputs])


@pytest.mark.skipif(not DATA.is_dir(), reason="the C-MAPSS files are not here")
def test_fd001_reaches_its_error_on_the_capped_test_set() -> None:
    package = Package.load(FOLDER / "turbofan-fd001")
    last = cmapss.last_windows(cmapss.read_engines(DATA, "FD001", "test"))
    found = predict(package, quantise(package.quantiser, last.sensors, last.settings).values)
    truth = np.minimum(last.rul, cmapss.RUL_CAP)
    assert len(truth) == 100
    assert cmapss.rmse(found, truth) <= 13.5


def test_the_demo_model_tells_new_machines_from_worn_ones() -> None:
    package = Package.load(FOLDER / "rul-demo")
    machines = degradation.fleet(20, seed=4242)
    worn = np.stack([degradation.window_at(m, m.cycles - 3) for m in machines])
    fresh = np.stack([degradation.window_at(m, 30) for m in machines])
    late = predict(package, quantise(package.quantiser, worn).values)
    early = predict(package, quantise(package.quantiser, fresh).values)
    assert np.median(late) < 15
    assert np.median(early) > 60

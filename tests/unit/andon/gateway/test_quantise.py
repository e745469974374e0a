"""The gateway's quantiser gives the bytes of the package's own."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from andon.core.errors import InvalidInput
from andon.gateway.quantise import Quantiser, read_quantiser
from models.package import Package
from models.quantiser import Quantiser as PackageQuantiser
from models.quantiser import edge_quantiser, linear_quantiser, linear_regime, quantise
from node.checkout import CHECKOUT

PACKAGES = CHECKOUT / "models" / "packages"


def own(found: PackageQuantiser, rows: int) -> Quantiser:
    return Quantiser(
        model_id=bytes(32),
        channels=found.channels,
        units=found.units,
        settings=found.settings,
        rows=rows,
        centres=tuple(tuple(map(float, regime.centre)) for regime in found.regimes),
        scales=tuple(
            tuple(zip(map(float, regime.offsets), map(float, regime.rates), strict=True))
            for regime in found.regimes
        ),
        edges=tuple(tuple(map(float, edges)) for edges in found.edges),
        missing=found.missing,
    )


def as_row(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]


@pytest.mark.parametrize("name", ["rul-demo", "turbofan-fd001"])
def test_a_shipped_package_quantises_as_in_the_models_room(name: str) -> None:
    blob = (PACKAGES / name / "package.blob").read_bytes()
    found, package = read_quantiser(blob), Package.from_blob(blob)
    assert found.model_id == package.id
    assert found.channels == package.quantiser.channels
    regime = package.quantiser.regimes[0]
    middle = np.array(regime.offsets, np.float64)
    spread = 127 / np.array(regime.rates, np.float64)
    random = np.random.default_rng(5)
    readings = middle + spread * random.normal(0, 0.8, (found.rows, len(middle)))
    readings[3, 1] = np.nan
    settings = np.zeros((found.rows, len(found.settings)))
    expected = quantise(package.quantiser, readings, settings).values.tobytes()
    rows = [as_row(np.concatenate(pair)) for pair in zip(readings, settings, strict=True)]
    assert found.window(rows) == expected


@given(st.data())
def test_every_reading_gets_the_same_level(data: st.DataObject) -> None:
    number = st.floats(-1e12, 1e12, allow_nan=False) | st.sampled_from([0.5, -0.5, 1e300, -1e300])
    span = st.just(0.0) | st.floats(1e-6, 1e6)
    lows = np.array(data.draw(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3)))
    highs = lows + np.array(data.draw(st.lists(span, min_size=3, max_size=3)))
    quantiser = linear_quantiser(("a", "b", "c"), lows, highs)
    readings = np.array(data.draw(st.lists(number, min_size=3, max_size=3)))
    with np.errstate(over="ignore", invalid="ignore"):
        expected = quantise(quantiser, readings[np.newaxis]).values.tobytes()
    assert own(quantiser, 1).window([as_row(readings)]) == expected


@given(st.lists(st.floats(-50, 50) | st.just(float("nan")), min_size=2, max_size=2))
def test_edges_and_missing_readings_agree(reading: list[float]) -> None:
    samples = np.random.default_rng(3).normal(0, 10, (500, 2))
    quantiser = edge_quantiser(("a", "b"), samples)
    values = np.array(reading)
    expected = quantise(quantiser, values[np.newaxis]).values.tobytes()
    assert own(quantiser, 1).window([as_row(values)]) == expected


@given(st.lists(st.floats(-5, 45), min_size=3, max_size=3), st.floats(-10, 10))
def test_the_regime_is_chosen_alike(settings: list[float], reading: float) -> None:
    low, high = np.array([-5.0]), np.array([5.0])
    regimes = tuple(
        linear_regime(tuple(f"{c:.9g}" for c in centre), low * (i + 1), high * (i + 2))
        for i, centre in enumerate([(0, 0, 100), (10, 0.25, 100), (20, 0.7, 100), (42, 0.84, 60)])
    )
    quantiser = PackageQuantiser(("a",), ("",), ("x", "y", "z"), regimes, (), 0)
    expected = quantise(quantiser, np.array([[reading]]), np.array([settings])).values.tobytes()
    assert own(quantiser, 1).window([[reading, *settings]]) == expected


def test_a_package_that_was_changed_is_refused(tmp_path: Path) -> None:
    blob = bytearray((PACKAGES / "rul-demo" / "package.blob").read_bytes())
    place = bytes(blob).rindex(b"bearing_temperature")
    blob[place] = ord("B")
    with pytest.raises(InvalidInput, match="DIGEST_MISMATCH"):
        read_quantiser(bytes(blob))

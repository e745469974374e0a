"""Readings to int8: rounding, clipping, regimes, edges, and what is missing."""

from __future__ import annotations

import numpy as np
import pytest

from andon.core.codec import decode, encode
from andon.core.errors import Code, InvalidInput
from models.quantiser import (
    Quantiser,
    Regime,
    edge_quantiser,
    linear_quantiser,
    quantise,
    validate_quantiser,
)

UNIT = linear_quantiser(("a", "b"), np.array([0.0, -127.0]), np.array([254.0, 127.0]))


def test_the_calibrated_range_covers_all_of_int8() -> None:
    found = quantise(UNIT, np.array([[0.0, -127.0], [254.0, 127.0], [127.0, 0.4]]))
    assert found.values.tolist() == [[-127, -127], [127, 127], [0, 0]]
    assert found.values.dtype == np.int8
    assert found.clipped_share == 0.0


def test_readings_outside_are_clipped_and_counted() -> None:
    found = quantise(UNIT, np.array([[1e9, -1e9], [127.0, 0.0]]))
    assert found.values.tolist() == [[127, -127], [0, 0]]
    assert found.clipped_share == 0.5


def test_a_missing_reading_becomes_the_declared_value() -> None:
    assert quantise(UNIT, np.array([np.nan, 5.0])).values.tolist() == [0, 5]


def test_each_reading_uses_the_regime_nearest_to_its_settings() -> None:
    regimes = (Regime(("0",), ("0",), ("1",)), Regime(("10",), ("50",), ("2",)))
    quantiser = Quantiser(("x",), ("",), ("load",), regimes, (), 0)
    validate_quantiser(quantiser)
    found = quantise(quantiser, np.array([[60.0], [60.0]]), np.array([[1.0], [9.0]]))
    assert found.values.tolist() == [[60], [20]]


def test_settings_must_come_with_several_regimes() -> None:
    regimes = (Regime(("0",), ("0",), ("1",)), Regime(("10",), ("50",), ("2",)))
    quantiser = Quantiser(("x",), ("",), ("load",), regimes, (), 0)
    with pytest.raises(InvalidInput) as caught:
        quantise(quantiser, np.array([[60.0]]))
    assert caught.value.code is Code.BAD_MODEL_INPUT
    assert "load" in caught.value.hint


def test_edges_keep_the_order_of_values_and_single_out_the_missing() -> None:
    samples = np.random.default_rng(0).lognormal(size=(5000, 1))
    quantiser = edge_quantiser(("x",), samples)
    validate_quantiser(quantiser)
    ordered = quantise(quantiser, np.sort(samples, axis=0)).values[:, 0]
    assert (np.diff(ordered.astype(int)) >= 0).all()
    assert len(np.unique(ordered)) > 190  # half the edges are even, and a tail is thin
    assert ordered.min() > -127
    assert quantise(quantiser, np.array([[np.nan]])).values.tolist() == [[-127]]


def test_few_distinct_values_each_get_their_own_bin() -> None:
    quantiser = edge_quantiser(("x",), np.array([[0.0], [1.0], [2.0], [1.0]]))
    found = quantise(quantiser, np.array([[0.0], [1.0], [2.0]])).values[:, 0]
    assert len(set(found.tolist())) == 3


def test_a_quantiser_survives_its_bytes_and_gives_the_same_int8() -> None:
    samples = np.random.default_rng(1).normal(size=(300, 2))
    quantiser = edge_quantiser(("x", "y"), samples)
    again = decode(Quantiser, encode(quantiser))
    np.testing.assert_array_equal(
        quantise(again, samples).values, quantise(quantiser, samples).values
    )


@pytest.mark.parametrize(
    "bad",
    [
        Quantiser(("x",), ("",), (), (Regime((), ("0",), ("abc",)),), (), 0),
        Quantiser(("x",), ("",), (), (Regime((), ("0",), ("inf",)),), (), 0),
        Quantiser(("x",), ("",), (), (), (), 0),
        Quantiser(("x",), ("",), (), (Regime((), ("0",), ("1",)),), (("2", "1"),), 0),
        Quantiser(("x",), ("",), (), (Regime((), ("0",), ("1",)),), (), -128),
        Quantiser(("x",), ("",), (), (Regime((), (), ()),), (), 0),
    ],
)
def test_ill_formed_quantisers_are_refused(bad: Quantiser) -> None:
    with pytest.raises(InvalidInput) as caught:
        validate_quantiser(bad)
    assert caught.value.code is Code.BAD_MODEL_PACKAGE


def test_readings_of_another_width_are_refused_with_the_channel_names() -> None:
    with pytest.raises(InvalidInput) as caught:
        quantise(UNIT, np.zeros((4, 3)))
    assert "a, b" in caught.value.hint

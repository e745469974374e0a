"""Croston, SBA and TSB by hand and by theorem; a store room of three months by hand."""

from __future__ import annotations

import numpy as np
import pytest

from models.recipes.intermittent import croston, sba, stock_of, tsb

SERIES = np.array([[0.0, 0, 4, 0, 0, 2, 0, 6]])


def test_sizes_intervals_and_probabilities_are_smoothed_as_by_hand() -> None:
    # Sizes 4, 3, 4.5; intervals 3, 3, 2.5; probabilities 0, 0, 1/2, 1/4, 1/8, 9/16, 9/32, 41/64.
    assert croston(SERIES, 0.5).tolist() == [4.5 / 2.5]
    assert sba(SERIES, 0.5).tolist() == [0.75 * 4.5 / 2.5]
    assert tsb(SERIES, 0.5, 0.5).tolist() == [4.5 * 41 / 64]


def test_a_demand_at_equal_times_is_forecast_exactly_by_croston() -> None:
    series = np.tile([0.0, 0, 6], 8)[np.newaxis]
    assert croston(series, 0.1).tolist() == [2.0]


def test_a_part_that_nobody_asks_for_any_more_fades_with_tsb_alone() -> None:
    series = np.array([[3.0, 3, 3, *[0] * 20]])
    assert croston(series, 0.1).tolist() == [3.0]
    assert tsb(series, 0.1, 0.1)[0] == pytest.approx(3 * 0.9**20)


def test_nothing_is_forecast_where_nothing_was_asked() -> None:
    nothing = np.zeros((2, 6))
    for method in (croston(nothing, 0.1), sba(nothing, 0.1), tsb(nothing, 0.1, 0.1)):
        assert method.tolist() == [0.0, 0.0]


def test_crostons_bias_is_the_published_one() -> None:
    """Syntetos and Boylan (2001): size 1, a demand every 10 months by chance, alpha 1.

    The forecast after a demand is then 1 / interval, whose mean is ln(10) / 9 = 0.2558, not 0.1.
    """
    draws = np.random.default_rng(0).random((40_000, 200)) < 0.1
    draws[:, -1] = True
    found = croston(draws.astype(float), 1.0).mean()
    assert found == pytest.approx(np.log(10) / 9, rel=0.01)


def test_a_store_room_of_three_months() -> None:
    # No error in the past: up to 2 months of 4 = 8. Demand 6, 6, 0; orders come a month later.
    stock = stock_of(np.array([4.0]), np.full((1, 5), 4.0), np.array([[6.0, 6.0, 0.0]]))
    # Month 1: 6 of 8, 2 left, order 6. Month 2: 6 of 8, 2 left, order 6. Month 3: 8 left.
    assert (stock.fill_rate, stock.short, stock.mean) == (1.0, 0.0, 4.0)
    stock = stock_of(np.array([2.0]), np.full((1, 5), 2.0), np.array([[6.0, 6.0, 0.0]]))
    # Up to 4: 4 of 6, owes 2, order 6. Then 4 of 6, owes 2, order 6. Then 4 left.
    assert stock.fill_rate == pytest.approx(8 / 12)
    assert stock.short == pytest.approx(2 / 3)
    assert stock.mean == pytest.approx(4 / 3)

"""Lag by histogram, and memory's slope."""

import math

import pytest

from scripts.bench.bench_soak import slope_per_hour
from scripts.bench.usage import Usage


def test_lag_is_the_bound_below_which_the_share_lies() -> None:
    usage = Usage(lag_count={0.001: 90.0, 0.005: 98.0, 0.05: 100.0, math.inf: 100.0})
    assert usage.lag_ms(0.5) == 1
    assert usage.lag_ms(0.99) == 50
    before = Usage(lag_count={0.001: 90.0, 0.005: 90.0, 0.05: 90.0, math.inf: 90.0})
    assert usage.since(before).lag_ms(0.5) == 5
    assert math.isnan(Usage().lag_ms(0.5))


def test_the_slope_is_that_of_the_second_half() -> None:
    samples = [(float(at), {"node-1 node": 1000 if at >= 5 else 100 * at}) for at in range(10)]
    assert slope_per_hour(samples, "node-1 node") == 0
    growing = [(float(at), {"node-1 node": 2 * at}) for at in range(10)]
    assert slope_per_hour(growing, "node-1 node") == pytest.approx(7200)

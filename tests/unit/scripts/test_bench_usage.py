"""Lag by histogram."""

import math

from scripts.bench.usage import Usage


def test_lag_is_the_bound_below_which_the_share_lies() -> None:
    usage = Usage(lag_count={0.001: 90.0, 0.005: 98.0, 0.05: 100.0, math.inf: 100.0})
    assert usage.lag_ms(0.5) == 1
    assert usage.lag_ms(0.99) == 50
    before = Usage(lag_count={0.001: 90.0, 0.005: 90.0, 0.05: 90.0, math.inf: 90.0})
    assert usage.since(before).lag_ms(0.5) == 5
    assert math.isnan(Usage().lag_ms(0.5))

"""Forecasts of a line that drifts: recent levels and a booster of the recent past, mixed.

Over hours a line moves to levels that it never had before, and a model of everything that was
learns the wrong ones. Three forecasts of one output are weighed in tenths: the median of its last
`LEVEL_MIN` minutes (two spans), and boosted trees of the last `BOOSTER_MIN` minutes. The weights
are those with the least error over folds that roll through the training part: each fits on what
lies before it alone. Spans and folds were set before any weights were.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

Inputs = NDArray[np.int64]
Floats = NDArray[np.float64]
LEVEL_MIN = (10, 30)
BOOSTER_MIN = 60
FOLD_STARTS_MIN = (100, 60, 40)
"""Minutes before the end of the training part at which a fold begins."""
FOLD_MIN = 40
TENTHS = 10
RATIO_MAX = 3.0
"""Of an error over the naive one in a fold: one wild fold must not decide alone."""
NAIVE_SHARE_MIN = 0.02
"""The naive error counts as at least this share of the spread: some outputs hardly move."""

# Fewest trees first: what is as good without them does without.
_SHARES = sorted(
    (shares for shares in product(range(TENTHS + 1), repeat=3) if sum(shares) == TENTHS),
    key=lambda shares: (shares[2], shares[0]),
)


@dataclass(frozen=True, slots=True)
class Mix:
    """One output's forecast: `level + booster * trees / TENTHS`; no booster where it weighs 0."""

    shares: tuple[int, int, int]
    level: float
    trees: int
    booster: BaseEstimator | None

    def forecast(self, inputs: Inputs) -> Floats:
        """In the output's unit: `i64[n, channels] -> f64[n]`."""
        found = np.full(len(inputs), self.level)
        if self.booster is not None:
            found += self.booster.predict(inputs) * self.trees / TENTHS
        return found


def fit_mix(
    inputs: Inputs, target: Floats, minutes: Floats, make: Callable[[], BaseEstimator]
) -> Mix:
    """Weigh by the folds, then fit on the end of it all.

    Shapes: `i64[n, channels]`, `f64[n]`, `f64[n]` ascending.
    """
    shares = choose_shares(inputs, target, minutes, make)
    levels = _levels(target, minutes)
    booster = _booster(inputs, target, minutes, make) if shares[2] else None
    level = (shares[0] * levels[0] + shares[1] * levels[1]) / TENTHS
    if booster is None and shares[2]:
        # The output stood still: its trees would be that one value.
        level += shares[2] * target[-1] / TENTHS
    return Mix(shares, level, shares[2], booster)


def choose_shares(
    inputs: Inputs, target: Floats, minutes: Floats, make: Callable[[], BaseEstimator]
) -> tuple[int, int, int]:
    """The tenths of both levels and of the booster with the least mean error over the folds."""
    end = minutes[-1] + 1
    totals = np.zeros(len(_SHARES))
    for ago in FOLD_STARTS_MIN:
        known = minutes < end - ago
        asked = (minutes >= end - ago) & (minutes < end - ago + FOLD_MIN)
        past, when, truth = target[known], minutes[known], target[asked]
        levels = _levels(past, when)
        booster = _booster(inputs[known], past, when, make)
        trees = np.full(len(truth), past[-1]) if booster is None else booster.predict(inputs[asked])
        naive = np.abs(np.median(past) - truth).mean()
        naive = max(float(naive), NAIVE_SHARE_MIN * float(past.std()), 1e-9)
        for place, shares in enumerate(_SHARES):
            mixed = (shares[0] * levels[0] + shares[1] * levels[1] + shares[2] * trees) / TENTHS
            totals[place] += min(RATIO_MAX, float(np.abs(mixed - truth).mean()) / naive)
    best = _SHARES[int(np.argmin(np.round(totals, 9)))]
    return best[0], best[1], best[2]


def recent_median(target: Floats, minutes: Floats, span_min: float) -> float:
    """The median of the last `span_min` minutes."""
    return float(np.median(target[minutes > minutes[-1] - span_min]))


def _levels(target: Floats, minutes: Floats) -> tuple[float, float]:
    short, long = LEVEL_MIN
    return recent_median(target, minutes, short), recent_median(target, minutes, long)


def _booster(
    inputs: Inputs, target: Floats, minutes: Floats, make: Callable[[], BaseEstimator]
) -> BaseEstimator | None:
    """Trees of the last minutes; None where the output did not move in them."""
    recent = minutes > minutes[-1] - BOOSTER_MIN
    if np.ptp(target[recent]) == 0:
        return None
    return make().fit(inputs[recent], target[recent])

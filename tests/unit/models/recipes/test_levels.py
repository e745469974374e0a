"""Mixes of recent levels and trees: weighed on what came before, and the same as integers."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingRegressor

from models import graph as g
from models.convert.assemble import Assembly
from models.interpreter import interpret
from models.recipes.levels import FOLD_STARTS_MIN, TENTHS, Mix, fit_mix, recent_median
from models.recipes.line import STEPS, append_mix

RANDOM = np.random.default_rng(3)
MINUTES = np.repeat(np.arange(180.0), 5)
# The first channel is the minute, so that a model could tell what it was fitted on.
INPUTS = np.column_stack([MINUTES - 90, RANDOM.integers(-127, 128, (len(MINUTES), 2))]).astype(
    np.int64
)
NOISE = RANDOM.normal(0, 0.1, len(MINUTES))


def booster() -> BaseEstimator:
    return HistGradientBoostingRegressor(max_iter=20, learning_rate=0.3, random_state=0)


class Constant:
    """Notes what it was fitted on, and answers zero."""

    fitted: list[NDArray[np.int64]]

    def __init__(self, fitted: list[NDArray[np.int64]]) -> None:
        self.fitted = fitted

    def fit(self, inputs: NDArray[np.int64], target: NDArray[np.float64]) -> Constant:
        self.fitted.append(inputs)
        return self

    def predict(self, inputs: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.zeros(len(inputs))


def test_an_output_that_moved_to_a_new_level_is_forecast_by_the_recent_one() -> None:
    target = np.where(MINUTES < 70, 20.0, 5.0) + NOISE
    mix = fit_mix(INPUTS, target, MINUTES, booster)
    assert mix.trees == mix.shares[2] <= 2
    assert np.abs(mix.forecast(INPUTS) - 5).max() < 1


def test_an_output_that_follows_the_inputs_is_forecast_by_trees() -> None:
    target = INPUTS[:, 1] / 10 + NOISE
    mix = fit_mix(INPUTS, target, MINUTES, booster)
    assert mix.trees >= TENTHS - 2
    assert np.abs(mix.forecast(INPUTS) - target).mean() < 1


def test_an_output_that_stands_still_needs_no_trees() -> None:
    target = np.where(MINUTES < 30, 1.0, 0.0)
    assert fit_mix(INPUTS, target, MINUTES, booster) == Mix((0, TENTHS, 0), 0.0, 0, None)


def test_each_fold_is_fitted_on_what_lies_before_it() -> None:
    fitted: list[NDArray[np.int64]] = []
    fit_mix(INPUTS, NOISE, MINUTES, lambda: Constant(fitted))
    ends = [int(inputs[:, 0].max()) + 90 for inputs in fitted[: len(FOLD_STARTS_MIN)]]
    assert ends == [180 - ago - 1 for ago in FOLD_STARTS_MIN]


def test_a_recent_median_is_of_the_last_minutes() -> None:
    assert recent_median(MINUTES, MINUTES, 10) == 174.5
    assert recent_median(MINUTES, MINUTES, 1000) == 89.5


@pytest.mark.parametrize("trees", [0, 3])
def test_the_integers_of_a_mix_are_its_floats_but_for_rounding(trees: int) -> None:
    fitted = booster().fit(INPUTS, INPUTS[:, 1] / 10 + NOISE) if trees else None
    mix = Mix((TENTHS - trees, 0, trees), 12.5, trees, fitted)
    assembly = Assembly((3,))
    assembly.push(g.Concat((append_mix(assembly, mix), append_mix(assembly, mix)), 0))
    found = interpret(assembly.graph(), assembly.tensors, INPUTS.astype(np.int8)) / STEPS
    assert found.shape == (len(INPUTS), 2)
    # Each of 20 trees is rounded.
    assert np.abs(found - mix.forecast(INPUTS)[:, np.newaxis]).max() <= 21 / STEPS

"""Fitted scikit-learn estimators through `certify`: integers that say what they predict."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor, Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.tree import DecisionTreeClassifier

from andon.core.errors import Code, InvalidInput
from models.compile import compile_package
from models.convert import Options, certify, convert
from models.interpreter import interpret
from models.package import Description, Package
from models.quantiser import linear_quantiser

RANDOM = np.random.default_rng(3)
SAMPLES = RANDOM.integers(-127, 128, (300, 4)).astype(np.int8)
FLOATS = SAMPLES / 127
TARGETS = 20 * FLOATS[:, 0] - 8 * np.abs(FLOATS[:, 1]) + RANDOM.normal(0, 0.5, 300)
TWO = (TARGETS > 0).astype(int)
THREE = np.digitize(TARGETS, [-8, 4])
STEPS = 4096
QUANTISER = linear_quantiser(("a", "b", "c", "d"), np.full(4, -1.0), np.full(4, 1.0))


def certified(model: BaseEstimator, samples: np.ndarray = SAMPLES) -> Package:
    about = Description(name="own", version="1", task="regress", scale_num=1, scale_den=1)
    return certify(model, samples, QUANTISER, about, Options(steps_per_unit=STEPS))


def said(package: Package, samples: np.ndarray = SAMPLES) -> np.ndarray:
    """What XLA says, which has to be what the interpreter says."""
    found = compile_package(package)(samples)
    np.testing.assert_array_equal(found, interpret(package.graph, package.weights, samples))
    return np.asarray(found / STEPS)


@pytest.mark.parametrize(
    ("model", "error"),
    [
        (LinearRegression(), 0.2),
        (Ridge(alpha=0.1), 0.2),
        # Trees decide as they were fitted: what is left is the rounding of each leaf.
        (RandomForestRegressor(15, random_state=0), 16 / 2 / STEPS),
        (HistGradientBoostingRegressor(max_iter=30, random_state=0), 31 / 2 / STEPS),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_regressor_says_what_it_predicts(model: BaseEstimator, error: float) -> None:
    model.fit(FLOATS, TARGETS)
    found = said(certified(model))[:, 0]
    assert np.abs(found - model.predict(FLOATS)).max() <= error + 1e-6


@pytest.mark.parametrize("labels", [TWO, THREE], ids=["two", "three"])
@pytest.mark.parametrize(
    "model",
    [
        LogisticRegression(),
        RandomForestClassifier(12, random_state=0),
        HistGradientBoostingClassifier(max_iter=15, random_state=0),
        GradientBoostingClassifier(n_estimators=15, random_state=0),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_classifier_says_its_probabilities(model: BaseEstimator, labels: np.ndarray) -> None:
    model.fit(FLOATS, labels)
    found = said(certified(model))
    wanted = model.predict_proba(FLOATS)
    if len(model.classes_) == 2:
        wanted = wanted[:, 1:]
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() < 0.02


def test_windows_are_read_row_after_row() -> None:
    windows = SAMPLES.reshape(150, 2, 4)
    model = RandomForestRegressor(5, random_state=0)
    model.fit(windows.reshape(150, 8) / 127, TARGETS[:150])
    package = certified(model, windows)
    assert package.manifest.input_shape == (2, 4)
    wanted = model.predict(windows.reshape(150, 8) / 127)
    assert np.abs(said(package, windows)[:, 0] - wanted).max() <= 6 / 2 / STEPS + 1e-6


def test_an_estimator_fitted_on_the_integers_takes_a_scale_of_one() -> None:
    model = RandomForestRegressor(5, random_state=0).fit(SAMPLES, TARGETS)
    found = convert(model, SAMPLES, Options(input_scale=1.0, steps_per_unit=STEPS, low=-5, high=5))
    exact = interpret(found.graph, found.tensors, SAMPLES)[:, 0] / STEPS
    wanted = np.clip(model.predict(SAMPLES), -5, 5)
    assert np.abs(exact - wanted).max() <= 6 / 2 / STEPS + 1e-6


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (KNeighborsRegressor().fit(FLOATS, TARGETS), "KNeighborsRegressor has no integer"),
        (PoissonRegressor().fit(FLOATS, np.abs(TARGETS)), "PoissonRegressor has no integer"),
        (Ridge(), "is not fitted"),
        (Ridge().fit(FLOATS[:, :3], TARGETS), "takes 3 inputs, samples have 4"),
        (DecisionTreeClassifier().fit(FLOATS, np.stack([TWO, THREE], 1)), "of several labels"),
        (
            HistGradientBoostingRegressor(loss="gamma", max_iter=2).fit(FLOATS, np.abs(TARGETS)),
            "another link",
        ),
        (np.asarray, "does not trace"),
        ("ridge", "str is no model"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else value[:16],
)
def test_others_are_refused_by_name(model: BaseEstimator, why: str) -> None:
    with pytest.raises(InvalidInput, match=why) as caught:
        certified(model)
    assert caught.value.code is Code.NOT_CERTIFIED

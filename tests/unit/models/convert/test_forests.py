"""Forests of scikit-learn become integers that decide exactly as the fitted trees do."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import (
    AdaBoostRegressor,
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingRegressor,
)
from sklearn.tree import DecisionTreeRegressor

from andon.core.errors import Code, InvalidInput
from models.certificate import certify_graph
from models.compile import evaluate_graph
from models.convert.assemble import Assembly
from models.convert.forests import forest_of

RANDOM = np.random.default_rng(0)
INPUTS = RANDOM.integers(-127, 128, (400, 5)).astype(np.int8)
TARGETS = INPUTS[:, 0] * 0.3 + np.abs(INPUTS[:, 1]) + RANDOM.normal(0, 3, 400)
STEPS = 4096
HIST = HistGradientBoostingRegressor(max_iter=30, random_state=0)


@pytest.mark.parametrize(
    "model",
    [
        HIST,
        RandomForestRegressor(12, random_state=0),
        ExtraTreesRegressor(12, random_state=0),
        DecisionTreeRegressor(random_state=0),
        GradientBoostingRegressor(n_estimators=20, random_state=0),
        VotingRegressor([("a", HIST), ("b", RandomForestRegressor(5, random_state=1))]),
        VotingRegressor(
            [("a", HIST), ("b", RandomForestRegressor(5, random_state=1))], weights=[3, 1]
        ),
    ],
    ids=lambda model: type(model).__name__,
)
def test_regression_differs_by_leaf_rounding_only(model: RandomForestRegressor) -> None:
    model.fit(INPUTS.astype(np.int64), TARGETS)
    assembly = Assembly((5,))
    value = assembly.forest(model, 0, STEPS)
    whole = assembly.values(INPUTS, value)[:, 0]
    trees = len(forest_of(model).trees) + 1
    error = np.abs(whole / STEPS - model.predict(INPUTS.astype(np.int64)))
    assert error.max() <= trees / 2 / STEPS + 1e-6


def test_class_shares_and_log_odds_are_those_of_the_model() -> None:
    labels = (TARGETS > 60).astype(int)
    forest = RandomForestClassifier(10, random_state=0).fit(INPUTS, labels)
    assembly = Assembly((5,))
    shares = assembly.values(INPUTS, assembly.forest(forest, 0, STEPS)) / STEPS
    assert np.abs(shares - forest.predict_proba(INPUTS)).max() < 12 / STEPS
    boosted = HistGradientBoostingClassifier(max_iter=20, random_state=0)
    boosted.fit(INPUTS.astype(np.int64), labels)
    odds = assembly.forest(boosted, 0, 256.0)
    probability = assembly.values(INPUTS, assembly.sigmoid(odds, 256.0, 16384))[:, 0] / 16384
    expected = boosted.predict_proba(INPUTS.astype(np.int64))[:, 1]
    assert np.abs(probability - expected).max() < 0.03


def test_xla_walks_the_same_trees() -> None:
    HIST.fit(INPUTS.astype(np.int64), TARGETS)
    assembly = Assembly((5,))
    value = assembly.forest(HIST, 0, 256)
    certificate = certify_graph(assembly.graph(), assembly.tensors)
    found = evaluate_graph(assembly.graph(), assembly.tensors, certificate, INPUTS)
    np.testing.assert_array_equal(found, assembly.values(INPUTS, value))


def test_weighted_sums_round_once() -> None:
    assembly = Assembly((4,))
    value = assembly.weighted([0, 0], [0.25, 0.5])
    windows = np.array([[4, -4, 127, -127]], np.int8)
    assert assembly.values(windows, value).tolist() == [[3, -3, 95, -95]]


def test_other_estimators_are_refused_by_name() -> None:
    model = AdaBoostRegressor(n_estimators=2, random_state=0).fit(INPUTS, TARGETS)
    with pytest.raises(InvalidInput) as caught:
        forest_of(model)
    assert caught.value.code is Code.NOT_CERTIFIED
    assert "AdaBoostRegressor" in str(caught.value)


def test_a_loss_with_another_link_is_refused() -> None:
    model = HistGradientBoostingRegressor(loss="poisson", max_iter=2)
    model.fit(INPUTS.astype(np.int64), np.abs(TARGETS))
    with pytest.raises(InvalidInput, match="another link"):
        forest_of(model)

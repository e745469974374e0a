"""Learners and the super learner: integer parts, honest weights, whole groups in a fold."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestRegressor

from models.certificate import certify_graph
from models.interpreter import interpret
from models.recipes.learners import Goal, LinearLearner, TreeLearner, predict
from models.recipes.scores import best_threshold, detection, regression
from models.recipes.super_learner import convex_weights, group_folds, super_learner

RANDOM = np.random.default_rng(0)
INPUTS = RANDOM.integers(-127, 128, (300, 4)).astype(np.int8)
LINEAR = INPUTS[:, 0] * 0.5 - INPUTS[:, 1] * 0.25
GOAL = Goal(low=-200, high=200, scale=50.0)


def small_forest(seed: int) -> BaseEstimator:
    return RandomForestRegressor(8, min_samples_leaf=5, random_state=seed)


def small_booster(seed: int) -> BaseEstimator:
    return HistGradientBoostingClassifier(max_iter=15, random_state=seed)


def test_a_linear_part_is_close_to_its_target_in_the_goals_unit() -> None:
    part = LinearLearner().fit(INPUTS, LINEAR, GOAL, seed=0)
    assert np.abs(predict(part, INPUTS, GOAL) - LINEAR).max() < 3
    assert part.floats is not None
    # Ridge alone is off by less than its rounded form.
    assert np.abs(part.floats(INPUTS)[:, 0] - LINEAR).max() < 1


def test_a_classifying_part_gives_probabilities() -> None:
    goal = Goal(kind="classify", low=0.0, high=1.0)
    labels = (LINEAR > 10).astype(float)
    part = TreeLearner("boosted", small_booster, is_log_odds=True).fit(INPUTS, labels, goal, 0)
    found = predict(part, INPUTS, goal)
    assert found.min() >= 0
    assert found.max() <= 1
    assert detection(found, labels, 0.5)[0][1] > 0.95


def test_trees_on_windows_read_integer_features() -> None:
    windows = RANDOM.integers(-127, 128, (200, 10, 3)).astype(np.int8)
    target = windows[:, -5:, 0].mean(axis=1)
    part = TreeLearner("forest", small_forest).fit(windows, target, GOAL, 0)
    certify_graph(part.graph, part.tensors)
    found = predict(part, windows, GOAL)
    assert np.corrcoef(found, target)[0, 1] > 0.9
    # Of trees only the leaves and their mean are rounded.
    assert part.floats is not None
    assert np.abs(part.floats(windows)[:, 0] - found).max() <= 2 / 256


def test_the_super_learner_prefers_the_learner_that_generalises() -> None:
    folds = group_folds(np.arange(300), 3, 0)
    learners = (LinearLearner(), TreeLearner("forest", small_forest))
    found = super_learner(learners, INPUTS, LINEAR, folds, GOAL)
    weights = dict(found.weights)
    assert weights["glm"] > 0.9
    assert sum(weights.values()) == pytest.approx(1)
    whole = interpret(found.part.graph, found.part.tensors, INPUTS)[:, 0] / GOAL.steps
    np.testing.assert_array_equal(predict(found.part, INPUTS, GOAL), whole)
    assert np.abs(whole - LINEAR).mean() < 2


def test_one_learner_is_taken_whole() -> None:
    folds = group_folds(np.arange(300), 3, 0)
    found = super_learner([LinearLearner()], INPUTS, LINEAR, folds, GOAL)
    assert found.weights == (("glm", 1.0),)


def test_groups_are_never_split_between_folds() -> None:
    groups = np.repeat(np.arange(20), 7)
    folds = group_folds(groups, 4, 3)
    assert all(len(set(folds[groups == group])) == 1 for group in range(20))
    assert sorted(np.unique(folds, return_counts=True)[1].tolist()) == [35, 35, 35, 35]


def test_weights_are_convex_even_when_nothing_helps() -> None:
    held = np.stack([np.ones(5), np.ones(5)], axis=1)
    assert convex_weights(-held, np.ones(5)).tolist() == [0.5, 0.5]
    assert convex_weights(np.stack([np.arange(5.0), np.zeros(5)], 1), np.arange(5.0)).tolist() == [
        1.0,
        0.0,
    ]


def test_figures_are_what_they_say() -> None:
    figures = dict(regression(np.array([2.0, 4.0]), np.array([1.0, 3.0]), np.array([3.0, 5.0])))
    assert figures["RMSE"] == figures["MAE"] == figures["bias"] == 1.0
    assert figures["MAE / naive MAE"] == 0.5
    probability, actual = np.array([0.1, 0.4, 0.6, 0.9]), np.array([0.0, 0.0, 1.0, 1.0])
    level = best_threshold(probability, actual)
    assert dict(detection(probability, actual, level))["F1"] == 1.0

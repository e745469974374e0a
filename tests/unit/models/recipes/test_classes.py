"""More than two classes: shares that sum to one, honest weights, a report with confusions."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

from andon.core.errors import Code, InvalidInput
from models.__main__ import main
from models.commands import open_package
from models.interpreter import interpret
from models.recipes.learners import Goal, LinearLearner, TreeLearner, predict
from models.recipes.scores import classification, confusion
from models.recipes.super_learner import super_learner

RANDOM = np.random.default_rng(0)
INPUTS = RANDOM.integers(-127, 128, (300, 3)).astype(np.int8)
CLASSES = np.digitize(INPUTS[:, 0] + 0.5 * INPUTS[:, 1], (-40, 40)).astype(np.float64)
GOAL = Goal(kind="classes", outputs=3, low=0.0, high=1.0)


def forest(seed: int) -> BaseEstimator:
    return RandomForestClassifier(10, min_samples_leaf=3, random_state=seed)


def booster(seed: int) -> BaseEstimator:
    return HistGradientBoostingClassifier(max_iter=10, random_state=seed)


LEARNERS = (
    LinearLearner(strength=10.0),
    TreeLearner("forest", forest),
    TreeLearner("boosted", booster, is_log_odds=True),
)


@pytest.mark.parametrize("learner", LEARNERS, ids=lambda learner: learner.name)
def test_every_learner_gives_shares_of_the_classes(learner: TreeLearner | LinearLearner) -> None:
    shares = predict(learner.fit(INPUTS, CLASSES, GOAL, 0), INPUTS, GOAL)
    assert shares.shape == (300, 3)
    assert np.abs(shares.sum(axis=1) - 1).max() < 0.02
    assert dict(classification(shares, CLASSES))["accuracy"] > 0.9


def test_the_super_learner_weighs_learners_of_many_classes() -> None:
    folds = np.arange(300) % 3
    found = super_learner(LEARNERS, INPUTS, CLASSES, folds, GOAL)
    assert sum(weight for _, weight in found.weights) == pytest.approx(1)
    assert found.held_out.shape == (300, 3)
    assert dict(classification(found.held_out, CLASSES))["accuracy"] > 0.85
    whole = interpret(found.part.graph, found.part.tensors, INPUTS) / GOAL.steps
    np.testing.assert_array_equal(predict(found.part, INPUTS, GOAL), whole)


def test_a_class_that_a_fold_lacks_is_refused() -> None:
    with pytest.raises(InvalidInput) as caught:
        LEARNERS[1].fit(INPUTS[CLASSES < 2], CLASSES[CLASSES < 2], GOAL, 0)
    assert caught.value.code is Code.BAD_DATASET


def test_confusion_counts_actual_by_said() -> None:
    shares = np.eye(3)[[0, 1, 1, 2]]
    assert confusion(shares, np.array([0.0, 1.0, 2.0, 2.0])).tolist() == [
        [1, 0, 0],
        [0, 1, 0],
        [0, 1, 1],
    ]


def test_a_table_with_three_named_classes_trains_and_reports(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "parts.csv", tmp_path / "out"
    names = ("good", "rework", "scrap")
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["a", "b", "c", "verdict"])
        for row, kind in zip(INPUTS.tolist(), CLASSES.astype(int), strict=True):
            writer.writerow([*row, names[kind]])
    arguments = ["train", "--csv", str(path), "--task", "classify", "--target", "verdict"]
    assert main([*arguments, "--out", str(out)]) == 0
    assert "accuracy" in capsys.readouterr().out
    page = (out / "report.html").read_text("utf-8")
    assert all(f"<th>{name}</th>" in page for name in names)
    manifest = open_package(out).manifest
    assert manifest.outputs == 3
    assert dict(manifest.training)["classes"] == "good,rework,scrap"

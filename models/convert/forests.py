"""Tree ensembles of scikit-learn as integers: exact by nature.

The ensemble is trained on the integers that the graph computes, so a threshold t between two
integers is `floor(t)` without loss; only leaf values are rounded, to one output step.
Supported: gradient boosting (plain and by histograms), random forests, extra trees, single trees
and means of regressors, for regression and for classification (log-odds or class shares, an output
a class).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, is_classifier
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingRegressor,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from andon.core.errors import Code, InvalidInput
from models.rules import OPERAND_MAX, Tensor

Floats = NDArray[np.float64]
BOOSTED = (HistGradientBoostingRegressor, HistGradientBoostingClassifier)
BAGGED = (
    RandomForestRegressor,
    RandomForestClassifier,
    ExtraTreesRegressor,
    ExtraTreesClassifier,
)
SINGLE = (DecisionTreeRegressor, DecisionTreeClassifier)
STAGED = (GradientBoostingRegressor, GradientBoostingClassifier)
LOG_ODDS = (HistGradientBoostingClassifier, GradientBoostingClassifier)
"""Classifiers whose trees add up to log-odds; the others average shares."""
ENSEMBLES = (*BOOSTED, *STAGED, *BAGGED, *SINGLE, VotingRegressor)
# Losses whose prediction is another function of the sum than the identity or the logistic one.
LINKED = ("poisson", "gamma", "exponential")


@dataclass(frozen=True, slots=True)
class Tree:
    """One tree: node arrays, `value[nodes, outputs]`; a leaf has left == right == itself."""

    feature: NDArray[np.int64]
    threshold: Floats
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    value: Floats
    depth: int
    is_single: bool
    """Whether inputs are rounded to float32 before they are compared."""


@dataclass(frozen=True, slots=True)
class Forest:
    """Trees whose leaves are summed, and what is added to each output."""

    trees: tuple[Tree, ...]
    baseline: Floats


def forest_of(model: BaseEstimator) -> Forest:
    """Read a fitted ensemble.

    Raises:
        InvalidInput: NOT_CERTIFIED for another kind of estimator, for categorical splits, for a
            loss with another link, or for several class labels at once.
    """
    if getattr(model, "loss", "") in LINKED:
        raise _refused(
            f"loss {model.loss!r} of {type(model).__name__} has another link",
            "use squared_error or log_loss",
        )
    if isinstance(model, VotingRegressor):
        members = [forest_of(member) for member in model.estimators_]
        return _mean(members, model._weights_not_none)  # noqa: SLF001 # weights without dropped ones
    if isinstance(model, BOOSTED):
        return _boosted(model)
    if isinstance(model, STAGED):
        return _staged(model)
    if is_classifier(model) and getattr(model, "n_outputs_", 1) > 1:
        raise _refused(f"{type(model).__name__} of several labels", "fit one for each label")
    if isinstance(model, BAGGED):
        count = len(model.estimators_)
        return _averaged([tree.tree_ for tree in model.estimators_], count)
    if isinstance(model, SINGLE):
        return _averaged([model.tree_], 1)
    raise _refused(
        f"{type(model).__name__} is not a supported tree ensemble",
        "use GradientBoosting, RandomForest, ExtraTrees or DecisionTree estimators",
    )


def _refused(message: str, hint: str) -> InvalidInput:
    return InvalidInput(Code.NOT_CERTIFIED, message, hint=hint, rule="convert")


def forest_tensors(forest: Forest, steps_per_unit: float) -> tuple[dict[str, Tensor], int]:
    """Pad the trees into node tables, leaves as int32 steps; return them with the depth.

    The baseline becomes one more tree of a single leaf.
    """
    width = max(len(tree.feature) for tree in forest.trees)
    outputs = len(forest.baseline)
    count = len(forest.trees) + 1
    idle = np.tile(np.arange(width, dtype=np.int32), (count, 1))
    feature = np.zeros((count, width), np.int32)
    threshold = np.zeros((count, width), np.int32)
    left, right = idle.copy(), idle.copy()
    value = np.zeros((count, width, outputs), np.int32)
    for index, tree in enumerate(forest.trees):
        size = len(tree.feature)
        feature[index, :size] = np.maximum(tree.feature, 0)
        limit = float(np.iinfo(np.int32).max)
        threshold[index, :size] = np.floor(np.clip(tree.threshold, -limit, limit))
        left[index, :size], right[index, :size] = tree.left, tree.right
        value[index, :size] = np.round(tree.value * steps_per_unit)
    value[-1, 0] = np.round(forest.baseline * steps_per_unit)
    tensors: dict[str, Tensor] = {
        "feature": feature.astype(np.int16) if feature.max() < 1 << 15 else feature,
        "threshold": threshold,
        "left": left.astype(np.int16) if width < 1 << 15 else left,
        "right": right.astype(np.int16) if width < 1 << 15 else right,
        "value": value,
    }
    return tensors, max(1, *(tree.depth for tree in forest.trees))


def on_integers(forest: Forest, scale: float) -> Forest:
    """The same decisions on int8 inputs, for trees that were fitted on `input * scale`.

    A threshold becomes the largest input that goes left, rounding as the trees round.
    """
    inputs = np.arange(-OPERAND_MAX, OPERAND_MAX + 1)
    exact = inputs * np.float64(scale)
    single = exact.astype(np.float32).astype(np.float64)

    def moved(tree: Tree) -> Tree:
        values = single if tree.is_single else exact
        left = np.searchsorted(values, tree.threshold, side="right")
        return replace(tree, threshold=(left - 1 - OPERAND_MAX).astype(np.float64))

    return replace(forest, trees=tuple(moved(tree) for tree in forest.trees))


def _mean(members: list[Forest], weights: list[float] | None) -> Forest:
    share = np.ones(len(members)) if weights is None else np.asarray(weights, np.float64)
    share = share / share.sum()
    trees = [
        replace(tree, value=tree.value * part)
        for member, part in zip(members, share, strict=True)
        for tree in member.trees
    ]
    baseline = np.average([member.baseline for member in members], axis=0, weights=share)
    return Forest(tuple(trees), np.asarray(baseline, np.float64))


def _staged(model: BaseEstimator) -> Forest:
    if not (model.init == "zero" or isinstance(model.init_, DummyRegressor | DummyClassifier)):
        raise _refused(f"{type(model).__name__} starts at another model", "leave out init")
    stages, outputs = model.estimators_, model.estimators_.shape[1]
    trees = []
    for stage in stages:
        for output, member in enumerate(stage):
            (tree,) = _averaged([member.tree_], 1).trees
            value = np.zeros((len(tree.feature), outputs))
            value[:, output] = tree.value[:, 0] * model.learning_rate
            trees.append(replace(tree, value=value))
    # A constant start does not look at its row; scikit-learn has no public view of it.
    blank = np.zeros((1, model.n_features_in_), np.float32)
    start = model._raw_predict_init(blank)  # noqa: SLF001
    return Forest(tuple(trees), np.asarray(start, np.float64).ravel())


def _boosted(model: BaseEstimator) -> Forest:
    # scikit-learn has no public view of these trees; the fields are stable since 0.21.
    stages = model._predictors  # noqa: SLF001
    outputs = len(stages[0])
    trees = []
    for stage in stages:
        for output, predictor in enumerate(stage):
            nodes = predictor.nodes
            if nodes["is_categorical"].any():
                raise _refused(
                    "categorical splits have no integer threshold",
                    "encode categories as integers without categorical_features",
                )
            is_leaf = nodes["is_leaf"].astype(bool)
            own = np.arange(len(nodes))
            value = np.zeros((len(nodes), outputs))
            value[:, output] = np.where(is_leaf, nodes["value"], 0.0)
            trees.append(
                Tree(
                    nodes["feature_idx"].astype(np.int64),
                    np.where(is_leaf, 0.0, nodes["num_threshold"]),
                    np.where(is_leaf, own, nodes["left"].astype(np.int64)),
                    np.where(is_leaf, own, nodes["right"].astype(np.int64)),
                    value,
                    int(nodes["depth"].max()),
                    is_single=False,
                )
            )
    baseline = np.asarray(model._baseline_prediction, np.float64).ravel()  # noqa: SLF001
    return Forest(tuple(trees), baseline)


def _averaged(trees: list[object], count: int) -> Forest:
    made = []
    for tree in trees:
        left = np.asarray(getattr(tree, "children_left"))  # noqa: B009 # sklearn types nothing
        right = np.asarray(getattr(tree, "children_right"))  # noqa: B009
        raw = np.asarray(getattr(tree, "value"), np.float64)  # noqa: B009
        own = np.arange(len(left))
        is_leaf = left < 0
        value = raw[:, 0, :] if raw.shape[2] > 1 else raw[:, :, 0]
        made.append(
            Tree(
                np.asarray(getattr(tree, "feature")),  # noqa: B009
                np.where(is_leaf, 0.0, np.asarray(getattr(tree, "threshold"))),  # noqa: B009
                np.where(is_leaf, own, left),
                np.where(is_leaf, own, right),
                value / count,
                int(getattr(tree, "max_depth")),  # noqa: B009
                is_single=True,
            )
        )
    return Forest(tuple(made), np.zeros(made[0].value.shape[1]))

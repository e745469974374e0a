"""Bring your own table: sensible defaults for data that nobody here has seen.

Tasks: "regress", "classify" (2 to 64 classes), "rul" (run-to-failure rows of several machines),
"forecast" (the next value of each series) and "anomaly" (no labels). Splits are by group where
there is one, else by time where there is one, else at random. Every figure is of the certified
integer model on rows that training did not see.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from flax import nnx
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)

from models.data.tables import Table, read_table
from models.package import Description, Package, build_package
from models.quantiser import Quantiser, edge_quantiser, linear_quantiser, quantise
from models.recipes.anomaly import CONFIG, Autoencoder, reconstruction_part
from models.recipes.learners import (
    Goal,
    Learner,
    LinearLearner,
    NetworkLearner,
    TreeLearner,
    lineage_of,
    predict,
    tuned,
)
from models.recipes.own_data import (
    FOLDS,
    TASKS,
    Examples,
    Request,
    class_names,
    examples_of,
    identifiers,
    input_columns,
    refuse,
)
from models.recipes.report import Say, card
from models.recipes.scores import Figures, best_threshold, classification, detection, regression
from models.recipes.settings import PLAIN, Settings
from models.recipes.super_learner import group_folds, super_learner
from models.train.fit import FitConfig
from models.train.networks import FilterNet, Perceptron
from models.train.step import Network

Floats = NDArray[np.float64]
SHOWN_MAX = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A package, its figures, and what the report draws: predictions beside the truth."""

    package: Package
    figures: Figures
    predicted: Floats
    actual: Floats
    weights: tuple[tuple[str, float], ...]
    convention: str
    classes: tuple[str, ...] = ()


def train_csv(request: Request, say: Say, settings: Settings = PLAIN) -> Outcome:
    """Train on a CSV file.

    Raises:
        InvalidInput: BAD_DATASET with what is missing from the table or the request.
    """
    if request.task not in TASKS:
        raise refuse(f"no task {request.task!r}", "tasks: " + ", ".join(TASKS))
    table = read_table(request.csv)
    channels = input_columns(table, request)
    say(f"{len(table.values)} rows, task {request.task}; inputs: {named(table, channels)}")
    if request.task != "forecast" and (left_out := identifiers(table, request)):
        say(
            f"left out, another text in nearly every row: {', '.join(left_out)}; "
            "if one orders or groups the rows, say --time or --group"
        )
    examples = examples_of(table, channels, request)
    say(f"{int((~examples.is_test).sum())} examples train, {int(examples.is_test.sum())} test")
    if request.task == "anomaly":
        return _anomaly(request, table, channels, examples, say, settings=settings)
    classes = class_names(table, request)
    goal = _goal(request, examples, len(classes))
    quantiser = _quantiser(channels, examples, request.task)
    inputs = quantise(quantiser, examples.readings).values
    known = ~examples.is_test
    learners = tuned(_learners(request.task, inputs.ndim - 1, goal.outputs), settings)
    found = super_learner(
        learners,
        inputs[known],
        examples.targets[known],
        group_folds(examples.groups[known], FOLDS, request.seed),
        goal,
        seed=request.seed,
        say=say,
    )
    predicted = predict(found.part, inputs[examples.is_test], goal)
    actual = examples.targets[examples.is_test]
    if goal.kind == "classes":
        figures = classification(predicted, actual)
    elif goal.kind == "classify":
        level = best_threshold(found.held_out, examples.targets[known])
        figures = detection(predicted, actual, level)
    else:
        middle = np.full(len(actual), float(np.median(examples.targets[known])))
        figures = regression(predicted, actual, _naive(request, examples, middle))
    about = _describe(
        request, table, figures,
        convention=examples.convention, steps=goal.steps,
        configured=lineage_of(learners, found.weights),
        classes=classes, cap=examples.cap,
    )  # fmt: skip
    package = build_package(about, found.part.graph, found.part.tensors, quantiser, inputs[known])
    return Outcome(
        package=package,
        figures=figures,
        predicted=predicted,
        actual=actual,
        weights=found.weights,
        convention=examples.convention,
        classes=classes,
    )


def named(table: Table, channels: tuple[str, ...]) -> str:
    """The input columns for a person to check; a text column says how many texts it has."""
    shown = [
        f"{name} ({len(table.codes[name])} texts)" if name in table.codes else name
        for name in channels[:SHOWN_MAX]
    ]
    more = len(channels) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _goal(request: Request, examples: Examples, classes: int) -> Goal:
    if classes > 2:
        return Goal(kind="classes", outputs=classes, low=0.0, high=1.0)
    if request.task == "classify":
        return Goal(kind="classify", low=0.0, high=1.0)
    if request.task == "rul":
        return Goal(low=0.0, high=examples.cap, scale=examples.cap)
    targets = examples.targets[~examples.is_test]
    span = float(targets.max() - targets.min()) or 1.0
    top = float(np.abs(targets).max()) + span
    if top > 60_000:
        raise refuse(
            f"targets up to {top:.3g} are too large", "divide the target by a power of ten"
        )
    return Goal(
        low=float(targets.min()) - span, high=float(targets.max()) + span,
        scale=max(float(targets.std()), 1e-6),
    )  # fmt: skip


def _quantiser(channels: tuple[str, ...], examples: Examples, task: str) -> Quantiser:
    flat = examples.readings[~examples.is_test].reshape(-1, len(channels))
    if examples.readings.ndim == 2:
        return edge_quantiser(channels, flat)
    lows, highs = np.nanpercentile(flat, [0.05, 99.95], axis=0)
    # A series that drifts leaves the range it was trained on; groups that are held out do not.
    # Neither may what is unusual look like the edge of the usual.
    room = 0.5 * (highs - lows) if task in ("forecast", "anomaly") else 0.0
    return linear_quantiser(channels, lows - room, highs + room)


def _learners(task: str, axes: int, outputs: int) -> tuple[Learner, ...]:
    if axes == 2:
        network = NetworkLearner(
            "filter-network", _filter, FitConfig(epochs=15, rate=5e-3, weight_decay=1e-2)
        )
        return (network, TreeLearner("boosted", _boosted), LinearLearner())
    network = NetworkLearner(
        "perceptron", _perceptron(outputs), FitConfig(epochs=30, rate=3e-3, batch=128, noise=0.0)
    )
    if task == "classify":
        return (
            LinearLearner(),
            TreeLearner("forest", _forest_class),
            TreeLearner("boosted", _boosted_class, is_log_odds=True),
            network,
        )
    return (
        LinearLearner(),
        TreeLearner("forest", _forest),
        TreeLearner("boosted", _boosted),
        network,
    )


def _anomaly(
    request: Request, table: Table, channels: tuple[str, ...], examples: Examples, say: Say,
    *, settings: Settings,
) -> Outcome:  # fmt: skip
    known = ~examples.is_test
    quantiser = _quantiser(channels, examples, request.task)
    inputs = quantise(quantiser, examples.readings).values
    model = Autoencoder(int(np.prod(inputs.shape[1:])), rngs=nnx.Rngs(request.seed))
    part, goal = reconstruction_part(model, inputs[known], request.seed, say, settings)
    scores = predict(part, inputs, goal)
    level = float(np.quantile(scores[known], 0.99))
    predicted, actual = scores[examples.is_test], examples.targets[examples.is_test]
    figures: Figures = (
        ("threshold (99 % of training)", level),
        ("test examples above it", float((predicted > level).mean())),
    )
    if request.target and len(np.unique(actual)) == 2:
        figures += detection(predicted, (actual == actual.max()).astype(float), level)
    about = _describe(
        request, table, figures,
        convention=examples.convention, steps=goal.steps,
        configured=settings.applied(CONFIG).lineage(),
    )  # fmt: skip
    package = build_package(about, part.graph, part.tensors, quantiser, inputs[known])
    return Outcome(
        package=package, figures=figures, predicted=predicted, actual=actual,
        weights=(("autoencoder", 1.0),), convention=examples.convention,
    )  # fmt: skip


def _naive(request: Request, examples: Examples, middle: Floats) -> Floats:
    if request.task == "forecast":
        last: Floats = examples.readings[examples.is_test][:, -1, 0]
        return last
    return middle


def _describe(
    request: Request,
    table: Table,
    figures: Figures,
    *,
    convention: str,
    configured: dict[str, str],
    steps: int,
    classes: tuple[str, ...] = (),
    cap: float = 0.0,
) -> Description:
    lineage = {
        "recipe": "models.recipes.own",
        "data": request.csv.name,
        "data_sha256": table.sha256,
        "target": request.target,
        "seed": str(request.seed),
        **({"classes": ",".join(classes)} if classes else {}),
        **({"cap": f"{cap:g}"} if cap else {}),
        **configured,
    }
    lines = "\n".join(f"- {name}: {value:.4g}" for name, value in figures)
    text = card(
        request.name,
        f"Task {request.task}; target {request.target or 'none'}; output / {steps}.",
        f"{request.csv.name}, sha256 {table.sha256}.",
        f"{lines}\n\nConvention: {convention}; certified integer model.",
        "Only as good as the rows it saw; readings outside their range are clipped.",
    )
    if len(classes) > 2:
        text += "\nOne output a class, in this order: " + ", ".join(classes) + ".\n"
    return Description(
        name=request.name, version="1", task=request.task, scale_num=1, scale_den=steps,
        training=tuple(sorted(lineage.items())), card=text,
    )  # fmt: skip


def _filter(shape: tuple[int, ...], rngs: nnx.Rngs) -> Network:
    return FilterNet(shape[1], shape[0], rngs=rngs)


def _perceptron(outputs: int) -> Callable[[tuple[int, ...], nnx.Rngs], Network]:
    def build(shape: tuple[int, ...], rngs: nnx.Rngs) -> Network:
        return Perceptron(int(np.prod(shape)), outputs=outputs, rngs=rngs)

    return build


def _boosted(seed: int) -> BaseEstimator:
    return HistGradientBoostingRegressor(max_iter=200, learning_rate=0.05, random_state=seed)


def _boosted_class(seed: int) -> BaseEstimator:
    return HistGradientBoostingClassifier(
        max_iter=150, learning_rate=0.06, class_weight="balanced", random_state=seed
    )


def _forest(seed: int) -> BaseEstimator:
    return RandomForestRegressor(40, min_samples_leaf=3, random_state=seed)


def _forest_class(seed: int) -> BaseEstimator:
    return RandomForestClassifier(
        40, min_samples_leaf=3, class_weight="balanced_subsample", random_state=seed
    )

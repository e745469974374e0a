"""Learners whose fit is already an integer graph, and the super learner that weighs them.

Every learner maps int8 inputs to one value in `steps` a unit: cycles, a probability, a demand.
The super learner of Polley and van der Laan (as in Butte 2018) finds convex weights on
out-of-fold predictions of the *integer* graphs, refits on everything and adds the parts up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import jax
import numpy as np
from flax import nnx
from numpy.typing import NDArray
from scipy.optimize import nnls
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression, Ridge

from andon.core.errors import Code, InvalidInput
from models import graph as g
from models.certificate import certify_graph
from models.compile import evaluate_graph
from models.convert import Options, convert
from models.convert.assemble import Assembly
from models.convert.estimators import linear_parts
from models.recipes.features import window_features
from models.rules import Tensor
from models.train.fit import FitConfig, bernoulli, cross_entropy, fit, squared
from models.train.step import Loss, Network

Inputs = NDArray[np.int8]
Floats = NDArray[np.float64]
# Probabilities near 0 and 1 must stay apart, or ranking by them ties.
STEPS = {"regress": 256, "classify": 1 << 20, "classes": 1 << 15}


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What is predicted: "regress" (with a range and a scale) or "classify" (a probability).

    "classes" is the probability of each of `outputs` classes; its targets are their numbers.
    Targets are divided by `scale` for networks; predictions are clipped to `low` and `high`.
    """

    kind: str = "regress"
    outputs: int = 1
    low: float = -1e4
    high: float = 1e4
    scale: float = 1.0

    @property
    def steps(self) -> int:
        """Output steps a unit."""
        return STEPS[self.kind]

    def wanted(self, targets: Floats) -> Floats:
        """Targets as a column per output: `f64[n, outputs]`."""
        if self.kind != "classes":
            return targets[:, np.newaxis]
        return np.asarray(targets[:, np.newaxis] == np.arange(self.outputs), np.float64)


@dataclass(frozen=True, slots=True)
class Part:
    """A fitted learner: a certified graph with the goal's outputs, in its steps."""

    graph: g.Graph
    tensors: dict[str, Tensor]
    floats: Callable[[Inputs], Floats] | None = None
    """What it was before conversion, in the goal's unit: `i8[n, *shape] -> f64[n, outputs]`."""


class Learner(Protocol):
    """Fits a part to data; `name` is unique within a super learner."""

    @property
    def name(self) -> str:
        """What the weights table calls it."""
        ...

    def fit(self, inputs: Inputs, targets: Floats, goal: Goal, seed: int) -> Part:
        """Fit to `inputs: i8[n, *shape]` and `targets: f64[n]` in the goal's unit."""
        ...


@dataclass(frozen=True, slots=True)
class TreeLearner:
    """A scikit-learn tree ensemble on window features (two axes) or on the inputs (one)."""

    name: str
    make: Callable[[int], BaseEstimator]
    is_log_odds: bool = False
    features: Callable[[Assembly], int] = window_features

    def fit(self, inputs: Inputs, targets: Floats, goal: Goal, seed: int) -> Part:
        """Compute features with the integer graph itself, then fit on those integers."""
        assembly = Assembly(tuple(inputs.shape[1:]))
        features = self.features(assembly) if inputs.ndim == 3 else 0
        model = self.make(seed)
        labels = targets if goal.kind == "regress" else targets.astype(int)
        if goal.kind == "classes":
            _all_present(labels, goal.outputs)
        model.fit(assembly.values(inputs, features), labels)
        if self.is_log_odds:
            odds = assembly.forest(model, features, 256.0)
            if goal.kind == "classes":
                assembly.softmax(odds, 256.0, goal.steps)
            else:
                assembly.sigmoid(odds, 256.0, goal.steps)
        else:
            found = assembly.forest(model, features, goal.steps)
            if goal.kind == "classify":
                found = assembly.push(g.Slice(found, (1,), (2,)))
            low, high = round(goal.low * goal.steps), round(goal.high * goal.steps)
            assembly.push(g.Clip(found, low, high))
        if goal.kind != "regress":
            return Part(assembly.graph(), assembly.tensors)

        def floats(asked: Inputs) -> Floats:
            found = model.predict(assembly.values(asked, features))
            return np.asarray(np.clip(found, goal.low, goal.high), np.float64)[:, np.newaxis]

        return Part(assembly.graph(), assembly.tensors, floats)


@dataclass(frozen=True, slots=True)
class LinearLearner:
    """A generalised linear model: ridge, or logistic regression."""

    name: str = "glm"
    strength: float = 1.0

    def fit(self, inputs: Inputs, targets: Floats, goal: Goal, seed: int) -> Part:
        """Fit in floats on the int8 inputs, then convert."""
        flat = inputs.reshape(len(inputs), -1) / 127.0
        if goal.kind != "regress":
            if goal.kind == "classes":
                _all_present(targets, goal.outputs)
            model = LogisticRegression(
                C=self.strength, max_iter=2000, class_weight="balanced", random_state=seed
            )
            model.fit(flat, targets.astype(int))
        else:
            model = Ridge(alpha=1 / self.strength).fit(flat, targets / goal.scale)
        kernel, offset = linear_parts(model)
        if len(offset) < goal.outputs:
            # Of two classes scikit-learn gives one score; the softmax of halves is its sigmoid.
            kernel = np.concatenate([-kernel, kernel], axis=1) * np.float32(0.5)
            offset = np.concatenate([-offset, offset]) * np.float32(0.5)

        def apply(x: jax.Array) -> jax.Array:
            return LINKS[goal.kind](x.reshape(x.shape[0], -1) @ kernel + offset)

        return converted(apply, inputs, goal)


@dataclass(frozen=True, slots=True)
class NetworkLearner:
    """A Flax network; `build(shape, rngs)` makes it with one output.

    `prepare(model, inputs, seed)` runs before training: the layers of a belief network.
    `augment(key, batch)` distorts what it is trained on.
    """

    name: str
    build: Callable[[tuple[int, ...], nnx.Rngs], Network]
    config: FitConfig = field(default_factory=FitConfig)
    prepare: Callable[[Network, Inputs, int], None] | None = None
    augment: Callable[[jax.Array, jax.Array], jax.Array] | None = None

    def fit(self, inputs: Inputs, targets: Floats, goal: Goal, seed: int) -> Part:
        """Train with Optax, then convert after training."""
        model = self.build(tuple(inputs.shape[1:]), nnx.Rngs(seed))
        if self.prepare is not None:
            self.prepare(model, inputs, seed)
        wanted = (targets / goal.scale).astype(np.float32)[:, np.newaxis]
        fit(
            model,
            inputs,
            wanted,
            replace(self.config, seed=seed),
            loss=LOSSES[goal.kind],
            augment=self.augment,
        )
        return converted(lambda x: LINKS[goal.kind](model(x)), inputs, goal)


LOSSES: dict[str, Loss] = {"regress": squared, "classify": bernoulli, "classes": cross_entropy}
LINKS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "regress": lambda x: x,
    "classify": nnx.sigmoid,
    "classes": nnx.softmax,
}


def _all_present(labels: NDArray[np.generic], count: int) -> None:
    if len(np.unique(labels)) < count:
        raise InvalidInput(
            Code.BAD_DATASET,
            f"a fold holds {len(np.unique(labels))} of {count} classes",
            hint="drop or join rare classes, or leave out --group",
        )


def converted(model: Callable[[jax.Array], jax.Array], inputs: Inputs, goal: Goal) -> Part:
    """Convert a float callable into a part of the goal."""
    options = Options(
        gain=goal.scale if goal.kind == "regress" else 1.0,
        steps_per_unit=goal.steps,
        low=goal.low,
        high=goal.high,
    )
    conversion = convert(model, inputs, options)
    run = jax.jit(model)

    def floats(asked: Inputs) -> Floats:
        found = np.asarray(run(np.asarray(asked, np.float32) / np.float32(127)), np.float64)
        return np.asarray(np.clip(found * options.gain, goal.low, goal.high), np.float64)

    return Part(conversion.graph, conversion.tensors, floats)


def predict(part: Part, inputs: Inputs, goal: Goal) -> Floats:
    """Evaluate a part's integers on XLA, in the goal's unit: `f64[n]`, or `[n, outputs]`."""
    certificate = certify_graph(part.graph, part.tensors)
    outputs = evaluate_graph(part.graph, part.tensors, certificate, inputs)
    values = outputs.astype(np.float64) / goal.steps
    return values if goal.kind == "classes" else values[:, 0]


@dataclass(frozen=True, slots=True)
class SuperFit:
    """The combined part, each learner's weight, and predictions for choosing thresholds.

    `held_out` are out-of-fold predictions; with a single learner, in-sample ones.
    """

    part: Part
    weights: tuple[tuple[str, float], ...]
    held_out: Floats


def super_learner(
    learners: Sequence[Learner],
    inputs: Inputs,
    targets: Floats,
    folds: NDArray[np.int64],
    goal: Goal,
    *,
    seed: int = 0,
    say: Callable[[str], None] | None = None,
) -> SuperFit:
    """Weigh learners on out-of-fold predictions, refit each on all data, and add them up.

    `folds: i64[n]` names the fold of each row; rows of one machine or batch share a fold. With
    one learner no folds are fitted.
    """
    wanted = goal.wanted(targets)
    held = np.zeros((*wanted.shape, len(learners)))
    for fold in np.unique(folds) if len(learners) > 1 else []:
        out = folds == fold
        for index, learner in enumerate(learners):
            part = learner.fit(inputs[~out], targets[~out], goal, seed)
            held[out, :, index] = predict(part, inputs[out], goal).reshape(-1, goal.outputs)
        if say is not None:
            say(f"fold {int(fold) + 1}/{len(np.unique(folds))}")
    if len(learners) == 1:
        part = learners[0].fit(inputs, targets, goal, seed)
        return SuperFit(part, ((learners[0].name, 1.0),), predict(part, inputs, goal))
    weights = convex_weights(held.reshape(-1, len(learners)), wanted.ravel())
    kept = [i for i in range(len(learners)) if weights[i] > 0.01]
    assembly = Assembly(tuple(inputs.shape[1:]))
    values = []
    for index in kept:
        part = learners[index].fit(inputs, targets, goal, seed)
        values.append(assembly.include(part.graph, part.tensors))
        if say is not None:
            say(f"{learners[index].name}: weight {weights[index]:.2f}")
    if len(kept) > 1:
        share = weights[kept] / weights[kept].sum()
        assembly.weighted(values, [float(w) for w in share])
    table = tuple((learner.name, float(w)) for learner, w in zip(learners, weights, strict=True))
    mixed = held @ weights
    return SuperFit(
        Part(assembly.graph(), assembly.tensors),
        table,
        mixed if goal.kind == "classes" else mixed[:, 0],
    )


def convex_weights(held: Floats, targets: Floats) -> Floats:
    """Non-negative least squares, scaled to sum 1; equal weights if all vanish."""
    found, _ = nnls(held, targets)
    total = float(found.sum())
    count = held.shape[1]
    return np.asarray(found / total if total > 0 else np.full(count, 1 / count), np.float64)


def group_folds(groups: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    """Assign whole groups to `count` folds at random."""
    unique = np.unique(groups)
    order = np.random.default_rng(seed).permutation(len(unique))
    fold_of = {int(group): int(place % count) for group, place in zip(unique, order, strict=True)}
    return np.array([fold_of[int(group)] for group in groups], np.int64)

"""Learners whose fit is already an integer graph; `models.recipes.super_learner` weighs them.

Every learner maps int8 inputs to one value in `steps` a unit: cycles, a probability, a demand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression, Ridge

from andon.core.errors import Code, InvalidInput
from andon.core.model import TEXT_LENGTH_MAX
from models import graph as g
from models.certificate import certify_graph
from models.compile import evaluate_graph
from models.convert import Options, convert
from models.convert.assemble import Assembly
from models.convert.estimators import linear_parts
from models.recipes.features import window_features
from models.recipes.settings import PLAIN, Settings
from models.rules import Tensor
from models.train.certified import IDENTITY, Link, fit_certified
from models.train.fit import FitConfig, bernoulli, cross_entropy, squared
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

    def options(self) -> Options:
        """How a callable of this goal meets integers."""
        return Options(
            gain=self.scale if self.kind == "regress" else 1.0,
            steps_per_unit=self.steps,
            low=self.low,
            high=self.high,
        )

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
    notes: tuple[str, ...] = ()
    """What rounding cost, for a person."""


class Learner(Protocol):
    """Fits a part to data; `name` is unique within a super learner."""

    @property
    def name(self) -> str:
        """What the weights table calls it."""
        ...

    def settings(self) -> str:
        """Its hyperparameters, for the lineage of a package."""
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

    def settings(self) -> str:
        """The estimator's, as scikit-learn writes them; of a mean those of its first member."""
        made = self.make(0)
        members = getattr(made, "estimators", None)
        text = repr(made) if members is None else f"mean of {len(members)} {members[0][1]!r}"
        return " ".join(text.split())[:TEXT_LENGTH_MAX]

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

        def floats(asked: Inputs) -> Floats:
            integers = assembly.values(asked, features)
            if goal.kind == "regress":
                found = model.predict(integers)[:, np.newaxis]
                return np.asarray(np.clip(found, goal.low, goal.high), np.float64)
            shares = np.asarray(model.predict_proba(integers), np.float64)
            return shares if goal.kind == "classes" else shares[:, 1:2]

        return Part(assembly.graph(), assembly.tensors, floats)


@dataclass(frozen=True, slots=True)
class LinearLearner:
    """A generalised linear model: ridge, or logistic regression."""

    name: str = "glm"
    strength: float = 1.0

    def settings(self) -> str:
        """How strongly it is regularised."""
        return f"strength={self.strength}"

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
            return LINKS[goal.kind].apply(x.reshape(x.shape[0], -1) @ kernel + offset)

        return converted(apply, inputs, goal)


@dataclass(frozen=True, slots=True)
class NetworkLearner:
    """A Flax network; `build(shape, rngs)` makes it with one output.

    `prepare(model, inputs, seed)` runs before training: the layers of a belief network.
    `augment(key, batch)` distorts what it is trained on. With `config.patience` a tenth of the
    rows is held out to stop by.
    """

    name: str
    build: Callable[[tuple[int, ...], nnx.Rngs], Network]
    config: FitConfig = field(default_factory=FitConfig)
    prepare: Callable[[Network, Inputs, int], None] | None = None
    augment: Callable[[jax.Array, jax.Array], jax.Array] | None = None
    checkpoints: Path | None = None

    def settings(self) -> str:
        """Every hyperparameter but the seed."""
        fields = self.config.lineage().items()
        return " ".join(f"{name[4:]}={value}" for name, value in fields if name != "fit.seed")

    def fit(self, inputs: Inputs, targets: Floats, goal: Goal, seed: int) -> Part:
        """Train with Optax and convert; train on rounded operands where rounding costs much."""
        model = self.build(tuple(inputs.shape[1:]), nnx.Rngs(seed))
        if self.prepare is not None:
            self.prepare(model, inputs, seed)
        wanted = (targets / goal.scale).astype(np.float32)[:, np.newaxis]
        held = late_rows(targets, goal) if self.config.patience else np.zeros(len(inputs), bool)
        link = LINKS[goal.kind]
        found = fit_certified(
            model,
            inputs[~held],
            wanted[~held],
            replace(self.config, seed=seed),
            goal.options(),
            loss=LOSSES[goal.kind],
            validation=(inputs[held], wanted[held]) if held.any() else None,
            augment=self.augment,
            link=link,
            checkpoints=self.checkpoints,
            name=self.name,
        )
        conversion = found.conversion
        floats = floats_of(lambda x: link.apply(model(x)), goal)
        return Part(conversion.graph, conversion.tensors, floats, tuple(found.lines()))


LEAST_SHARE = 2.0**-16


def _log(share: jax.Array) -> jax.Array:
    return jnp.log(jnp.maximum(share, LEAST_SHARE))


LOSSES: dict[str, Loss] = {"regress": squared, "classify": bernoulli, "classes": cross_entropy}
LINKS: dict[str, Link] = {
    "regress": IDENTITY,
    "classify": Link(nnx.sigmoid, lambda x: _log(x) - _log(1 - x)),
    "classes": Link(nnx.softmax, _log),
}


def late_rows(targets: Floats, goal: Goal) -> NDArray[np.bool_]:
    """The last tenth of the rows, of each class where there are some: neighbours stay together."""
    held = np.zeros(len(targets), bool)
    labels = np.zeros(len(targets)) if goal.kind == "regress" else targets
    for label in np.unique(labels):
        mine = np.flatnonzero(labels == label)
        held[mine[len(mine) - len(mine) // 10 :]] = True
    return held


def _all_present(labels: NDArray[np.generic], count: int) -> None:
    if len(np.unique(labels)) < count:
        raise InvalidInput(
            Code.BAD_DATASET,
            f"a fold holds {len(np.unique(labels))} of {count} classes",
            hint="drop or join rare classes, or leave out --group",
        )


def converted(model: Callable[[jax.Array], jax.Array], inputs: Inputs, goal: Goal) -> Part:
    """Convert a float callable into a part of the goal."""
    conversion = convert(model, inputs, goal.options())
    return Part(conversion.graph, conversion.tensors, floats_of(model, goal))


def floats_of(model: Callable[[jax.Array], jax.Array], goal: Goal) -> Callable[[Inputs], Floats]:
    """What a float callable says, in the goal's unit: `i8[n, *shape] -> f64[n, outputs]`."""
    gain, run = goal.options().gain, jax.jit(model)

    def floats(asked: Inputs) -> Floats:
        found = np.asarray(run(np.asarray(asked, np.float32) / np.float32(127)), np.float64)
        return np.asarray(np.clip(found * gain, goal.low, goal.high), np.float64)

    return floats


def predict(part: Part, inputs: Inputs, goal: Goal) -> Floats:
    """Evaluate a part's integers on XLA, in the goal's unit: `f64[n]`, or `[n, outputs]`."""
    certificate = certify_graph(part.graph, part.tensors)
    outputs = evaluate_graph(part.graph, part.tensors, certificate, inputs)
    values = outputs.astype(np.float64) / goal.steps
    return values if goal.kind == "classes" else values[:, 0]


def lineage_of(
    learners: Sequence[Learner], weights: Sequence[tuple[str, float]] = ()
) -> dict[str, str]:
    """The hyperparameters of every learner and what it weighs, as lineage of a package."""
    return {
        **{f"learner.{learner.name}": learner.settings() for learner in learners},
        **{f"weight.{name}": f"{weight:.6f}" for name, weight in weights},
    }


def tuned(learners: Sequence[Learner], settings: Settings) -> tuple[Learner, ...]:
    """The learners, networks among them with these settings.

    Raises:
        InvalidInput: BAD_REQUEST for settings of networks where there is none.
    """
    is_network = [isinstance(learner, NetworkLearner) for learner in learners]
    if settings != PLAIN and not any(is_network):
        names = ", ".join(learner.name for learner in learners)
        raise InvalidInput(
            Code.BAD_REQUEST,
            f"epochs, precision, patience and checkpoints are of networks; this trains {names}",
            hint="leave them out, or choose a network with --model",
        )
    return tuple(
        replace(learner, config=settings.applied(learner.config), checkpoints=settings.checkpoints)
        if isinstance(learner, NetworkLearner)
        else learner
        for learner in learners
    )

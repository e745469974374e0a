"""C-MAPSS recipes for all four subsets: networks, boosted trees, or both weighed.

Figures are those of the certified integers on the published test split; see `CONVENTION`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from flax import nnx
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingRegressor, VotingRegressor

from andon.core.errors import Code, InvalidInput
from models.data import cmapss
from models.package import Description, build_package
from models.quantiser import Quantiser, linear_regime, quantise
from models.recipes.features import history_features
from models.recipes.learners import (
    Floats,
    Goal,
    Inputs,
    Learner,
    NetworkLearner,
    Part,
    TreeLearner,
    lineage_of,
    tuned,
)
from models.recipes.report import Result, Say, card, values
from models.recipes.settings import PLAIN, Settings
from models.recipes.super_learner import group_folds, super_learner
from models.train.attention import AttentionNet
from models.train.fit import FitConfig
from models.train.networks import ConvNet1d, FilterNet, RecurrentNet
from models.train.step import Network

CONVENTION = (
    f"RUL capped at {cmapss.RUL_CAP} in training and in test labels; last window of each test "
    "engine; certified integer model on XLA"
)
GOAL = Goal(low=0, high=cmapss.RUL_CAP, scale=cmapss.RUL_CAP)
NETWORK = FitConfig(epochs=20, rate=5e-3, noise=0.05, weight_decay=1e-2, average=0.98)
DEEP = replace(NETWORK, rate=2e-3)
# By validation on a third of FD001's training engines: RMSE 14.4 with 30 cycles, 12.3 with 60.
RECURRENT = replace(NETWORK, noise=0.1)
RECURRENT_STEPS = 60
TREES = ("boosted", "super")
MODELS = ("network", "cnn", "lstm", "gru", "attention", *TREES)
HIDDEN = 32
FOLDS = 3
BOOSTERS = 4
# Trees see up to 120 cycles and the age in cycles, from the 20th cycle on.
HISTORY = 120
SHORTEST = 20
AGE_MAX = 508
WINDOWS_MAX = 12_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One subset, quantised: training windows with engines, and the published test."""

    quantiser: Quantiser
    inputs: NDArray[np.int8]
    targets: NDArray[np.float64]
    engines: NDArray[np.int64]
    questions: NDArray[np.int8]
    truth: NDArray[np.float64]


def load(folder: Path, subset: str, model: str = "network") -> Task:
    """Read and quantise one subset: short windows for networks, histories for trees.

    Raises:
        InvalidInput: BAD_DATASET when `folder` does not hold the subset.
    """
    engines = cmapss.read_engines(folder, subset, "train")
    unseen = cmapss.read_engines(folder, subset, "test")
    size, shortest = steps_of(model), cmapss.WINDOW
    if model in TREES:
        shortest = SHORTEST
        engines, unseen = [with_age(e) for e in engines], [with_age(e) for e in unseen]
    quantiser = turbofan_quantiser(engines)
    # Neighbouring windows say nearly the same; trees gain nothing from every one of them.
    cycles = sum(engine.cycles for engine in engines)
    stride = -(-cycles // WINDOWS_MAX) if model in TREES else 1
    inputs, targets, owners = [], [], []
    for engine in engines:
        ends = np.arange(engine.cycles, min(shortest, engine.cycles) - 1, -stride)
        inputs.append(windows_of(quantiser, engine, ends, size))
        targets.append(np.minimum(engine.cycles - ends, cmapss.RUL_CAP).astype(np.float64))
        owners.append(np.full(len(ends), engine.number, np.int64))
    questions = [windows_of(quantiser, e, np.array([e.cycles]), size) for e in unseen]
    return Task(
        quantiser=quantiser,
        inputs=np.concatenate(inputs),
        targets=np.concatenate(targets),
        engines=np.concatenate(owners),
        questions=np.concatenate(questions),
        truth=np.array([engine.remaining for engine in unseen], np.float64),
    )


def steps_of(model: str) -> int:
    """Cycles in a window of this model."""
    if model in TREES:
        return HISTORY
    return RECURRENT_STEPS if model in ("lstm", "gru") else cmapss.WINDOW


def with_age(engine: cmapss.Engine) -> cmapss.Engine:
    """The engine with its cycle number as one more channel."""
    age = np.arange(1, engine.cycles + 1, dtype=np.float64)
    return replace(engine, sensors=np.column_stack([engine.sensors, age]))


def windows_of(
    quantiser: Quantiser, engine: cmapss.Engine, ends: NDArray[np.int64], size: int
) -> NDArray[np.int8]:
    """Windows that end before cycle indexes `ends`, padded in front: `i8[n, size, channels]`."""
    series = quantise(quantiser, engine.sensors, engine.settings).values
    places = np.maximum(ends[:, np.newaxis] - size + np.arange(size), 0)
    return np.asarray(series[places], np.int8)


def train(
    folder: Path, subset: str, model: str, seed: int, say: Say, *, settings: Settings = PLAIN
) -> Result:
    """Train on the training engines, certify, and score the test engines.

    Raises:
        InvalidInput: BAD_REQUEST for a model that does not exist, BAD_DATASET when `folder` does
            not hold the subset.
    """
    chosen = tuned(learners(model), settings)
    task = load(folder, subset, model)
    say(f"{subset}: {len(np.unique(task.engines))} engines, {len(task.inputs)} windows")
    found = super_learner(
        chosen,
        task.inputs,
        task.targets,
        group_folds(task.engines, FOLDS, seed),
        GOAL,
        seed=seed,
        say=say,
    )
    package = build_package(
        _describe(folder, subset, model, seed, lineage_of(chosen, found.weights)),
        found.part.graph,
        found.part.tensors,
        task.quantiser,
        task.inputs,
    )
    answers = values(package, task.questions)[:, 0]
    capped = np.minimum(task.truth, cmapss.RUL_CAP)
    figures = (
        ("certified RMSE (capped)", cmapss.rmse(answers, capped)),
        ("certified NASA score (capped)", cmapss.nasa_score(answers, capped)),
        ("certified RMSE (raw labels)", cmapss.rmse(answers, task.truth)),
        *_float_figures(found.part, task.questions, capped),
        *((f"weight of {name}", weight) for name, weight in found.weights),
    )
    return Result(package=package, figures=figures, convention=CONVENTION)


def _float_figures(part: Part, questions: Inputs, capped: Floats) -> tuple[tuple[str, float], ...]:
    if part.floats is None:
        return ()
    answers = part.floats(questions)[:, 0]
    return (
        ("float RMSE (capped)", cmapss.rmse(answers, capped)),
        ("float NASA score (capped)", cmapss.nasa_score(answers, capped)),
    )


def learners(model: str) -> Sequence[Learner]:
    """The learners of one named model.

    Raises:
        InvalidInput: BAD_REQUEST for a name that is not in `MODELS`.
    """
    network = NetworkLearner("filter-network", filter_network, NETWORK)
    boosted = TreeLearner("boosted", _boosted, features=history_features)
    named: dict[str, tuple[Learner, ...]] = {
        "network": (network,),
        "cnn": (NetworkLearner("convolution", _convolution, DEEP),),
        "lstm": (NetworkLearner("lstm", _recurrent("lstm"), RECURRENT),),
        "gru": (NetworkLearner("gru", _recurrent("gru"), RECURRENT),),
        "attention": (NetworkLearner("attention", _attention, DEEP),),
        "boosted": (boosted,),
        "super": (network, boosted),
    }
    if model not in named:
        raise InvalidInput(
            Code.BAD_REQUEST, f"no model {model!r} for turbofan",
            hint="models: " + ", ".join(MODELS),
        )  # fmt: skip
    return named[model]


def filter_network(shape: tuple[int, ...], rngs: nnx.Rngs) -> Network:
    """The network recipe's model."""
    return FilterNet(shape[1], shape[0], rngs=rngs)


def _convolution(shape: tuple[int, ...], rngs: nnx.Rngs) -> Network:
    return ConvNet1d(shape[1], shape[0], rngs=rngs)


def _recurrent(cell: str) -> Callable[[tuple[int, ...], nnx.Rngs], Network]:
    def build(shape: tuple[int, ...], rngs: nnx.Rngs) -> Network:
        return RecurrentNet(shape[1], cell=cell, hidden=HIDDEN, rngs=rngs)

    return build


def _attention(shape: tuple[int, ...], rngs: nnx.Rngs) -> Network:
    return AttentionNet(shape[1], shape[0], rngs=rngs)


def turbofan_quantiser(engines: list[cmapss.Engine]) -> Quantiser:
    """Scale each sensor by its range within each operating regime of the training engines."""
    settings = np.concatenate([engine.settings for engine in engines])
    sensors = np.concatenate([engine.sensors for engine in engines])
    # The six published regimes differ by far more than their jitter in altitude.
    keys = np.round(settings[:, 0] / 5).astype(int)
    several = len(np.unique(keys)) > 1
    regimes = []
    for key in np.unique(keys):
        mine = keys == key
        lows, highs = np.percentile(sensors[mine], [0.05, 99.95], axis=0)
        lows[len(cmapss.SENSORS) :], highs[len(cmapss.SENSORS) :] = 0, AGE_MAX
        centre = tuple(f"{v:.6g}" for v in settings[mine].mean(axis=0)) if several else ()
        regimes.append(linear_regime(centre, lows, highs))
    names = cmapss.sensor_names()
    if sensors.shape[1] > len(names):
        names = (*names, "cycle")
    return Quantiser(names, ("",) * len(names), cmapss.SETTING_NAMES, tuple(regimes), (), 0)


def _boosted(seed: int) -> BaseEstimator:
    """The mean of differently seeded boosters: feature sampling makes them differ usefully."""
    members = [
        (
            f"booster-{index}",
            HistGradientBoostingRegressor(
                max_iter=200,
                learning_rate=0.05,
                max_features=0.2,
                min_samples_leaf=40,
                l2_regularization=5,
                random_state=seed * 10 + index,
            ),
        )
        for index in range(BOOSTERS)
    ]
    return VotingRegressor(members)


def _describe(
    folder: Path, subset: str, model: str, seed: int, configured: dict[str, str]
) -> Description:
    lineage = {
        "recipe": f"models.recipes.turbofan {model}",
        "data": f"C-MAPSS {subset}",
        "data_sha256": cmapss.data_digest(folder, subset),
        "seed": str(seed),
        **configured,
    }
    steps, age = steps_of(model), " and the age in cycles" if model in TREES else ""
    text = card(
        f"Turbofan remaining useful life ({subset})",
        f"Cycles left before failure, from the last {steps} cycles of "
        f"{len(cmapss.SENSORS)} sensors{age}. Output / 256 is cycles, clipped to "
        f"0-{cmapss.RUL_CAP}.",
        f"NASA C-MAPSS {subset} (simulated run-to-failure), training engines only.",
        "Printed by the recipe; convention: " + CONVENTION + ".",
        f"Says at most {cmapss.RUL_CAP}: beyond it, wear is not visible. Engines of another type, "
        "other sensors or other operating regimes were never seen. Windows with clipped readings "
        "are outside the calibrated range.",
    )
    suffix = "" if model == "network" else f"-{model}"
    return Description(
        name=f"turbofan-{subset.lower()}{suffix}",
        version="1",
        task="rul",
        scale_num=1,
        scale_den=GOAL.steps,
        training=tuple(sorted(lineage.items())),
        card=text,
    )

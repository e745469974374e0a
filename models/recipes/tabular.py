"""Public tables: AI4I machine failures and SECOM pass/fail, each with the super learner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from flax import nnx
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.feature_selection import f_classif
from sklearn.model_selection import StratifiedKFold

from andon.core.errors import Code, InvalidInput
from models.data.tables import Table, read_table
from models.package import Description, build_package
from models.quantiser import Quantiser, edge_quantiser, linear_quantiser, quantise
from models.recipes.learners import (
    Goal,
    Inputs,
    Learner,
    LinearLearner,
    NetworkLearner,
    TreeLearner,
    lineage_of,
    predict,
    tuned,
)
from models.recipes.report import Result, Say, card
from models.recipes.scores import Figures, best_threshold, detection
from models.recipes.settings import PLAIN, Settings
from models.recipes.super_learner import SuperFit, super_learner
from models.train.belief import BeliefNet, pretrain
from models.train.fit import FitConfig
from models.train.networks import TableConv
from models.train.step import Network

Floats = NDArray[np.float64]
PROBABILITY = Goal(kind="classify", low=0.0, high=1.0)
FOLDS = 5
MODELS = ("glm", "super")
GRADES = {"L": 0, "M": 1, "H": 2}
AI4I_INPUTS = (
    "Type",
    "Air temperature [K]",
    "Process temperature [K]",
    "Rotational speed [rpm]",
    "Torque [Nm]",
    "Tool wear [min]",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table2:
    """A prepared binary task: named float columns, labels, and what to say about it."""

    name: str
    channels: tuple[str, ...]
    readings: Floats
    labels: Floats
    sha256: str
    about: str


def ai4i(folder: Path) -> Table2:
    """AI4I 2020: six readings and three physical products of them; no leakage columns."""
    table = read_table(folder / "ai4i2020" / "ai4i2020.csv.gz")
    raw = table.select(AI4I_INPUTS)
    # Quality L < M < H decides the overstrain limit; codes in order of the text would not rise.
    grades = np.array([GRADES[text] for text in table.codes[AI4I_INPUTS[0]]], np.float64)
    raw[:, 0] = grades[raw[:, 0].astype(int)]
    gap = raw[:, 2] - raw[:, 1]
    power = raw[:, 3] * raw[:, 4] * 2 * np.pi / 60
    strain = raw[:, 4] * raw[:, 5]
    return Table2(
        name="ai4i-failure",
        channels=(*AI4I_INPUTS, "temperature gap [K]", "power [W]", "torque x wear [Nm min]"),
        readings=np.column_stack([raw, gap, power, strain]),
        labels=table.column("Machine failure"),
        sha256=table.sha256,
        about="AI4I 2020 predictive maintenance; TWF, HDF, PWF, OSF and RNF are never inputs.",
    )


def secom(folder: Path) -> Table2:
    """SECOM, 443 of 590 sensors, rows in time order; label 1 is a fail."""
    table: Table = read_table(folder / "secom" / "secom_443.csv.gz")
    names = tuple(name for name in table.columns if name.startswith("s"))
    return Table2(
        name="secom-fail",
        channels=names,
        readings=table.select(names),
        labels=(table.column("label") > 0).astype(float),
        sha256=table.sha256,
        about="SECOM semiconductor line, 443 sensors; 2.9 % of cells are missing.",
    )


def cross_validated(
    task: Table2, seed: int, say: Say, settings: Settings = PLAIN
) -> tuple[Figures, Result]:
    """Stratified 5-fold figures of certified integers, then a package fitted on everything."""
    learners = tuned(failure_learners(), settings)
    splitter = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    probability = np.zeros(len(task.labels))
    scores: list[Figures] = []
    for fold, (seen, held) in enumerate(splitter.split(task.readings, task.labels)):
        quantiser = edge_quantiser(task.channels, task.readings[seen])
        inputs = quantise(quantiser, task.readings).values
        found = fit_probability(inputs[seen], task.labels[seen], learners, seed, None)
        probability[held] = predict(found.part, inputs[held], PROBABILITY)
        level = best_threshold(found.held_out, task.labels[seen])
        scores.append(detection(probability[held], task.labels[held], level))
        scores[-1] += floats_beside(found, inputs[held], task.labels[held], level)
        say(f"fold {fold + 1}/{FOLDS}: " + ", ".join(f"{n} {v:.3f}" for n, v in scores[-1][:3]))
    names = [name for name, _ in scores[0]]
    figures: Figures = tuple(
        (f"{name} (mean of {FOLDS} folds)", float(np.mean([dict(s)[name] for s in scores])))
        for name in names
    )
    quantiser = edge_quantiser(task.channels, task.readings)
    inputs = quantise(quantiser, task.readings).values
    found = fit_probability(inputs, task.labels, learners, seed, None)
    convention = f"stratified {FOLDS}-fold, seed {seed}; threshold from inner folds; certified"
    return figures, package_of(
        task, quantiser, found, inputs, figures=figures, convention=convention,
        configured=lineage_of(learners, found.weights) | {"seed": str(seed)},
    )  # fmt: skip


def time_split(
    task: Table2, share: float, select: int, seed: int, say: Say, *, learners: Sequence[Learner]
) -> Result:
    """Train on the first `share` of rows, score the rest; `select` sensors by F-test on those."""
    cut = round(share * len(task.labels))
    filled = np.where(
        np.isnan(task.readings), np.nanmedian(task.readings[:cut], axis=0), task.readings
    )
    power = np.nan_to_num(f_classif(filled[:cut], task.labels[:cut])[0])
    chosen = np.sort(np.argsort(-power, kind="stable")[:select])
    channels = tuple(task.channels[i] for i in chosen)
    # Ranks forget how far a sensor has drifted; a linear scale keeps it.
    lows, highs = np.nanpercentile(task.readings[:cut][:, chosen], [0.5, 99.5], axis=0)
    quantiser = linear_quantiser(channels, lows, highs)
    inputs = quantise(quantiser, filled[:, chosen]).values
    found = fit_probability(inputs[:cut], task.labels[:cut], learners, seed, say)
    probability = predict(found.part, inputs[cut:], PROBABILITY)
    level = best_threshold(found.held_out, task.labels[:cut])
    figures = detection(probability, task.labels[cut:], level)
    figures += floats_beside(found, inputs[cut:], task.labels[cut:], level)
    convention = f"first {share:.0%} of time trains, the rest tests; certified"
    configured = lineage_of(learners, found.weights) | {"seed": str(seed), "sensors": str(select)}
    return package_of(
        task, quantiser, found, inputs, figures=figures, convention=convention,
        configured=configured,
    )  # fmt: skip


def floats_beside(found: SuperFit, inputs: Inputs, labels: Floats, level: float) -> Figures:
    """The first two figures again, of what was there before conversion."""
    if found.part.floats is None:
        return ()
    figures = detection(found.part.floats(inputs)[:, 0], labels, level)
    return tuple((f"float {name}", value) for name, value in figures[:2])


def fit_probability(
    inputs: NDArray[np.int8],
    labels: Floats,
    learners: Sequence[Learner],
    seed: int,
    say: Say | None,
) -> SuperFit:
    """The super learner with stratified folds."""
    folds = np.zeros(len(labels), np.int64)
    splitter = StratifiedKFold(4, shuffle=True, random_state=seed + 1)
    for fold, (_, held) in enumerate(splitter.split(inputs, labels)):
        folds[held] = fold
    return super_learner(learners, inputs, labels, folds, PROBABILITY, seed=seed, say=say)


def package_of(
    task: Table2,
    quantiser: Quantiser,
    found: SuperFit,
    inputs: NDArray[np.int8],
    *,
    figures: Figures,
    convention: str,
    configured: dict[str, str],
) -> Result:
    """Wrap a fitted super learner."""
    lineage = {"data_sha256": task.sha256, "recipe": "models.recipes.tabular", **configured}
    lines = "\n".join(f"- {name}: {value:.4g}" for name, value in figures)
    description = Description(
        name=task.name,
        version="1",
        task="classify",
        scale_num=1,
        scale_den=PROBABILITY.steps,
        training=tuple(sorted(lineage.items())),
        card=card(
            task.name,
            f"Probability of failure; output / {PROBABILITY.steps}.",
            task.about,
            f"{lines}\n\nConvention: {convention}.",
            "Probabilities are not calibrated for other plants.",
        ),
    )
    package = build_package(description, found.part.graph, found.part.tensors, quantiser, inputs)
    return Result(package=package, figures=figures, convention=convention)


def failure_learners() -> tuple[Learner, ...]:
    """The five of Butte et al. 2018: GLM, forest, boosting, a deep belief network, a CNN."""
    config = FitConfig(epochs=15, rate=4e-3, batch=128, noise=0.0, average=0.98)
    return (
        LinearLearner(),
        TreeLearner("forest", _forest),
        TreeLearner("boosted", _boosted, is_log_odds=True),
        NetworkLearner("belief", belief, config, pretrain),
        NetworkLearner("convolution", convolution, config),
    )


def drift_learners(model: str) -> tuple[Learner, ...]:
    """A strongly regularised GLM alone ("glm"), or weighed with forest, boosting and networks.

    Folds within the training time reward trees for what the process then drifts away from.

    Raises:
        InvalidInput: BAD_REQUEST for another name.
    """
    if model not in MODELS:
        raise InvalidInput(
            Code.BAD_REQUEST, f"no model {model!r} for secom", hint="models: " + ", ".join(MODELS)
        )
    linear = LinearLearner("glm", 0.1)
    return (linear,) if model == "glm" else (linear, *failure_learners()[1:])


def belief(shape: tuple[int, ...], rngs: nnx.Rngs) -> Network:
    """The deep belief network."""
    return BeliefNet(int(np.prod(shape)), rngs=rngs)


def convolution(shape: tuple[int, ...], rngs: nnx.Rngs) -> Network:
    """The network of convolutions along columns."""
    return TableConv(int(np.prod(shape)), rngs=rngs)


def _forest(seed: int) -> BaseEstimator:
    return RandomForestClassifier(60, min_samples_leaf=2, max_features=0.6, random_state=seed)


def _boosted(seed: int) -> BaseEstimator:
    # Unweighted, so that probabilities mean what they say where learners are averaged.
    return HistGradientBoostingClassifier(
        max_iter=200, learning_rate=0.05, max_leaf_nodes=12, min_samples_leaf=15,
        l2_regularization=1, random_state=seed,
    )  # fmt: skip

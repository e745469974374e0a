"""The super learner: learners weighed by what they say of rows that they did not see.

Polley and van der Laan (as in Butte 2018): convex weights on out-of-fold predictions of the
*integer* graphs; then each is fitted again on everything, and the parts are added up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from models.convert.assemble import Assembly
from models.recipes.learners import Floats, Goal, Inputs, Learner, Part, predict


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
        if say is not None:
            for line in part.notes:
                say(line)
        return SuperFit(part, ((learners[0].name, 1.0),), predict(part, inputs, goal))
    weights = convex_weights(held.reshape(-1, len(learners)), wanted.ravel())
    kept = [i for i in range(len(learners)) if weights[i] > 0.01]
    assembly = Assembly(tuple(inputs.shape[1:]))
    values, parts = [], []
    for index in kept:
        part = learners[index].fit(inputs, targets, goal, seed)
        values.append(assembly.include(part.graph, part.tensors))
        parts.append(part)
        if say is not None:
            say(f"{learners[index].name}: weight {weights[index]:.2f}")
            for line in part.notes:
                say(f"  {line}")
    share = weights[kept] / weights[kept].sum()
    if len(kept) > 1:
        assembly.weighted(values, [float(w) for w in share])
    table = tuple((learner.name, float(w)) for learner, w in zip(learners, weights, strict=True))
    mixed = held @ weights
    return SuperFit(
        Part(assembly.graph(), assembly.tensors, _mixed(parts, share)),
        table,
        mixed if goal.kind == "classes" else mixed[:, 0],
    )


def _mixed(parts: Sequence[Part], share: Floats) -> Callable[[Inputs], Floats] | None:
    known: list[Callable[[Inputs], Floats]] = []
    for part in parts:
        if part.floats is None:
            return None
        known.append(part.floats)

    def floats(asked: Inputs) -> Floats:
        found = [weight * each(asked) for weight, each in zip(share, known, strict=True)]
        return np.asarray(np.sum(found, axis=0), np.float64)

    return floats


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

"""Federated training on real data: AI4I by product type, NEU defects by class skew.

Local-only, pooled and federated (masked sums), three seeds, the same number of local steps each.
AI4I: three plants, one a product quality (L, M, H), weighted by size; F1 of machine failure on
each plant's own unseen machines. After the run each plant trains the last layer on its own data.
The level of an alarm is the best on the training data of the plant (alone) or of all: counts by
level add up, so plants need not show more. Settings were chosen by four-fold cross-validation
inside the training data of the three seeds. NEU: four
plants whose class shares are drawn from Dirichlet(0.5); accuracy on the fixed test images, plain
and weighted with a plant's own class shares. ANDON_DATA names the folder of the data sets.
`OUTCOMES=ai4i` (or neu) chooses one. Rows with epsilon 8 train a smaller network privately; what a
plant adds at home it keeps, which costs no privacy.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from models.federated.ring import Encoding
from models.federated.simulate import Federation
from models.recipes.tabular import GRADES, ai4i
from scripts.bench.outcome_learner import Data, Floats, Learner, PrivatePlan, mlp, private

SEEDS = 3
ROWS = (
    "alone",
    "federated",
    "federated, own head",
    "epsilon 8",
    "epsilon 8, own head",
    "epsilon 8, then at home",
    "pooled",
)
FAILURE_WEIGHTS = (6, 3, 1)
HEAD_ROUNDS, HOME_ROUNDS, HEAD_RATE = 3, 20, 1e-3
LEVELS = 256
NEU_PLANTS, SKEW = 4, 0.5


@dataclass(frozen=True, slots=True)
class Schedule:
    """Rounds of STEPS steps; `rates` are (share of the rounds until which, rate), ascending."""

    rounds: int
    rates: tuple[tuple[float, float], ...]

    def rate(self, number: int) -> float:
        """The rate of a round from 0."""
        return next(rate for until, rate in self.rates if number < until * self.rounds)


FAILURES = Schedule(120, ((2 / 3, 1e-2), (0.9, 1e-2 / 3), (1, 1e-3)))
DEFECTS = Schedule(30, ((2 / 3, 3e-3), (1, 1e-3)))


PRIVATE_FAILURES = PrivatePlan(
    widths=(32, 16), rounds=20, steps=10, sample=0.5, clip=1.0, rate=5e-2
)
PRIVATE_DEFECTS = PrivatePlan(widths=(24,), rounds=30, steps=5, sample=1.0, clip=1.0, rate=5e-2)


def main() -> None:
    """Run the chosen parts."""
    folder = Path(os.environ.get("ANDON_DATA", "../shared/data"))
    chosen = os.environ.get("OUTCOMES", "ai4i,neu").split(",")
    if "ai4i" in chosen:
        failures(folder)
    if "neu" in chosen:
        defects(folder)


def solo(learner: Learner, data: Data, plan: Schedule, seed: int) -> Floats:
    """Train on one data set as long as a plant of a federation does."""
    weights, rng = learner.initial, np.random.default_rng(seed)
    for number in range(plan.rounds):
        weights = weights + learner.update(weights, data, rng, plan.rate(number))
    return weights


def federated(
    learner: Learner, plants: list[Data], plan: Schedule, seed: int, weights: tuple[int, ...] = ()
) -> Floats:
    """FedAvg under masks, with public weights of the plants."""
    encoding = Encoding(16, 1 << 20, 1 << 26, max(weights, default=1), len(plants))
    federation = Federation.start(learner.initial, encoding)
    federation.is_masked, federation.plant_weights = True, weights
    rng = np.random.default_rng(seed)
    for number in range(plan.rounds):
        start, rate = federation.weights(), plan.rate(number)
        federation.step([learner.update(start, data, rng, rate) for data in plants])
    return federation.weights()


def personal(learner: Learner, weights: Floats, data: Data, seed: int) -> Floats:
    """Train the last layer on a plant's own data after the run."""
    rng = np.random.default_rng(seed)
    for _ in range(HEAD_ROUNDS):
        weights = weights + learner.update(weights, data, rng, HEAD_RATE, is_head=True)
    return weights


def at_home(learner: Learner, weights: Floats, data: Data, seed: int) -> Floats:
    """Train all layers on a plant's own data after the run; what it keeps costs no privacy."""
    rng = np.random.default_rng(seed)
    for _ in range(HOME_ROUNDS):
        weights = weights + learner.update(weights, data, rng, HEAD_RATE)
    return weights


def failures(folder: Path) -> None:
    """AI4I 2020: the plants are the product qualities, 70 % of each to train."""
    task = ai4i(folder)
    grade, labels = task.readings[:, 0], task.labels.astype(np.int64)
    # Ranges that a machine's data sheet declares; here those of the table.
    lows, highs = task.readings.min(axis=0), task.readings.max(axis=0)
    inputs = (3 * (2 * (task.readings - lows) / (highs - lows) - 1)).astype(np.float32)
    rows: dict[str, list[list[float]]] = {name: [] for name in ROWS}
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        is_train = np.zeros(len(labels), bool)
        for code in GRADES.values():
            for label in (0, 1):
                mine = rng.permutation(np.flatnonzero((grade == code) & (labels == label)))
                is_train[mine[: len(mine) * 7 // 10]] = True
        parts = [
            (is_train & (grade == code), ~is_train & (grade == code)) for code in GRADES.values()
        ]
        seen = [Data(inputs[train], labels[train]) for train, _ in parts]
        unseen = [Data(inputs[test], labels[test]) for _, test in parts]
        learner = mlp((inputs.shape[1], 48, 24, 2), seed)
        together = Data(inputs[is_train], labels[is_train])
        common = federated(learner, seen, FAILURES, seed, FAILURE_WEIGHTS)
        smaller = mlp((inputs.shape[1], *PRIVATE_FAILURES.widths, 2), seed)
        noisy = private(smaller, seen, PRIVATE_FAILURES, FAILURE_WEIGHTS)
        models = (
            (learner, [solo(learner, data, FAILURES, seed) for data in seen]),
            (learner, [common] * len(seen)),
            (learner, [personal(learner, common, data, seed) for data in seen]),
            (smaller, [noisy] * len(seen)),
            (smaller, [personal(smaller, noisy, data, seed) for data in seen]),
            (smaller, [at_home(smaller, noisy, data, seed) for data in seen]),
            (learner, [solo(learner, together, FAILURES, seed)] * len(seen)),
        )
        for name, (of, found) in zip(ROWS, models, strict=True):
            rows[name].append(_f1s(of, found, seen, unseen, is_own_level=name == ROWS[0]))
    _show("AI4I, F1 of failure: quality L, M, H, all", rows)


def defects(folder: Path) -> None:
    """NEU-CLS by texture: numbers 1 to 240 of a class train, 241 to 300 test."""
    with np.load(folder / "neu_cls" / "neu_cls_64.npz", allow_pickle=False) as archive:
        images, labels = archive["x"], archive["y"].astype(np.int64)
        is_test = archive["is_test"].astype(bool)
    inputs = textures(images)
    test = Data(inputs[is_test], labels[is_test])
    pool = Data(inputs[~is_test], labels[~is_test])
    classes = int(labels.max()) + 1
    rows: dict[str, list[list[float]]] = {name: [] for name in ROWS}
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        plants = _skewed(pool, classes, rng)
        learner = mlp((inputs.shape[1], 48, classes), seed)
        common = federated(learner, plants, DEFECTS, seed)
        smaller = mlp((inputs.shape[1], *PRIVATE_DEFECTS.widths, classes), seed)
        noisy = private(smaller, plants, PRIVATE_DEFECTS)
        models = (
            (learner, [solo(learner, data, DEFECTS, seed) for data in plants]),
            (learner, [common] * len(plants)),
            (learner, [personal(learner, common, data, seed) for data in plants]),
            (smaller, [noisy] * len(plants)),
            (smaller, [personal(smaller, noisy, data, seed) for data in plants]),
            (smaller, [at_home(smaller, noisy, data, seed) for data in plants]),
            (learner, [solo(learner, pool, DEFECTS, seed)] * len(plants)),
        )
        for name, (of, found) in zip(ROWS, models, strict=True):
            by_class = [_by_class(of, weights, test, classes) for weights in found]
            shares = [np.bincount(d.labels, minlength=classes) / len(d.labels) for d in plants]
            own = [float(a @ s) * 100 for a, s in zip(by_class, shares, strict=True)]
            rows[name].append([*own, float(np.mean(by_class)) * 100])
    _show(f"NEU, accuracy in percent: plants 1 to {NEU_PLANTS} on their own mix, all classes", rows)


def textures(images: NDArray[np.uint8]) -> Floats:
    """Fixed features `f32[n, 82]` of `u8[n, 64, 64]`: nothing in them was learned.

    At three scales the shares of rotation-invariant uniform local binary patterns (Ojala et al.
    2002) and of gradient directions, with mean and deviation of levels and gradients; at the
    first scale the shares of levels. Roots of shares are of like size.
    """
    parts, scaled = [], images.astype(np.float64) / 256
    parts.append(np.sqrt(_shares((scaled * 16).astype(int), np.ones_like(scaled), 16)))
    for _ in range(3):
        down, right = np.gradient(scaled, axis=(1, 2))
        length = np.hypot(down, right)
        turn = np.floor((np.arctan2(down, right) / np.pi % 1) * 8).astype(int) % 8
        parts.extend(
            np.stack([values.mean(axis=(1, 2)), values.std(axis=(1, 2))], axis=1)
            for values in (scaled, length)
        )
        parts.append(np.sqrt(_shares(turn, length + 1e-9, 8)))
        patterns = _patterns(scaled)
        parts.append(np.sqrt(_shares(patterns, np.ones(patterns.shape), 10)))
        side = scaled.shape[1] // 2
        scaled = scaled.reshape(len(images), side, 2, side, 2).mean(axis=(2, 4))
    return np.concatenate(parts, axis=1).astype(np.float32) * 3


def _patterns(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Of each inner pixel the number of neighbours not below it, 9 if they are scattered."""
    around = ((0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0))
    size = values.shape[1] - 2
    centre = values[:, 1:-1, 1:-1]
    ring = np.stack([values[:, r : r + size, c : c + size] >= centre for r, c in around])
    changes = (ring != np.roll(ring, 1, axis=0)).sum(axis=0)
    return np.where(changes <= 2, ring.sum(axis=0), 9)


def _shares(
    places: NDArray[np.int64], weights: NDArray[np.float64], bins: int
) -> NDArray[np.float64]:
    total = weights.sum(axis=(1, 2))
    found = [(weights * (places == k)).sum(axis=(1, 2)) / total for k in range(bins)]
    return np.stack(found, axis=1)


def _skewed(pool: Data, classes: int, rng: np.random.Generator) -> list[Data]:
    """Every image goes to one plant; each class is shared out by a draw of its own."""
    owner = np.zeros(len(pool.labels), int)
    for label in range(classes):
        mine = rng.permutation(np.flatnonzero(pool.labels == label))
        cuts = np.cumsum(rng.dirichlet([SKEW] * NEU_PLANTS))[:-1]
        for plant, part in enumerate(np.split(mine, (cuts * len(mine)).astype(int))):
            owner[part] = plant
    return [Data(pool.inputs[owner == k], pool.labels[owner == k]) for k in range(NEU_PLANTS)]


def _by_class(learner: Learner, weights: Floats, test: Data, classes: int) -> NDArray[np.float64]:
    right = np.asarray(learner.scores(weights, test.inputs)).argmax(axis=1) == test.labels
    return np.array([right[test.labels == label].mean() for label in range(classes)])


def _chance(learner: Learner, weights: Floats, data: Data) -> NDArray[np.float64]:
    return np.asarray(jax.nn.softmax(learner.scores(weights, data.inputs))[:, 1], np.float64)


def _f1s(
    learner: Learner,
    models: list[Floats],
    seen: list[Data],
    unseen: list[Data],
    *,
    is_own_level: bool,
) -> list[float]:
    """F1 at each plant and over all, at the level that is best on the training data."""
    counts = [_counts(learner, w, data) for w, data in zip(models, seen, strict=True)]
    together = _best_level(np.sum(counts, axis=0))
    levels = [_best_level(count) if is_own_level else together for count in counts]
    alarms = [
        _chance(learner, weights, data) >= level
        for weights, data, level in zip(models, unseen, levels, strict=True)
    ]
    single = [f1_score(data.labels, found) for data, found in zip(unseen, alarms, strict=True)]
    every = np.concatenate([data.labels for data in unseen])
    return [*map(float, single), float(f1_score(every, np.concatenate(alarms)))]


def _counts(learner: Learner, weights: Floats, data: Data) -> NDArray[np.int64]:
    """Records without and with a failure by chance, in LEVELS steps: `i64[2, levels]`."""
    steps = np.minimum((_chance(learner, weights, data) * LEVELS).astype(int), LEVELS - 1)
    return np.stack([np.bincount(steps[data.labels == k], minlength=LEVELS) for k in (0, 1)])


def _best_level(counts: NDArray[np.int64]) -> float:
    above = counts[:, ::-1].cumsum(axis=1)[:, ::-1]
    f1 = 2 * above[1] / (above.sum(axis=0) + counts[1].sum())
    return float(np.argmax(f1)) / LEVELS


def _show(title: str, rows: dict[str, list[list[float]]]) -> None:
    print(f"{title}; mean of {SEEDS} seeds (each seed's last column)")
    for name, found in rows.items():
        means = " ".join(f"{value:7.3f}" for value in np.mean(found, axis=0))
        print(f"  {name:20} {means}   ({' '.join(f'{row[-1]:.3f}' for row in found)})", flush=True)


if __name__ == "__main__":
    main()

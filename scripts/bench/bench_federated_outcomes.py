"""Federated training on real data: AI4I by product type, NEU defects by class skew.

Local-only, pooled and federated (masked sums), three seeds, the same number of local steps each.
AI4I: three plants, one a product quality (L, M, H); F1 of machine failure on each plant's own
unseen machines, each plant with the threshold that is best on its own training data. NEU: four
plants whose class shares are drawn from Dirichlet(0.5); accuracy on the fixed test images, plain
and weighted with a plant's own class shares. ANDON_DATA names the folder of the data sets.
`OUTCOMES=ai4i` (or neu) chooses one.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from models.federated.ring import Encoding
from models.federated.simulate import Federation
from models.recipes.scores import best_threshold
from models.recipes.tabular import GRADES, ai4i
from models.recipes.vision import levels

Floats = NDArray[np.float32]
SEEDS = 3
ROUNDS, STEPS, BATCH = 30, 40, 64
NEU_PLANTS, SKEW = 4, 0.5
CHANNELS = (1, 12, 24, 48)


@dataclass(frozen=True, slots=True)
class Data:
    """`inputs: f32[n, ...]`, `labels: i64[n]`."""

    inputs: Floats
    labels: NDArray[np.int64]


class Learner:
    """A network with flat parameters and cross-entropy; `distort` changes a batch of inputs."""

    def __init__(
        self,
        layers: list[tuple[Floats, Floats]],
        apply: Callable[[list[tuple[jax.Array, jax.Array]], jax.Array], jax.Array],
        distort: Callable[[Floats, np.random.Generator], Floats] | None = None,
    ) -> None:
        flat, restore = ravel_pytree(layers)
        self.initial = np.asarray(flat, np.float32)
        self._distort = distort

        def loss(weights: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
            scores = apply(restore(weights), x)
            return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(scores, y))

        def train(weights: jax.Array, x: jax.Array, y: jax.Array, rate: float) -> jax.Array:
            optimiser = optax.adam(rate)

            def step(
                carry: tuple[jax.Array, optax.OptState], batch: tuple[jax.Array, jax.Array]
            ) -> tuple[tuple[jax.Array, optax.OptState], None]:
                current, state = carry
                update, state = optimiser.update(jax.grad(loss)(current, *batch), state)
                return (current + update, state), None

            (trained, _), _ = jax.lax.scan(step, (weights, optimiser.init(weights)), (x, y))
            return jnp.asarray(trained)

        self._train = jax.jit(train)
        self.scores = jax.jit(lambda weights, x: apply(restore(weights), x))

    def update(self, weights: Floats, data: Data, rng: np.random.Generator, rate: float) -> Floats:
        """The change that STEPS mini-batches of the data make."""
        picks = rng.integers(0, len(data.labels), (STEPS, BATCH))
        inputs = data.inputs[picks]
        if self._distort is not None:
            inputs = self._distort(inputs, rng)
        return np.asarray(self._train(weights, inputs, data.labels[picks], rate)) - weights


def main() -> None:
    """Run the chosen parts."""
    folder = Path(os.environ.get("ANDON_DATA", "../shared/data"))
    chosen = os.environ.get("OUTCOMES", "ai4i,neu").split(",")
    if "ai4i" in chosen:
        failures(folder)
    if "neu" in chosen:
        defects(folder)


def solo(learner: Learner, data: Data, seed: int) -> Floats:
    """Train on one data set as long as a plant of a federation does."""
    weights, rng = learner.initial, np.random.default_rng(seed)
    for number in range(ROUNDS):
        weights = weights + learner.update(weights, data, rng, _rate(number))
    return weights


def federated(learner: Learner, plants: list[Data], seed: int) -> Floats:
    """FedAvg under masks."""
    encoding = Encoding(16, 1 << 20, 1 << 26, 1, len(plants))
    federation = Federation.start(learner.initial, encoding)
    federation.is_masked = True
    rng = np.random.default_rng(seed)
    for number in range(ROUNDS):
        start = federation.weights()
        federation.step([learner.update(start, data, rng, _rate(number)) for data in plants])
    return federation.weights()


def failures(folder: Path) -> None:
    """AI4I 2020: the plants are the product qualities, 70 % of each to train."""
    task = ai4i(folder)
    grade, labels = task.readings[:, 0], task.labels.astype(np.int64)
    # Ranges that a machine's data sheet declares; here those of the table.
    lows, highs = task.readings.min(axis=0), task.readings.max(axis=0)
    inputs = (2 * (task.readings - lows) / (highs - lows) - 1).astype(np.float32)
    rows: dict[str, list[list[float]]] = {"alone": [], "federated": [], "pooled": []}
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
        models = {
            "alone": [solo(learner, data, seed) for data in seen],
            "federated": [federated(learner, seen, seed)] * len(seen),
            "pooled": [solo(learner, together, seed)] * len(seen),
        }
        for name, found in models.items():
            rows[name].append(
                [_f1(learner, w, a, b) for w, a, b in zip(found, seen, unseen, strict=True)]
                + [_f1_over(learner, found, seen, unseen)]
            )
    _show("AI4I, F1 of failure: quality L, M, H, all", rows)


def defects(folder: Path) -> None:
    """NEU-CLS at 64 pixels: numbers 1 to 240 of a class train, 241 to 300 test."""
    with np.load(folder / "neu_cls" / "neu_cls_64.npz", allow_pickle=False) as archive:
        images, labels = archive["x"], archive["y"].astype(np.int64)
        is_test = archive["is_test"].astype(bool)
    inputs = (levels(images).reshape(len(labels), 64, 64, 1) / 128).astype(np.float32)
    test = Data(inputs[is_test], labels[is_test])
    pool = Data(inputs[~is_test], labels[~is_test])
    classes = int(labels.max()) + 1
    rows: dict[str, list[list[float]]] = {"alone": [], "federated": [], "pooled": []}
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        plants = _skewed(pool, classes, rng)
        learner = convolutional(classes, seed)
        models = {
            "alone": [solo(learner, data, seed) for data in plants],
            "federated": [federated(learner, plants, seed)] * len(plants),
            "pooled": [solo(learner, pool, seed)] * len(plants),
        }
        for name, found in models.items():
            by_class = [_by_class(learner, weights, test, classes) for weights in found]
            shares = [np.bincount(d.labels, minlength=classes) / len(d.labels) for d in plants]
            own = [float(a @ s) * 100 for a, s in zip(by_class, shares, strict=True)]
            rows[name].append([*own, float(np.mean(by_class)) * 100])
    _show(f"NEU, accuracy in percent: plants 1 to {NEU_PLANTS} on their own mix, all classes", rows)


def mlp(widths: tuple[int, ...], seed: int) -> Learner:
    """Dense layers with ReLU between them."""
    rng = np.random.default_rng(seed)
    layers = [_layer((left, right), left, rng) for left, right in pairwise(widths)]

    def apply(parts: list[tuple[jax.Array, jax.Array]], x: jax.Array) -> jax.Array:
        for weight, bias in parts[:-1]:
            x = jax.nn.relu(x @ weight + bias)
        return x @ parts[-1][0] + parts[-1][1]

    return Learner(layers, apply)


def convolutional(classes: int, seed: int) -> Learner:
    """Three strided convolutions, the mean over the image, one dense layer; no batch statistics."""
    rng = np.random.default_rng(seed)
    layers = [_layer((5, 5, left, right), 25 * left, rng) for left, right in pairwise(CHANNELS)]
    layers.append(_layer((CHANNELS[-1], classes), CHANNELS[-1], rng))

    def apply(parts: list[tuple[jax.Array, jax.Array]], x: jax.Array) -> jax.Array:
        for weight, bias in parts[:-1]:
            x = jax.lax.conv_general_dilated(
                x, weight, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
            x = jax.nn.relu(x + bias)
        return jnp.mean(x, axis=(1, 2)) @ parts[-1][0] + parts[-1][1]

    return Learner(layers, apply, _turn)


def _layer(shape: tuple[int, ...], fan_in: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    weight = rng.normal(0, np.sqrt(2 / fan_in), shape).astype(np.float32)
    return weight, np.zeros(shape[-1], np.float32)


def _turn(images: Floats, rng: np.random.Generator) -> Floats:
    """Flip each batch's images up, left or across: a strip has no orientation."""
    for index in range(len(images)):
        if rng.random() < 0.5:
            images[index] = images[index, :, ::-1]
        if rng.random() < 0.5:
            images[index] = images[index, :, :, ::-1]
        if rng.random() < 0.5:
            images[index] = images[index].swapaxes(1, 2)
    return images


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


def _alarms(learner: Learner, weights: Floats, seen: Data, unseen: Data) -> NDArray[np.bool_]:
    level = best_threshold(_chance(learner, weights, seen), seen.labels.astype(np.float64))
    return np.asarray(_chance(learner, weights, unseen) >= level)


def _f1(learner: Learner, weights: Floats, seen: Data, unseen: Data) -> float:
    return float(f1_score(unseen.labels, _alarms(learner, weights, seen, unseen)))


def _f1_over(learner: Learner, models: list[Floats], seen: list[Data], unseen: list[Data]) -> float:
    found = [_alarms(learner, w, a, b) for w, a, b in zip(models, seen, unseen, strict=True)]
    return float(f1_score(np.concatenate([d.labels for d in unseen]), np.concatenate(found)))


def _show(title: str, rows: dict[str, list[list[float]]]) -> None:
    print(f"{title}; mean of {SEEDS} seeds (each seed's last column)")
    for name, found in rows.items():
        means = " ".join(f"{value:7.3f}" for value in np.mean(found, axis=0))
        print(f"  {name:10} {means}   ({' '.join(f'{row[-1]:.3f}' for row in found)})", flush=True)


def _rate(number: int) -> float:
    return 3e-3 if number < ROUNDS * 2 // 3 else 1e-3


if __name__ == "__main__":
    main()

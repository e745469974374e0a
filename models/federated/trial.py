"""A small task with a known answer, to measure rules and strategies on: seeded, numpy only.

Six kinds of machine state seen through 24 correlated sensors, three operating points each; an
MLP 24-48-48-6 (3,846 parameters). All plants train at once as one batched matrix product.
Nothing of it runs on a validator.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]

SENSORS = 24
CLASSES = 6
HIDDEN = 48
_SHAPES = ((SENSORS, HIDDEN), (HIDDEN,), (HIDDEN, HIDDEN), (HIDDEN,), (HIDDEN, CLASSES), (CLASSES,))
PARAMETERS = sum(int(np.prod(shape)) for shape in _SHAPES)


@dataclass(frozen=True, slots=True)
class Task:
    """`inputs: f32[n, 24]`, `labels: i64[n]`."""

    inputs: Floats
    labels: Labels


@dataclass(frozen=True, slots=True, kw_only=True)
class Local:
    """How a plant trains between two exchanges."""

    steps: int = 8
    batch: int = 32
    rate: float = 0.1
    proximal: float = 0.0


class Generator:
    """Draws samples of one fixed task; `seed` chooses the task."""

    def __init__(self, seed: int, noise: float = 1.0) -> None:
        rng = np.random.default_rng(seed)
        self._centres = rng.normal(0, 1, (CLASSES, 3, SENSORS)) * 0.75
        mixing = rng.normal(0, 1, (SENSORS, SENSORS)) / np.sqrt(SENSORS)
        self._mixing = mixing * 0.7 + np.eye(SENSORS) * 0.7
        self._noise = noise

    def draw(self, count: int, rng: np.random.Generator) -> Task:
        """Draw `count` samples of balanced classes."""
        labels = rng.integers(0, CLASSES, count)
        points = rng.integers(0, 3, count)
        noise = rng.normal(0, self._noise, (count, SENSORS)) @ self._mixing
        inputs = self._centres[labels, points] + noise
        return Task(inputs.astype(np.float32), labels)


def split_dirichlet(
    task: Task, plants: int, alpha: float | None, rng: np.random.Generator
) -> list[Task]:
    """Split by class shares ~ Dirichlet(alpha) a plant, equal sizes; None is IID."""
    size = len(task.labels) // plants
    if alpha is None:
        order = rng.permutation(len(task.labels))
        return [_take(task, order[k * size : (k + 1) * size]) for k in range(plants)]
    by_class = [rng.permutation(np.flatnonzero(task.labels == c)) for c in range(CLASSES)]
    parts = []
    for _ in range(plants):
        shares = rng.dirichlet([alpha] * CLASSES)
        counts = rng.multinomial(size, shares)
        # Drawn with replacement: a class may be wanted more often than it was drawn.
        chosen = [rng.choice(by_class[c], counts[c]) for c in range(CLASSES)]
        parts.append(_take(task, np.concatenate(chosen)))
    return parts


def initial_weights(seed: int) -> Floats:
    """He initialisation, flat `f32[3846]`."""
    rng = np.random.default_rng(seed)
    parts = [
        rng.normal(0, np.sqrt(2 / shape[0]), shape) if len(shape) == 2 else np.zeros(shape)
        for shape in _SHAPES
    ]
    return np.concatenate([part.ravel() for part in parts]).astype(np.float32)


def train_all(
    weights: Floats,
    tasks: list[Task],
    local: Local,
    rng: np.random.Generator,
    *,
    correction: Floats | None = None,
) -> Floats:
    """Train every plant from its row of `weights: f32[n, d]`; returns the new rows.

    `correction: f32[n, d]` is added to every gradient (SCAFFOLD's c - c_i).
    """
    start, current = weights, weights.copy()
    for _ in range(local.steps):
        picks = [rng.integers(0, len(task.labels), local.batch) for task in tasks]
        x = np.stack([task.inputs[p] for task, p in zip(tasks, picks, strict=True)])
        y = np.stack([task.labels[p] for task, p in zip(tasks, picks, strict=True)])
        gradient = gradients(current, x, y)
        if local.proximal:
            gradient += local.proximal * (current - start)
        if correction is not None:
            gradient += correction
        current -= local.rate * gradient
    return current


def gradients(weights: Floats, x: Floats, y: Labels) -> Floats:
    """Mean cross-entropy gradients `f32[n, d]` of `x: f32[n, b, 24]`, `y: i64[n, b]`."""
    w1, b1, w2, b2, w3, b3 = _unpack(weights)
    h1 = np.maximum(x @ w1 + b1[:, None], 0)
    h2 = np.maximum(h1 @ w2 + b2[:, None], 0)
    logits = h2 @ w3 + b3[:, None]
    logits -= logits.max(axis=-1, keepdims=True)
    p = np.exp(logits)
    p /= p.sum(axis=-1, keepdims=True)
    np.put_along_axis(p, y[..., None], np.take_along_axis(p, y[..., None], axis=-1) - 1, axis=-1)
    d3 = p / x.shape[1]
    d2 = (d3 @ w3.transpose(0, 2, 1)) * (h2 > 0)
    d1 = (d2 @ w2.transpose(0, 2, 1)) * (h1 > 0)
    parts = (
        x.transpose(0, 2, 1) @ d1,
        d1.sum(axis=1),
        h1.transpose(0, 2, 1) @ d2,
        d2.sum(axis=1),
        h2.transpose(0, 2, 1) @ d3,
        d3.sum(axis=1),
    )
    flat = [part.reshape(len(weights), -1) for part in parts]
    return np.concatenate(flat, axis=1).astype(np.float32)


def logits_of(weights: Floats, x: Floats) -> Floats:
    """Class scores `f32[b, 6]` of one model `f32[d]`."""
    w1, b1, w2, b2, w3, b3 = (part[0] for part in _unpack(weights[None]))
    h1 = np.maximum(x @ w1 + b1, 0)
    h2 = np.maximum(h1 @ w2 + b2, 0)
    return np.asarray(h2 @ w3 + b3, np.float32)


def accuracy(weights: Floats, task: Task) -> float:
    """Share of samples classified rightly, in percent."""
    found = logits_of(weights, task.inputs).argmax(axis=-1)
    return float((found == task.labels).mean() * 100)


def _unpack(weights: Floats) -> list[Floats]:
    parts, place = [], 0
    for shape in _SHAPES:
        size = int(np.prod(shape))
        parts.append(weights[:, place : place + size].reshape(-1, *shape))
        place += size
    return parts


def _take(task: Task, order: NDArray[np.int64]) -> Task:
    return Task(task.inputs[order], task.labels[order])

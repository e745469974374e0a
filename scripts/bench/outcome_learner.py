"""What the benchmark of federated outcomes trains: a small network, plainly or privately."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from numpy.typing import NDArray

from models.federated.local import adam_scan, adam_step
from models.federated.privacy import Mechanism, Noise, add_noise, mechanism_for
from models.federated.ring import Encoding
from models.federated.simulate import Federation

Floats = NDArray[np.float32]
STEPS, BATCH = 40, 64
EPSILON, DELTA = 8.0, 1e-5


@dataclass(frozen=True, slots=True)
class Data:
    """`inputs: f32[n, ...]`, `labels: i64[n]`."""

    inputs: Floats
    labels: NDArray[np.int64]


class Learner:
    """A network with flat parameters and cross-entropy."""

    def __init__(
        self,
        layers: list[tuple[Floats, Floats]],
        apply: Callable[[list[tuple[jax.Array, jax.Array]], jax.Array], jax.Array],
    ) -> None:
        flat, restore = ravel_pytree(layers)
        self.initial = np.asarray(flat, np.float32)
        head = sum(part.size for part in layers[-1])
        self._everything = np.ones(flat.size, np.float32)
        self._head = np.where(np.arange(flat.size) < flat.size - head, 0, 1).astype(np.float32)

        def loss(weights: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
            scores = apply(restore(weights), x)
            return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(scores, y))

        def train(
            weights: jax.Array, x: jax.Array, y: jax.Array, rate: float, which: jax.Array
        ) -> jax.Array:
            def gradient(current: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
                return jnp.asarray(which * jax.grad(loss)(current, x, y))

            return adam_scan(gradient, weights, (x, y), rate)

        def clipped(
            weights: jax.Array, x: jax.Array, y: jax.Array, is_real: jax.Array, clip: float
        ) -> jax.Array:
            def one(x: jax.Array, y: jax.Array) -> jax.Array:
                return jnp.asarray(jax.grad(loss)(weights, x[None], y[None]))

            gradients = jax.vmap(one)(x, y)
            norms = jnp.linalg.norm(gradients, axis=1)
            factors = is_real * jnp.minimum(1, clip / jnp.maximum(norms, 1e-12))
            return jnp.asarray(factors @ gradients)

        self._clipped, self._step = jax.jit(clipped), jax.jit(adam_step)
        self._train = jax.jit(train)
        self.scores = jax.jit(lambda weights, x: apply(restore(weights), x))

    def update(
        self,
        weights: Floats,
        data: Data,
        rng: np.random.Generator,
        rate: float,
        *,
        is_head: bool = False,
    ) -> Floats:
        """The change that STEPS mini-batches of the data make, to the last layer or to all."""
        picks = rng.integers(0, len(data.labels), (STEPS, BATCH))
        which = self._head if is_head else self._everything
        trained = self._train(weights, data.inputs[picks], data.labels[picks], rate, which)
        return np.asarray(trained) - weights

    def private_update(
        self, weights: Floats, data: Data, mechanism: Mechanism, steps: int, rate: float
    ) -> Floats:
        """The change that noisy steps on Poisson samples make, each record's gradient clipped."""
        noise, count = Noise(), len(data.labels)
        expected = mechanism.rate * count
        # Padded to one shape; a larger sample has a probability below 1e-12 and is cut.
        room = int(expected + 8 * np.sqrt(expected) + 8)
        current = jnp.asarray(weights)
        state = optax.adam(rate).init(current)
        for _ in range(steps):
            taken = np.flatnonzero(noise.chosen(count, mechanism.rate))[:room]
            places = np.zeros(room, np.int64)
            places[: len(taken)] = taken
            is_real = np.arange(room) < len(taken)
            total = self._clipped(
                current, data.inputs[places], data.labels[places], is_real, mechanism.clip
            )
            gradient = add_noise(np.asarray(total), mechanism, noise) / expected
            current, state = self._step(current, state, jnp.asarray(gradient, jnp.float32), rate)
        return np.asarray(current) - weights


def mlp(widths: tuple[int, ...], seed: int) -> Learner:
    """Dense layers with ReLU between them."""
    rng = np.random.default_rng(seed)
    layers = [_layer((left, right), left, rng) for left, right in pairwise(widths)]

    def apply(parts: list[tuple[jax.Array, jax.Array]], x: jax.Array) -> jax.Array:
        for weight, bias in parts[:-1]:
            x = jax.nn.relu(x @ weight + bias)
        return x @ parts[-1][0] + parts[-1][1]

    return Learner(layers, apply)


@dataclass(frozen=True, slots=True)
class PrivatePlan:
    """Noisy steps in a smaller network; the mean of the models of the last half counts."""

    widths: tuple[int, ...]
    rounds: int
    steps: int
    sample: float
    clip: float
    rate: float


def private(
    learner: Learner, plants: list[Data], plan: PrivatePlan, weights: tuple[int, ...] = ()
) -> Floats:
    """FedAvg under masks and record-level differential privacy of EPSILON in each plant."""
    mechanism = mechanism_for(
        EPSILON, DELTA, clip=plan.clip, rate=plan.sample, steps=plan.rounds * plan.steps
    )
    encoding = Encoding(16, 1 << 20, 1 << 26, max(weights, default=1), len(plants))
    federation = Federation.start(learner.initial, encoding)
    federation.is_masked, federation.plant_weights = True, weights
    models = []
    for number in range(plan.rounds):
        start, rate = federation.weights(), plan.rate * (1 - 0.9 * number / plan.rounds)
        federation.step(
            [learner.private_update(start, data, mechanism, plan.steps, rate) for data in plants]
        )
        models.append(federation.weights())
    return np.asarray(np.mean(models[plan.rounds // 2 :], axis=0), np.float32)


def _layer(shape: tuple[int, ...], fan_in: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    weight = rng.normal(0, np.sqrt(2 / fan_in), shape).astype(np.float32)
    return weight, np.zeros(shape[-1], np.float32)

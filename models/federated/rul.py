"""Remaining useful life in a federation: one small network, plain and private local training.

Windows are int8 (divided by 127); the network averages over blocks of five cycles and is an MLP
over the result, small enough for differential privacy. Targets are life over 125. Local training
is ordinary JAX; what leaves a plant is the flat float update that `ring` encodes.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import ceil, sqrt

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from models.convert import Options, certify
from models.federated.local import adam_scan, adam_step
from models.federated.privacy import Mechanism, Noise, add_noise, cost_micro_rho
from models.federated.trained import Trained
from models.federated.validation import Dense, Validation, validation_set
from models.package import Description, Package
from models.quantiser import Quantiser

Floats = NDArray[np.float32]
Inputs = NDArray[np.int8]

BLOCK = 5
WIDTHS = (48, 24)
CAP = 125
_SHAPE_CACHE = 8


@dataclass(frozen=True, slots=True)
class Data:
    """A plant's own windows `i8[n, 30, sensors]` and capped lives `f32[n]`."""

    inputs: Inputs
    lives: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Local:
    """Local training of a round. With `mechanism` it is private and `steps` cost budget."""

    steps: int = 40
    batch: int = 128
    rate: float = 2e-3
    proximal: float = 0.0
    mechanism: Mechanism | None = None


class Network:
    """The network over windows of `steps` cycles and `sensors` sensors, with flat parameters."""

    def __init__(self, steps: int, sensors: int) -> None:
        self.steps, self.sensors = steps, sensors
        sizes = (steps // BLOCK * sensors, *WIDTHS, 1)
        self.shapes = [
            shape for left, right in pairwise(sizes) for shape in ((left, right), (right,))
        ]
        self.parameters = sum(int(np.prod(shape)) for shape in self.shapes)

    def initial(self, seed: int) -> Floats:
        """He initialisation; public, so a plain seed serves."""
        rng = np.random.default_rng(seed)
        parts = [
            rng.normal(0, sqrt(2 / s[0]), s) if len(s) == 2 else np.zeros(s) for s in self.shapes
        ]
        return np.concatenate([part.ravel() for part in parts]).astype(np.float32)

    def apply(self, weights: jax.Array, x: jax.Array) -> jax.Array:
        """Shapes: `f32[d], f32[batch, steps, sensors] -> f32[batch, 1]` (life over 125)."""
        return self.layers(weights, x)[0]

    def layers(
        self, weights: jax.Array, x: jax.Array, shifts: list[jax.Array] | None = None
    ) -> tuple[jax.Array, list[jax.Array]]:
        """Output and each dense layer's inputs; `shifts` are added to what a layer gives."""
        blocks = x.reshape(x.shape[0], self.steps // BLOCK, BLOCK, self.sensors)
        hidden = blocks.mean(axis=2).reshape(x.shape[0], -1)
        parts, inputs = self._unpack(weights), []
        for index in range(len(parts) // 2):
            inputs.append(hidden)
            hidden = hidden @ parts[2 * index] + parts[2 * index + 1]
            if shifts is not None:
                hidden = hidden + shifts[index]
            if 2 * index + 2 < len(parts):
                hidden = jax.nn.relu(hidden)
        return jnp.asarray(hidden), inputs

    def no_shifts(self, batch: int) -> list[jax.Array]:
        """Zeros for `layers`: gradients by them are the layers' errors, record by record."""
        return [jnp.zeros((batch, width)) for width in (*WIDTHS, 1)]

    def predict(self, weights: Floats, inputs: Inputs) -> Floats:
        """Lives in cycles, clipped to 0 and 125."""
        values = _compiled(self.steps, self.sensors).predict(jnp.asarray(weights), inputs)
        return np.asarray(np.clip(np.asarray(values)[:, 0] * CAP, 0, CAP), np.float32)

    def train(self, weights: Floats, data: Data, local: Local, seed: int | None = None) -> Trained:
        """Train from `weights`; returns the update and what it cost.

        `seed` makes plain training repeatable; private training never takes it.
        """
        if local.mechanism is not None:
            return self._train_privately(weights, data, local, local.mechanism)
        rng = np.random.default_rng(secrets.randbits(64) if seed is None else seed)
        picks = rng.integers(0, len(data.lives), (local.steps, local.batch))
        trained = _compiled(self.steps, self.sensors).train(
            jnp.asarray(weights), data.inputs[picks], data.lives[picks], local.rate, local.proximal
        )
        return Trained(update=np.asarray(trained) - weights)

    def _train_privately(
        self, weights: Floats, data: Data, local: Local, mechanism: Mechanism
    ) -> Trained:
        noise = Noise()
        compiled = _compiled(self.steps, self.sensors)
        expected = mechanism.rate * len(data.lives)
        # Padded to one shape; a larger sample has a probability below 1e-12 and is cut.
        room = ceil(expected + 8 * sqrt(expected) + 8)
        current = jnp.asarray(weights)
        state = optax.adam(local.rate).init(current)
        for _ in range(local.steps):
            taken = np.flatnonzero(noise.chosen(len(data.lives), mechanism.rate))[:room]
            places = np.zeros(room, np.int64)
            places[: len(taken)] = taken
            is_real = np.arange(room) < len(taken)
            total = self.clipped_sum(
                current, data.inputs[places], data.lives[places], is_real, mechanism.clip
            )
            noisy = add_noise(total, mechanism, noise)
            gradient = jnp.asarray(noisy / expected, jnp.float32)
            current, state = compiled.step(current, state, gradient, local.rate)
        return Trained(
            update=np.asarray(current) - weights, rho=cost_micro_rho(mechanism, local.steps)
        )

    def clipped_sum(
        self, weights: jax.Array, x: Inputs, y: Floats, is_real: NDArray[np.bool_], clip: float
    ) -> Floats:
        """The sum `f32[d]` of the real records' gradients, each shortened to norm `clip`."""
        clipped = _compiled(self.steps, self.sensors).clipped
        return np.asarray(clipped(weights, x, y, is_real, clip))

    def package(
        self, weights: Floats, quantiser: Quantiser, samples: Inputs, description: Description
    ) -> Package:
        """The model as a certified integer package. Raises: InvalidInput NOT_CERTIFIED."""
        fixed = jnp.asarray(weights)
        options = Options(gain=float(CAP), low=0.0, high=float(CAP))
        return certify(lambda x: self.apply(fixed, x), samples, quantiser, description, options)

    def validation(self, data: Data) -> Validation:
        """Public windows and this network as what a run is scored on: thousandths of a cycle."""
        count = len(data.lives)
        blocks = data.inputs.astype(np.float64).reshape(count, -1, BLOCK, self.sensors)
        inputs = blocks.mean(axis=2).reshape(count, -1) / 127
        layers = (*(Dense(width) for width in WIDTHS), Dense(1, is_relu=False))
        return validation_set(
            "regression", layers, inputs, data.lives, gain=CAP, output_range=(0.0, 1.0)
        )

    def _unpack(self, weights: jax.Array) -> list[jax.Array]:
        parts, place = [], 0
        for shape in self.shapes:
            size = int(np.prod(shape))
            parts.append(weights[place : place + size].reshape(shape))
            place += size
        return parts


class _Compiled:
    """The jitted functions of one network shape."""

    def __init__(self, network: Network) -> None:
        def scaled(x: jax.Array) -> jax.Array:
            return x.astype(jnp.float32) / 127

        def loss(weights: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
            found = network.apply(weights, scaled(x))[:, 0]
            return jnp.mean((found - y / CAP) ** 2)

        def weighted(
            weights: jax.Array, shifts: list[jax.Array], x: jax.Array, y: jax.Array, by: jax.Array
        ) -> tuple[jax.Array, list[jax.Array]]:
            found, inputs = network.layers(weights, scaled(x), shifts)
            return jnp.sum(by * (found[:, 0] - y / CAP) ** 2), inputs

        def clipped(
            weights: jax.Array, x: jax.Array, y: jax.Array, is_real: jax.Array, clip: float
        ) -> jax.Array:
            # A record's gradient of a dense layer is input times error, so its norm is a product
            # and no gradient of a single record is ever made. Source: Goodfellow 1510.01799.
            shifts = network.no_shifts(x.shape[0])
            ones = jnp.ones(x.shape[0])
            by_shift = jax.grad(weighted, argnums=1, has_aux=True)
            errors, inputs = by_shift(weights, shifts, x, y, ones)
            squares = sum(
                (jnp.sum(a * a, axis=1) + 1) * jnp.sum(e * e, axis=1)
                for a, e in zip(inputs, errors, strict=True)
            )
            norms = jnp.sqrt(squares)
            factors = jnp.minimum(1.0, clip / jnp.maximum(norms, 1e-12)) * is_real
            by_weight = jax.grad(weighted, argnums=0, has_aux=True)
            return jnp.asarray(by_weight(weights, shifts, x, y, factors)[0])

        def train(
            weights: jax.Array, x: jax.Array, y: jax.Array, rate: float, proximal: float
        ) -> jax.Array:
            def gradient(current: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
                return jnp.asarray(jax.grad(loss)(current, x, y) + proximal * (current - weights))

            return adam_scan(gradient, weights, (x, y), rate)

        self.predict = jax.jit(lambda weights, x: network.apply(weights, scaled(x)))
        self.train = jax.jit(train)
        self.clipped = jax.jit(clipped)
        self.step = jax.jit(adam_step)


@lru_cache(maxsize=_SHAPE_CACHE)
def _compiled(steps: int, sensors: int) -> _Compiled:
    return _Compiled(Network(steps, sensors))

"""The training loop: AdamW with a warm-up and cosine decay, and averaged weights at the end.

A run is a function of (config, data, seed): the same three give the same floats on one machine
and jaxlib. What validators run is the certified integer package, whose id settles any doubt.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Loss = Callable[[jax.Array, jax.Array], jax.Array]
Tree = object


class Network(nnx.Module):
    """What the loop trains: a module that maps a batch to its outputs."""

    def __call__(self, x: jax.Array) -> jax.Array:
        """Shapes: `f32[batch, *input_shape] -> f32[batch, outputs]`."""
        raise NotImplementedError


class _State(NamedTuple):
    """Everything that a step changes."""

    weights: Tree
    rest: Tree
    inner: Tree
    mean: Tree


@dataclass(frozen=True, slots=True, kw_only=True)
class FitConfig:
    """Hyperparameters; every field goes into the lineage of a package."""

    epochs: int = 15
    batch: int = 256
    rate: float = 2e-3
    weight_decay: float = 1e-4
    noise: float = 0.02
    average: float = 0.995
    seed: int = 0


def huber(predicted: jax.Array, target: jax.Array) -> jax.Array:
    """Quadratic near zero, linear beyond 0.1: targets are scaled to about one."""
    return jnp.mean(optax.losses.huber_loss(predicted, target, delta=0.1))


def squared(predicted: jax.Array, target: jax.Array) -> jax.Array:
    """Mean squared error."""
    return jnp.mean((predicted - target) ** 2)


def bernoulli(logits: jax.Array, target: jax.Array) -> jax.Array:
    """Mean binary cross-entropy of log-odds, the rarer class weighted up within the batch."""
    positive = jnp.clip(target.mean(), 0.02, 0.98)
    weight = jnp.where(target > 0.5, 0.5 / positive, 0.5 / (1 - positive))
    return jnp.mean(weight * optax.losses.sigmoid_binary_cross_entropy(logits, target))


def cross_entropy(logits: jax.Array, target: jax.Array) -> jax.Array:
    """Mean softmax cross-entropy of integer labels `target: [batch, 1]`."""
    labels = target[:, 0].astype(jnp.int32)
    return jnp.mean(optax.losses.softmax_cross_entropy_with_integer_labels(logits, labels))


def fit(
    model: Network,
    inputs: NDArray[np.int8],
    targets: Floats,
    config: FitConfig,
    *,
    loss: Loss = huber,
    report: Callable[[int, float], None] | None = None,
    augment: Callable[[jax.Array, jax.Array], jax.Array] | None = None,
) -> None:
    """Train `model` in place on `inputs: i8[n, ...]` (divided by 127) and `targets: f32[n, k]`.

    `report` is called with epoch and mean loss. `augment(key, batch)` may distort inputs. The
    weights that remain are the exponential average.
    """
    batches = max(1, len(inputs) // config.batch)
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, config.rate, max(1, config.epochs * batches // 20), config.epochs * batches
    )
    optimiser = optax.adamw(schedule, weight_decay=config.weight_decay)
    model.train()  # type: ignore[no-untyped-call] # untyped in flax
    structure, weights, rest = _split(model)
    state = _State(weights, rest, optimiser.init(weights), jax.tree.map(jnp.copy, weights))

    @jax.jit
    def step(state: _State, x: jax.Array, y: jax.Array, key: jax.Array) -> tuple[_State, jax.Array]:
        noise_key, augment_key = jax.random.split(key)
        scaled = x.astype(jnp.float32) / 127
        if augment is not None:
            scaled = augment(augment_key, scaled)
        scaled += config.noise * jax.random.normal(noise_key, scaled.shape)

        def objective(weights: Tree) -> tuple[jax.Array, Tree]:
            network = nnx.merge(structure, weights, state.rest, copy=True)
            value = loss(network(scaled), y)
            return value, nnx.state(network, nnx.Not(nnx.Param))

        (value, rest), gradients = jax.value_and_grad(objective, has_aux=True)(state.weights)
        updates, inner = optimiser.update(gradients, state.inner, state.weights)
        weights = optax.apply_updates(state.weights, updates)
        keep = config.average
        mean = jax.tree.map(lambda m, p: keep * m + (1 - keep) * p, state.mean, weights)
        return _State(weights, rest, inner, mean), value

    order = np.random.default_rng(config.seed)
    key = jax.random.key(config.seed)
    for epoch in range(config.epochs):
        shuffled = order.permutation(len(inputs))
        total = 0.0
        for index in range(batches):
            places = shuffled[index * config.batch : (index + 1) * config.batch]
            key, used = jax.random.split(key)
            x, y = jnp.asarray(inputs[places]), jnp.asarray(targets[places])
            state, value = step(state, x, y, used)
            total += float(value)
        if report is not None:
            report(epoch, total / batches)
    nnx.update(model, state.mean, state.rest)
    model.eval()  # type: ignore[no-untyped-call] # untyped in flax


def _split(model: Network) -> tuple[nnx.GraphDef[Network], Tree, Tree]:
    structure, weights, rest = nnx.split(model, nnx.Param, ...)  # type: ignore[misc] # flax types a star
    return structure, weights, rest


def evaluate(model: Network, inputs: NDArray[np.int8], batch: int = 512) -> Floats:
    """Run the float model over `inputs: i8[n, ...]`."""
    structure, state = nnx.split(model)

    @jax.jit
    def run(current: Tree, x: jax.Array) -> jax.Array:
        return nnx.merge(structure, current)(x.astype(jnp.float32) / 127)

    starts = range(0, len(inputs), batch)
    return np.concatenate(
        [np.asarray(run(state, jnp.asarray(inputs[i : i + batch]))) for i in starts]
    )

"""One step of training as a pure function of a state and a batch, and the loss that judges it."""

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

from models.train.fake_quant import fake_quantised

Tree = object
Loss = Callable[[jax.Array, jax.Array], jax.Array]
Augment = Callable[[jax.Array, jax.Array], jax.Array]
JUDGED_TOGETHER = 512


class Network(nnx.Module):
    """What the loop trains: a module that maps a batch to its outputs."""

    def __call__(self, x: jax.Array) -> jax.Array:
        """Shapes: `f32[batch, *input_shape] -> f32[batch, outputs]`."""
        raise NotImplementedError


class State(NamedTuple):
    """Everything that a step changes.

    `rest` are statistics and dropout's keys, `inner` the optimiser's moments, `mean` the running
    mean of the weights, `key` the one of the next step.
    """

    weights: Tree
    rest: Tree
    inner: Tree
    mean: Tree
    key: jax.Array


@dataclass(frozen=True, slots=True, kw_only=True)
class StepConfig:
    """What a step needs of a run's settings."""

    noise: float
    average: float
    is_bfloat16: bool
    is_fake_quantised: bool
    loss: Loss
    augment: Augment | None


Structure = nnx.GraphDef[Network]
Step = Callable[[State, jax.Array, jax.Array], tuple[State, jax.Array]]
Judge = Callable[[State, NDArray[np.int8], NDArray[np.float32]], float]


def start(
    model: Network, optimiser: optax.GradientTransformation, seed: int
) -> tuple[Structure, State]:
    """A model taken apart, before its first step."""
    structure, weights, rest = nnx.split(model, nnx.Param, ...)  # type: ignore[misc] # flax types a star
    mean = jax.tree.map(jnp.copy, weights)
    return structure, State(weights, rest, optimiser.init(weights), mean, jax.random.key(seed))


def make_step(
    structure: Structure, optimiser: optax.GradientTransformation, config: StepConfig
) -> Step:
    """The compiled step: `x: i8[batch, ...]`, `y: f32[batch, k]` to the next state and the loss."""

    def objective(weights: Tree, rest: Tree, x: jax.Array, y: jax.Array) -> tuple[jax.Array, Tree]:
        if config.is_bfloat16:
            # Weights and moments stay f32; only the products of this step are narrow.
            weights, x = jax.tree.map(_narrow, weights), _narrow(x)

        def run(x: jax.Array) -> tuple[jax.Array, Tree]:
            network = nnx.merge(structure, weights, rest, copy=True)
            return network(x), nnx.state(network, nnx.Not(nnx.Param))

        found, after = (fake_quantised(run) if config.is_fake_quantised else run)(x)
        value = config.loss(found.astype(jnp.float32), y)
        return value, jax.tree.map(lambda new, old: new.astype(old.dtype), after, rest)

    @jax.jit
    def step(state: State, x: jax.Array, y: jax.Array) -> tuple[State, jax.Array]:
        key, used = jax.random.split(state.key)
        noise_key, augment_key = jax.random.split(used)
        scaled = x.astype(jnp.float32) / 127
        if config.augment is not None:
            scaled = config.augment(augment_key, scaled)
        scaled += config.noise * jax.random.normal(noise_key, scaled.shape)
        found = jax.value_and_grad(objective, has_aux=True)(state.weights, state.rest, scaled, y)
        (value, rest), gradients = found
        updates, inner = optimiser.update(gradients, state.inner, state.weights)
        weights = optax.apply_updates(state.weights, updates)
        keep = config.average
        mean = jax.tree.map(lambda m, p: keep * m + (1 - keep) * p, state.mean, weights)
        return State(weights, rest, inner, mean, key), value

    return step


def make_judge(structure: Structure, loss: Loss) -> Judge:
    """The mean loss of the averaged weights on held-out rows, as the model will run."""

    @jax.jit
    def part(state: State, x: jax.Array, y: jax.Array) -> jax.Array:
        network = nnx.merge(structure, state.mean, state.rest, copy=True)
        network.eval()  # type: ignore[no-untyped-call] # untyped in flax
        return loss(network(x.astype(jnp.float32) / 127).astype(jnp.float32), y)

    def judge(state: State, inputs: NDArray[np.int8], targets: NDArray[np.float32]) -> float:
        total = 0.0
        for begin in range(0, len(inputs), JUDGED_TOGETHER):
            x, y = inputs[begin : begin + JUDGED_TOGETHER], targets[begin : begin + JUDGED_TOGETHER]
            total += float(part(state, x, y)) * len(x)
        return total / len(inputs)

    return judge


def _narrow(leaf: jax.Array) -> jax.Array:
    is_wide = jnp.issubdtype(leaf.dtype, jnp.floating)
    return leaf.astype(jnp.bfloat16) if is_wide else leaf

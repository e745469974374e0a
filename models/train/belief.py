"""A deep belief network: layers of a Boltzmann machine trained one after another, then all at once.

Source: Hinton, Osindero, Teh, "A fast learning algorithm for deep belief nets", 2006; one step of
contrastive divergence (Hinton 2002). After `pretrain`, the network is trained like any other.
"""

from __future__ import annotations

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from numpy.typing import NDArray

from models.train.step import Network

PRETRAIN_EPOCHS = 5
PRETRAIN_BATCH = 128
PRETRAIN_RATE = 0.05
Machine = tuple[jax.Array, jax.Array, jax.Array]
"""Weights `[visible, hidden]`, visible and hidden biases."""


class BeliefNet(Network):
    """Sigmoid layers over inputs in [-1, 1], and a linear layer on top."""

    def __init__(
        self, inputs: int, *, hidden: tuple[int, ...] = (48, 24), outputs: int = 1, rngs: nnx.Rngs
    ) -> None:
        sizes = (inputs, *hidden)
        self.layers = nnx.List([nnx.Linear(a, b, rngs=rngs) for a, b in pairwise(sizes)])
        self.last = nnx.Linear(sizes[-1], outputs, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Shapes: `f32[batch, ...] -> f32[batch, outputs]`."""
        x = x.reshape(x.shape[0], -1) * 0.5 + 0.5
        for layer in self.layers:
            x = nnx.sigmoid(layer(x))
        return jnp.asarray(self.last(x))


def pretrain(model: Network, inputs: NDArray[np.int8], seed: int) -> None:
    """Train each layer of a `BeliefNet` in place to reconstruct what the layer below says."""
    assert isinstance(model, BeliefNet)
    key = jax.random.key(seed)
    visible = jnp.asarray(inputs.reshape(len(inputs), -1), jnp.float32) / 254 + 0.5
    for layer in model.layers:
        assert layer.bias is not None
        key, used = jax.random.split(key)
        weights = jnp.asarray(layer.kernel[...])
        start = (weights, jnp.zeros(weights.shape[0]), jnp.zeros(weights.shape[1]))
        weights, _, bias = contrast(start, visible, used)
        layer.kernel[...] = weights
        layer.bias[...] = bias
        visible = nnx.sigmoid(visible @ weights + bias)


def contrast(machine: Machine, visible: jax.Array, key: jax.Array) -> Machine:
    """Some epochs of contrastive divergence over `visible: f32[n, width]`, values in [0, 1]."""
    batch = min(PRETRAIN_BATCH, len(visible))
    count = len(visible) // batch

    @jax.jit
    def epoch(machine: Machine, key: jax.Array) -> Machine:
        order, used = jax.random.split(key)
        shuffled = jax.random.permutation(order, visible)[: count * batch]
        parts = shuffled.reshape(count, batch, -1)
        return jax.lax.scan(step, machine, (parts, jax.random.split(used, count)))[0]

    for used in jax.random.split(key, PRETRAIN_EPOCHS):
        machine = epoch(machine, used)
    return machine


def step(machine: Machine, batch: tuple[jax.Array, jax.Array]) -> tuple[Machine, None]:
    """One step of contrastive divergence on a batch and a key."""
    weights, below, above = machine
    data, key = batch
    hidden = nnx.sigmoid(data @ weights + above)
    drawn = jax.random.bernoulli(key, hidden).astype(jnp.float32)
    again = nnx.sigmoid(drawn @ weights.T + below)
    echo = nnx.sigmoid(again @ weights + above)
    rate = PRETRAIN_RATE
    change = (data.T @ hidden - again.T @ echo) / len(data)
    return (
        weights + rate * change,
        below + rate * (data - again).mean(axis=0),
        above + rate * (hidden - echo).mean(axis=0),
    ), None


def reconstruction_error(machine: Machine, visible: jax.Array) -> float:
    """Mean squared error of what a machine makes of its own input, up and down once."""
    weights, below, above = machine
    again = nnx.sigmoid(nnx.sigmoid(visible @ weights + above) @ weights.T + below)
    return float(jnp.mean((again - visible) ** 2))

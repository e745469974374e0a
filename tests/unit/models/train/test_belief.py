"""The deep belief network: pretraining learns to reconstruct, and the result converts."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from models.convert import Options, convert
from models.interpreter import interpret
from models.train.belief import BeliefNet, contrast, pretrain, reconstruction_error

RANDOM = np.random.default_rng(0)
SOURCES = RANDOM.integers(0, 2, (400, 2))
INPUTS = np.where(np.repeat(SOURCES, 4, axis=1) == 1, 100, -100).astype(np.int8)


def test_contrastive_divergence_lowers_the_error_of_reconstruction() -> None:
    visible = jnp.tile(jnp.asarray(INPUTS, jnp.float32) / 254 + 0.5, (40, 1))
    start = (0.01 * jax.random.normal(jax.random.key(0), (8, 4)), jnp.zeros(8), jnp.zeros(4))
    trained = contrast(start, visible, jax.random.key(1))
    assert reconstruction_error(trained, visible) < 0.9 * reconstruction_error(start, visible)


def test_pretraining_is_a_function_of_the_seed() -> None:
    models = [BeliefNet(8, hidden=(4,), rngs=nnx.Rngs(0)) for _ in range(3)]
    for model, seed in zip(models, (1, 1, 2), strict=True):
        pretrain(model, INPUTS, seed)
    kernels = [np.asarray(model.layers[0].kernel[...]) for model in models]
    assert np.array_equal(kernels[0], kernels[1])
    assert not np.array_equal(kernels[0], kernels[2])


def test_a_belief_network_converts() -> None:
    model = BeliefNet(8, hidden=(6, 4), rngs=nnx.Rngs(0))
    pretrain(model, INPUTS, 0)
    windows = RANDOM.integers(-127, 128, (128, 8)).astype(np.int8)
    conversion = convert(model, windows, Options(steps_per_unit=4096))
    floats = np.asarray(model(jnp.asarray(windows / 127.0, jnp.float32)))
    whole = interpret(conversion.graph, conversion.tensors, windows) / 4096
    assert np.sqrt(np.mean((whole - floats) ** 2)) < 0.15 * floats.std()

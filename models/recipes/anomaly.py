"""Anomaly detection without labels: a certified autoencoder whose output is its own error.

The graph holds encoder, decoder and the mean squared reconstruction error, so the score that a
contract compares with a threshold is itself an exact integer.
"""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from numpy.typing import NDArray

from models.recipes.learners import Goal, Part, converted, late_rows
from models.recipes.report import Say
from models.recipes.settings import PLAIN, Settings
from models.train.certified import checkpoint_of
from models.train.fit import FitConfig, fit, squared
from models.train.step import Network

CONFIG = FitConfig(epochs=40, rate=3e-3, batch=128, noise=0.05, average=0.98)
SCORE = Goal(low=0.0, high=4096.0)
# The squared error of values in [-1, 1], times 256: typical scores are then of order one to 100.
GAIN = 256.0


class Autoencoder(Network):
    """Rows or whole windows through a bottleneck and back, flattened."""

    def __init__(self, values: int, *, rngs: nnx.Rngs) -> None:
        wide = max(8, min(64, 2 * values))
        narrow = max(2, min(16, values // 3))
        self.encode1 = nnx.Linear(values, wide, rngs=rngs)
        self.encode2 = nnx.Linear(wide, narrow, rngs=rngs)
        self.decode1 = nnx.Linear(narrow, wide, rngs=rngs)
        self.decode2 = nnx.Linear(wide, values, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Shapes: `f32[batch, ...] -> f32[batch, values]`."""
        code = self.encode2(nnx.relu(self.encode1(x.reshape(x.shape[0], -1))))
        return jnp.asarray(self.decode2(nnx.relu(self.decode1(code))))


def reconstruction_part(
    model: Autoencoder, inputs: NDArray[np.int8], seed: int, say: Say, settings: Settings = PLAIN
) -> tuple[Part, Goal]:
    """Train on rows or windows taken as normal, and convert error and all: one score for each."""
    targets = (inputs.reshape(len(inputs), -1) / 127.0).astype(np.float32)
    config = replace(settings.applied(CONFIG), seed=seed)
    held = late_rows(np.zeros(len(inputs)), SCORE) & (config.patience > 0)
    seen, validation = (inputs[~held], targets[~held]), (inputs[held], targets[held])
    checked = validation if held.any() else None
    fit(
        model,
        *seen,
        config,
        loss=squared,
        validation=checked,
        checkpoint=checkpoint_of(settings.checkpoints, "autoencoder", config, seen, checked),
        report=lambda epoch, loss: (
            say(f"epoch {epoch + 1}/{config.epochs}  error {loss:.4f}") if epoch % 10 == 9 else None
        ),
    )

    def score(x: jax.Array) -> jax.Array:
        error = x.reshape(x.shape[0], -1) - model(x)
        return (error * error).mean(axis=-1, keepdims=True) * GAIN

    return converted(score, inputs, SCORE), SCORE

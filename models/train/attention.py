"""Multi-head attention that converts: batch first throughout, so that no axis has to move.

`nnx.MultiHeadAttention(..., attention_fn=attention)` is Flax's own module with this product.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from models.train.step import Network


def attention(query: jax.Array, key: jax.Array, value: jax.Array, **_: object) -> jax.Array:
    """Scaled dot-product attention: `f32[batch, steps, heads, width]` three times, and out.

    Masks and dropout inside the product are not taken.
    """
    q, k, v = (x.transpose(0, 2, 1, 3) for x in (query, key, value))
    scores = q @ k.transpose(0, 1, 3, 2) * float(1 / np.sqrt(query.shape[-1]))
    return jnp.asarray((jax.nn.softmax(scores, axis=-1) @ v).transpose(0, 2, 1, 3))


class AttentionNet(Network):
    """One block of an encoder over time: heads, a residual, a small perceptron, a mean."""

    def __init__(
        self,
        channels: int,
        steps: int,
        *,
        width: int = 32,
        heads: int = 4,
        outputs: int = 1,
        dropout: float = 0.1,
        rngs: nnx.Rngs,
    ) -> None:
        self.enter = nnx.Linear(channels, width, rngs=rngs)
        self.place = nnx.Param(0.1 * jax.random.normal(rngs.params(), (steps, width)))
        self.heads = nnx.MultiHeadAttention(
            num_heads=heads, in_features=width, qkv_features=width, decode=False,
            attention_fn=attention, rngs=rngs,
        )  # fmt: skip
        self.norm = nnx.BatchNorm(width, momentum=0.95, rngs=rngs)
        self.dense = nnx.Linear(width, width, rngs=rngs)
        self.dropout = nnx.Dropout(dropout, rngs=rngs)
        self.last = nnx.Linear(2 * width, outputs, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Shapes: `f32[batch, steps, channels] -> f32[batch, outputs]`."""
        x = self.enter(x) + self.place[...]
        x = self.norm(x + self.heads(x))
        x = nnx.relu(self.dense(self.dropout(x)))
        ends = jnp.concatenate([x.mean(axis=1), x[:, -1]], axis=-1)
        return jnp.asarray(self.last(ends))

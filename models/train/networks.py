"""The networks of the recipes, as plain Flax NNX modules.

Each takes a batch first and ends in its outputs: `f32[batch, *input_shape] -> f32[batch, outputs]`.
Inputs are int8 windows divided by 127, so what is trained is what will run.
"""

from __future__ import annotations

from itertools import pairwise

import jax
import jax.numpy as jnp
from flax import nnx

from models.train.step import Network


class ConvNet1d(Network):
    """Three convolutions over time, then two dense layers."""

    def __init__(
        self,
        channels: int,
        steps: int,
        *,
        widths: tuple[int, int, int] = (32, 64, 64),
        hidden: int = 64,
        outputs: int = 1,
        dropout: float = 0.1,
        rngs: nnx.Rngs,
    ) -> None:
        first, second, third = widths
        self.conv1 = nnx.Conv(channels, first, (5,), padding="SAME", rngs=rngs)
        self.conv2 = nnx.Conv(first, second, (5,), strides=(2,), padding="SAME", rngs=rngs)
        self.conv3 = nnx.Conv(second, third, (3,), strides=(2,), padding="SAME", rngs=rngs)
        length = (steps + 3) // 4
        self.dense1 = nnx.Linear(length * third, hidden, rngs=rngs)
        self.dense2 = nnx.Linear(hidden, outputs, rngs=rngs)
        self.dropout = nnx.Dropout(dropout, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Shapes: `f32[batch, steps, channels] -> f32[batch, outputs]`."""
        x = nnx.relu(self.conv1(x))
        x = nnx.relu(self.conv2(x))
        x = nnx.relu(self.conv3(x))
        x = x.reshape(x.shape[0], -1)
        x = self.dropout(x)
        x = nnx.relu(self.dense1(x))
        return jnp.asarray(self.dense2(x))


class FilterNet(Network):
    """Smooth temporal filters shared by all channels, then a small perceptron.

    The filters start as means over the last 30, 15, 8 and 4 steps, a slope, a curvature and two
    early means, and are trained on. Sensor noise is averaged away before anything non-linear
    happens, which is what a network from scratch must first learn from few machines.
    """

    def __init__(
        self,
        channels: int,
        steps: int,
        *,
        hidden: tuple[int, int] = (64, 64),
        outputs: int = 1,
        dropout: float = 0.2,
        rngs: nnx.Rngs,
    ) -> None:
        start = smooth_filters(steps)
        features = channels * start.shape[1]
        self.filters = nnx.Param(start)
        self.norm0 = nnx.BatchNorm(features, momentum=0.95, rngs=rngs)
        self.dense1 = nnx.Linear(features, hidden[0], use_bias=False, rngs=rngs)
        self.norm1 = nnx.BatchNorm(hidden[0], momentum=0.95, rngs=rngs)
        self.dense2 = nnx.Linear(hidden[0], hidden[1], use_bias=False, rngs=rngs)
        self.norm2 = nnx.BatchNorm(hidden[1], momentum=0.95, rngs=rngs)
        self.dense3 = nnx.Linear(hidden[1], outputs, rngs=rngs)
        self.dropout = nnx.Dropout(dropout, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Shapes: `f32[batch, steps, channels] -> f32[batch, outputs]`."""
        steps, channels = x.shape[1:]
        # One dense kernel instead of a product a channel: batch norm then folds into it.
        kernel = jnp.einsum("tk,cd->tcdk", self.filters[...], jnp.eye(channels))
        x = x.reshape(x.shape[0], -1) @ kernel.reshape(steps * channels, -1)
        x = self.norm0(x)
        x = nnx.relu(self.norm1(self.dense1(self.dropout(x))))
        x = nnx.relu(self.norm2(self.dense2(self.dropout(x))))
        return jnp.asarray(self.dense3(x))


def smooth_filters(steps: int) -> jax.Array:
    """Means, slope and curvature over a window: `f32[steps, 8]`, each of unit absolute sum."""
    time = jnp.linspace(-1.0, 1.0, steps)
    age = jnp.arange(steps)[::-1]
    columns = [jnp.where(age < steps / part, 1.0, 0.0) for part in (1, 2, 4, 8)]
    columns += [time, time**2 - jnp.mean(time**2)]
    columns += [jnp.where(age >= steps - steps / part, 1.0, 0.0) for part in (2, 4)]
    filters = jnp.stack(columns, axis=1)
    return filters / jnp.abs(filters).sum(axis=0)


class Perceptron(Network):
    """A multilayer perceptron with batch norm, for tables."""

    def __init__(
        self,
        inputs: int,
        *,
        hidden: tuple[int, ...] = (64, 32),
        outputs: int = 1,
        dropout: float = 0.2,
        rngs: nnx.Rngs,
    ) -> None:
        sizes = (inputs, *hidden)
        self.layers = nnx.List(
            [nnx.Linear(a, b, use_bias=False, rngs=rngs) for a, b in pairwise(sizes)]
        )
        self.norms = nnx.List([nnx.BatchNorm(n, momentum=0.95, rngs=rngs) for n in hidden])
        self.dropout = nnx.Dropout(dropout, rngs=rngs)
        self.last = nnx.Linear(sizes[-1], outputs, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Shapes: `f32[batch, ...] -> f32[batch, outputs]`."""
        x = x.reshape(x.shape[0], -1)
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = self.dropout(nnx.relu(norm(layer(x))))
        return jnp.asarray(self.last(x))


class TableConv(Network):
    """Convolutions along the columns of a table, taken as a signal, then two dense layers."""

    def __init__(
        self, columns: int, *, width: int = 8, hidden: int = 32, outputs: int = 1, rngs: nnx.Rngs
    ) -> None:
        self.first = nnx.Conv(1, width, (3,), padding="SAME", rngs=rngs)
        self.second = nnx.Conv(width, width, (3,), padding="SAME", rngs=rngs)
        self.dense = nnx.Linear(columns * width, hidden, rngs=rngs)
        self.last = nnx.Linear(hidden, outputs, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Shapes: `f32[batch, columns] -> f32[batch, outputs]`."""
        x = x.reshape(x.shape[0], -1, 1)
        x = nnx.relu(self.second(nnx.relu(self.first(x))))
        return jnp.asarray(self.last(nnx.relu(self.dense(x.reshape(x.shape[0], -1)))))


class ConvNet2d(Network):
    """Three convolutions with pooling, then a dense layer, for square images."""

    def __init__(
        self,
        size: int,
        channels: int,
        outputs: int,
        *,
        widths: tuple[int, int, int] = (16, 32, 64),
        dropout: float = 0.3,
        rngs: nnx.Rngs,
    ) -> None:
        sizes = (channels, *widths)
        self.convs = nnx.List(
            [nnx.Conv(a, b, (3, 3), use_bias=False, rngs=rngs) for a, b in pairwise(sizes)]
        )
        self.norms = nnx.List([nnx.BatchNorm(n, momentum=0.95, rngs=rngs) for n in widths])
        self.dropout = nnx.Dropout(dropout, rngs=rngs)
        self.last = nnx.Linear((size // 8) ** 2 * widths[-1], outputs, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Shapes: `f32[batch, size, size, channels] -> f32[batch, outputs]`."""
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = nnx.relu(norm(conv(x)))
            x = nnx.max_pool(x, (2, 2), (2, 2))  # type: ignore[no-untyped-call] # untyped in flax
        return jnp.asarray(self.last(self.dropout(x.reshape(x.shape[0], -1))))


class RecurrentNet(Network):
    """A GRU or LSTM over time, read out after the last step."""

    def __init__(
        self,
        channels: int,
        *,
        cell: str = "gru",
        hidden: int = 32,
        outputs: int = 1,
        rngs: nnx.Rngs,
    ) -> None:
        is_gru = cell == "gru"
        self.gru = nnx.GRUCell(channels, hidden, rngs=rngs) if is_gru else None
        self.lstm = None if is_gru else nnx.OptimizedLSTMCell(channels, hidden, rngs=rngs)
        self.hidden = hidden
        self.last = nnx.Linear(hidden, outputs, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Shapes: `f32[batch, steps, channels] -> f32[batch, outputs]`."""
        zero = jnp.zeros((x.shape[0], self.hidden), x.dtype)
        steps = x.transpose(1, 0, 2)
        if self.lstm is not None:
            (_, hidden), _ = jax.lax.scan(self._lstm_step, (zero, zero), steps)
        else:
            hidden, _ = jax.lax.scan(self._gru_step, zero, steps)
        return jnp.asarray(self.last(hidden))

    def _gru_step(self, carry: jax.Array, x: jax.Array) -> tuple[jax.Array, None]:
        assert self.gru is not None
        return self.gru(carry, x)[0], None

    def _lstm_step(
        self, carry: tuple[jax.Array, jax.Array], x: jax.Array
    ) -> tuple[tuple[jax.Array, jax.Array], None]:
        assert self.lstm is not None
        return self.lstm(carry, x)[0], None

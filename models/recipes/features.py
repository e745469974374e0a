"""Integer features of a window, computed inside the certified graph.

Window sums over the last n steps, an early sum, a slope, a curvature and a variance per channel:
dot products with small integer kernels, so that trees split on exact integers.
"""

from __future__ import annotations

import numpy as np

from models import graph as g
from models.convert.assemble import Assembly
from models.rules import Tensor


def window_features(assembly: Assembly) -> int:
    """Append the features of a `[steps, channels]` input; return the vector's number."""
    steps, channels = assembly.input_shape
    kernel = temporal_kernel(steps)
    joined = _per_channel(assembly, kernel)
    variance = _variance(assembly, steps, channels)
    return assembly.push(g.Concat((joined, variance), 0))


def temporal_kernel(steps: int) -> Tensor:
    """Integer filters over time: `i8[steps, 8]`."""
    time = np.arange(steps)
    age = steps - 1 - time
    centred = 2 * time - (steps - 1)
    columns = [
        np.where(age < max(1, round(steps * share)), 1, 0) for share in (1, 0.5, 1 / 3, 1 / 6)
    ]
    columns.append(np.where(age == 0, 1, 0))
    columns.append(np.where(time < max(1, round(steps / 3)), 1, 0))
    columns.append(np.round(centred * (126 / max(abs(centred).max(), 1))))
    curve = centred.astype(float) ** 2 - np.mean(centred.astype(float) ** 2)
    columns.append(np.round(curve * (126 / max(np.abs(curve).max(), 1))))
    return np.stack(columns, axis=1).astype(np.int8)


def _per_channel(assembly: Assembly, kernel: Tensor) -> int:
    channels = assembly.input_shape[1]
    count = kernel.shape[1]
    turned = assembly.push(g.Transpose(0, (1, 0)))
    weight = assembly.tensor("filters", kernel)
    bias = assembly.tensor("zero", np.zeros(count, np.int32))
    found = assembly.push(g.Dense(turned, weight, bias))
    return assembly.push(g.Reshape(found, (channels * count,)))


def _variance(assembly: Assembly, steps: int, channels: int) -> int:
    """`steps * sum(x**2) - sum(x)**2`, scaled down to 16 bits: the variance up to a factor."""
    total = assembly.push(g.Sum(0, (0,)))
    square = assembly.push(g.Multiply(total, total))
    squares = assembly.push(g.Sum(assembly.push(g.Multiply(0, 0)), (0,)))
    factor = assembly.tensor("steps", np.full((1, 1), steps, np.int32))
    scaled = assembly.push(g.Multiply(squares, assembly.push(g.Constant(factor))))
    spread = assembly.push(g.Subtract(scaled, square))
    # Cauchy-Schwarz makes it non-negative; ranges alone cannot see that.
    positive = assembly.push(g.Clip(spread, 0, (1 << 31) - 1))
    return assembly.push(g.Reshape(positive, (channels,)))

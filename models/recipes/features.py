"""Integer features of a window, computed inside the certified graph.

Window sums over the last n steps, an early sum, a slope, a curvature and a variance per channel:
dot products with small integer kernels, so that trees split on exact integers.
"""

from __future__ import annotations

import numpy as np

from models import graph as g
from models.convert.assemble import Assembly
from models.rules import Tensor

# Chosen by two-fold validation over training engines of FD003 and FD004.
MEAN_STEPS = (3, 5, 10, 15, 30, 60, 120)
SLOPE_STEPS = (15, 30, 60, 120)
FIRST_STEPS = 10
VARIANCE_STEPS = 30


def window_features(assembly: Assembly) -> int:
    """Append the features of a `[steps, channels]` input; return the vector's number."""
    steps, channels = assembly.input_shape
    kernel = temporal_kernel(steps)
    joined = _per_channel(assembly, kernel, 0, channels)
    variance = _variance(assembly, 0, steps, channels)
    return assembly.push(g.Concat((joined, variance), 0))


def history_features(assembly: Assembly) -> int:
    """Append features of a long `[steps, channels]` window whose last channel is the age.

    Means over runs of the newest steps, slopes over the longer ones, the oldest steps' sum, the
    newest steps' variance, and the age at the end. Padding repeats the first step, so that
    sums over more steps than were seen lean on the start.
    """
    steps, channels = assembly.input_shape
    sensors = assembly.push(g.Slice(0, (0, 0), (steps, channels - 1)))
    joined = _per_channel(assembly, history_kernel(steps), sensors, channels - 1)
    newest = min(VARIANCE_STEPS, steps)
    recent = assembly.push(g.Slice(sensors, (steps - newest, 0), (steps, channels - 1)))
    variance = _variance(assembly, recent, newest, channels - 1)
    last = assembly.push(g.Slice(0, (steps - 1, channels - 1), (steps, channels)))
    age = assembly.push(g.Reshape(last, (1,)))
    return assembly.push(g.Concat((joined, variance, age), 0))


def history_kernel(steps: int) -> Tensor:
    """Integer filters over a long window: `i8[steps, filters]`."""
    age = steps - 1 - np.arange(steps)
    columns = [np.where(age < run, 1, 0) for run in MEAN_STEPS if run <= steps]
    for run in SLOPE_STEPS:
        if run <= steps:
            slope = (run - 1) - 2 * age
            columns.append(np.where(age < run, np.round(slope * (126 / (run - 1))), 0))
    columns.append(np.where(age >= steps - FIRST_STEPS, 1, 0))
    return np.stack(columns, axis=1).astype(np.int8)


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


def _per_channel(assembly: Assembly, kernel: Tensor, source: int, channels: int) -> int:
    count = kernel.shape[1]
    turned = assembly.push(g.Transpose(source, (1, 0)))
    weight = assembly.tensor("filters", kernel)
    bias = assembly.tensor("zero", np.zeros(count, np.int32))
    found = assembly.push(g.Dense(turned, weight, bias))
    return assembly.push(g.Reshape(found, (channels * count,)))


def _variance(assembly: Assembly, source: int, steps: int, channels: int) -> int:
    """`steps * sum(x**2) - sum(x)**2`, scaled down to 16 bits: the variance up to a factor."""
    total = assembly.push(g.Sum(source, (0,)))
    square = assembly.push(g.Multiply(total, total))
    squares = assembly.push(g.Sum(assembly.push(g.Multiply(source, source)), (0,)))
    factor = assembly.tensor("steps", np.full((1, 1), steps, np.int32))
    scaled = assembly.push(g.Multiply(squares, assembly.push(g.Constant(factor))))
    spread = assembly.push(g.Subtract(scaled, square))
    # Cauchy-Schwarz makes it non-negative; ranges alone cannot see that.
    positive = assembly.push(g.Clip(spread, 0, (1 << 31) - 1))
    return assembly.push(g.Reshape(positive, (channels,)))

"""An exact score of a model on the run's public validation set, the same on every validator.

The network of `rul` evaluated in int64 fixed point: weights in 2^-16, divisions toward minus
infinity, magnitudes clipped so that no sum can overflow. It gates a round (a worse model is rolled
back) and values contributions; the package that is published later has its own certificate.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from models.federated.ring import Sums
from models.federated.rul import BLOCK, CAP, Data, Network

_WEIGHT_MAX = 2**23
_HIDDEN_MAX = 2**26
_INPUT_UNITS = 127 * BLOCK
_MILLI = 1000


def rul_scorer(network: Network, validation: Data, fine_bits: int) -> Callable[[Sums], int]:
    """Score `i64[d]` models by minus the root mean squared error in thousandths of a cycle."""
    count = len(validation.inputs)
    blocks = validation.inputs.astype(np.int64).reshape(count, -1, BLOCK, network.sensors)
    first = blocks.sum(axis=2).reshape(count, -1)
    truth = np.rint(validation.lives.astype(np.float64) * _MILLI).astype(np.int64)

    def score(model: Sums) -> int:
        lives = exact_lives(network, model, first, fine_bits)
        errors = np.clip(lives, 0, CAP * _MILLI) - truth
        return -isqrt(int((errors * errors).sum()) // count)

    return score


def exact_lives(
    network: Network, model: Sums, sums: NDArray[np.int64], fine_bits: int
) -> NDArray[np.int64]:
    """Lives in thousandths of a cycle for `sums: i64[n, blocks * sensors]` of int8 readings."""
    shift = fine_bits - 16
    weights = np.clip(model >> shift if shift >= 0 else model << -shift, -_WEIGHT_MAX, _WEIGHT_MAX)
    parts, place = [], 0
    for shape in network.shapes:
        size = int(np.prod(shape))
        parts.append(weights[place : place + size].reshape(shape))
        place += size
    # The first layer's inputs are sums of int8: their unit is 127 * 5, not 2^16.
    hidden = (sums @ parts[0] + parts[1] * _INPUT_UNITS) // _INPUT_UNITS
    for index in range(2, len(parts), 2):
        hidden = np.clip(hidden, 0, _HIDDEN_MAX)
        hidden = ((hidden @ parts[index]) >> 16) + parts[index + 1]
    return np.asarray(hidden[:, 0] * (CAP * _MILLI) >> 16)

"""Attacks on an average, by name: what a robust rule has to stand. For tests and benchmarks.

Each takes what honest training gave all plants and replaces the rows of the attackers, who know
the honest updates (ALIE, IPM) or only their own. Source: federated-learning reference 1.4.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.federated.trial import HIDDEN, SENSORS

Floats = NDArray[np.float32]

AttackName = Literal[
    "none", "label_flip", "sign_flip", "gaussian", "shuffled", "inner_product", "little_enough"
]
ATTACKS: tuple[AttackName, ...] = (
    "none",
    "label_flip",
    "sign_flip",
    "gaussian",
    "shuffled",
    "inner_product",
    "little_enough",
)


def attack_updates(
    name: AttackName, updates: Floats, attackers: int, rng: np.random.Generator
) -> Floats:
    """Replace the first `attackers` rows of `updates: f32[n, d]`.

    `label_flip` changes the data before training, so the rows stay as they are.
    """
    if attackers == 0:
        return updates
    result = updates.copy()
    honest = updates[attackers:]
    own = updates[:attackers]
    match name:
        case "sign_flip":
            result[:attackers] = -4 * own
        case "gaussian":
            result[:attackers] = rng.normal(0, 0.2, own.shape)
        case "shuffled":
            result[:attackers] = 10 * rng.permuted(own, axis=1)
        case "inner_product":
            result[:attackers] = -0.5 * honest.mean(axis=0)
        case "little_enough":
            z = little_enough_shift(len(updates), attackers)
            result[:attackers] = honest.mean(axis=0) - z * honest.std(axis=0)
        case "none" | "label_flip":
            pass
    return result


def little_enough_shift(plants: int, attackers: int) -> float:
    """How many deviations hide in the crowd. Source: Baruch et al. 1902.06156."""
    supporters = plants // 2 + 1 - attackers
    share = (plants - attackers - supporters) / (plants - attackers)
    return max(0.0, NormalDist().inv_cdf(min(max(share, 0.01), 0.99)))


def recovered_inputs(gradient: Floats) -> Floats:
    """What a gradient `f32[d]` of the network of `trial` says about its batch: `f32[units, 24]`.

    Of a linear layer the gradient by weights is input times error, by bias the error: where one
    record alone moved a unit, their quotient is that record. Source: reference 5.1.
    """
    count = SENSORS * HIDDEN
    by_weight = gradient[:count].reshape(SENSORS, HIDDEN)
    by_bias = gradient[count : count + HIDDEN]
    is_moved = np.abs(by_bias) > np.float32(1e-12)
    divisor = np.where(is_moved, by_bias, np.float32(1))
    return np.asarray((by_weight / divisor).T[is_moved], np.float32).reshape(-1, SENSORS)

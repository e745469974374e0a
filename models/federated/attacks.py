"""Attacks on an average, by name: what a robust rule has to stand. For tests and benchmarks.

Each takes what honest training gave all plants and replaces the rows of the attackers, who know
the honest updates (ALIE, IPM) or only their own. Source: federated-learning reference 1.4.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

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

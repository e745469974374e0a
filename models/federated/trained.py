"""What a plant's own training is given and gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What local training gives: the update `f32[d]` and the zCDP it cost, in micro-rho.

    `travel` is the sum of the learning rates of the local steps; only SCAFFOLD needs it.
    """

    update: Floats
    rho: int = 0
    travel: float = 0.0


Train = Callable[[Floats, int], Trained]
"""The plant's own training: (model `f32[d]`, round number) -> update. Data never leaves it."""
ControlledTrain = Callable[[Floats, int, Floats], Trained]
"""In a SCAFFOLD run there is a correction `f32[d]` besides, to be added to every gradient."""

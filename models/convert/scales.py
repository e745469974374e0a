"""Choosing integer scales: where to clip, and how a ratio becomes multiplier and shift."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from andon.core.errors import Code, InvalidInput
from models.rules import INTEGER_MAX, SHIFT_MAX

LIMIT = 127
_SAMPLE = 200_000


def clip_scale(values: NDArray[np.float32]) -> float:
    """The int8 scale with the least squared error on `values`: clipping against rounding."""
    flat = np.abs(values.ravel())
    if flat.size > _SAMPLE:
        flat = flat[:: flat.size // _SAMPLE + 1]
    top = float(flat.max()) if flat.size else 0.0
    if not np.isfinite(top):
        raise InvalidInput(
            Code.NOT_CERTIFIED, "calibration gave infinite or missing values", rule="calibrate"
        )
    if top == 0.0:
        return 1.0 / LIMIT
    best, error_of_best = top / LIMIT, np.inf
    for share in np.linspace(0.6, 1.0, 17):
        scale = top * float(share) / LIMIT
        error = float(np.mean((np.minimum(np.round(flat / scale), LIMIT) * scale - flat) ** 2))
        if error <= error_of_best:
            best, error_of_best = scale, error
    return best


def ratio(value: float, magnitude: int) -> tuple[int, int]:
    """Multiplier and shift with `m / 2**s` close to `value`, exact for inputs up to `magnitude`.

    Powers of two come out exactly, with multiplier 1 or shift 0.

    Raises:
        InvalidInput: NOT_CERTIFIED when no pair of int32 arithmetic is close.
    """
    mantissa, exponent = np.frexp(value)
    if mantissa == 0.5:
        power = int(exponent) - 1
        if -31 <= power <= 14 and magnitude << max(power, 0) <= INTEGER_MAX // 2:
            return (1 << power, 0) if power >= 0 else (1, -power)
    for bits in range(15, 4, -1):
        multiplier, shift = round(float(mantissa) * (1 << bits)), bits - int(exponent)
        if multiplier == 1 << bits:
            multiplier, shift = multiplier >> 1, shift - 1
        if 0 <= shift <= SHIFT_MAX and _fits(multiplier, shift, magnitude):
            return multiplier, shift
    raise InvalidInput(
        Code.NOT_CERTIFIED,
        f"no int32 rescale by {value:.3g} for values up to {magnitude}",
        rule="R4",
    )


def _fits(multiplier: int, shift: int, magnitude: int) -> bool:
    if shift <= 31 and magnitude * multiplier + (1 << max(shift - 1, 0)) <= INTEGER_MAX:
        return True
    if shift < 13 or multiplier > (1 << 15) - 1:
        return False
    return (magnitude * multiplier >> 12) + 1 + (1 << (shift - 13)) <= INTEGER_MAX

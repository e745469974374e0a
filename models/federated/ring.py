"""Model updates as integers: fixed point, then the ring of integers mod 2^32.

Addition mod 2^32 is associative and commutative, so a sum of encoded updates has one value for
every arrival order, chunking and processor. The sum is only meaningful if it cannot wrap: the
headroom rule `clients_max * weight_max * limit < 2^31` is checked when an encoding is made, and
the contract checks it again when a run is created.

Source: federated-learning reference 3.1, steps 1 and 8.
"""

from __future__ import annotations

from math import isqrt, sqrt

import numpy as np
from numpy.typing import NDArray

from andon.core.codec import Record
from andon.core.errors import Code, InvalidInput, Misuse

Units = NDArray[np.int32]
"""Fixed-point numbers: a value v is stored as v * 2^scale_bits."""
Words = NDArray[np.uint32]
"""Elements of the ring; masked vectors look uniform."""
Sums = NDArray[np.int64]

HEADROOM = 2**31
PARAMETERS_MAX = 256 * 1024 * 1024
_DOT_CHUNK = 2**20


class Encoding(Record, frozen=True):
    """How a float update becomes integers; part of a run, so every plant uses the same.

    `limit` bounds |unit| of one coordinate and `norm_limit` the L2 norm of the vector, both in
    units of 2^-scale_bits. `weight_max` is the largest public weight of a plant.
    """

    scale_bits: int
    limit: int
    norm_limit: int
    weight_max: int
    clients_max: int


def check_encoding(encoding: Encoding) -> None:
    """Require positive fields and the headroom that keeps a sum from wrapping.

    Raises:
        InvalidInput: BAD_ARGUMENTS with the figures that do not fit.
    """
    fields = (encoding.limit, encoding.norm_limit, encoding.weight_max, encoding.clients_max)
    if min(fields) < 1 or not 0 <= encoding.scale_bits <= 30:
        raise InvalidInput(Code.BAD_ARGUMENTS, "every field of an encoding must be positive")
    worst = encoding.clients_max * encoding.weight_max * encoding.limit
    if worst >= HEADROOM:
        raise InvalidInput(
            Code.BAD_ARGUMENTS,
            f"{encoding.clients_max} clients of weight {encoding.weight_max} and limit "
            f"{encoding.limit} can reach {worst}, which is not below 2^31: the sum would wrap",
            hint="lower the scale, the clip limit or the weights",
        )


def encode_update(update: NDArray[np.float32], encoding: Encoding) -> Units:
    """Clip and round `update: f32[d]` to units whose integer norm is within `norm_limit`.

    Rounding error is at most half a unit a coordinate unless the norm bound is hit.

    Raises:
        InvalidInput: BAD_ARGUMENTS for a vector that is not finite, flat or of sane length.
    """
    if update.ndim != 1 or not 1 <= update.size <= PARAMETERS_MAX:
        raise InvalidInput(Code.BAD_ARGUMENTS, f"an update is flat, not {update.shape}")
    if not np.isfinite(update).all():
        raise InvalidInput(
            Code.BAD_ARGUMENTS,
            "the update holds NaN or infinity",
            hint="training diverged: lower the learning rate",
        )
    scaled = np.multiply(update, float(1 << encoding.scale_bits), dtype=np.float64)
    norm = float(np.sqrt(np.dot(scaled, scaled)))
    if norm > encoding.norm_limit:
        scaled *= encoding.norm_limit / norm
    limit = float(encoding.limit)
    np.clip(scaled, -limit, limit, out=scaled)
    units = np.rint(scaled, out=scaled).astype(np.int32)
    # Rounding adds at most sqrt(d)/2 to the norm: far below the bound no exact check is needed.
    is_near = norm + sqrt(update.size) > encoding.norm_limit
    if is_near and squared_norm(units) > encoding.norm_limit**2:
        # Rounding went outward: shrink by one unit in norm and round toward zero.
        shrink = max(0, encoding.norm_limit - 1) / max(1, isqrt(squared_norm(units)) + 1)
        units = np.trunc(units * shrink).astype(np.int32)
    return units


def decode_units(units: Sums | Units, scale_bits: int) -> NDArray[np.float64]:
    """Turn units back into floats."""
    return units.astype(np.float64) / float(1 << scale_bits)


def to_ring(units: Units, weight: int, encoding: Encoding) -> Words:
    """Multiply `units: i32[d]` by the public `weight` and enter the ring.

    Raises:
        InvalidInput: BAD_ARGUMENTS if a coordinate or the weight is out of bounds.
    """
    check_units(units, encoding)
    if not 1 <= weight <= encoding.weight_max:
        raise InvalidInput(
            Code.BAD_ARGUMENTS, f"weight {weight} is not in 1..{encoding.weight_max}"
        )
    # The headroom rule keeps the product below 2^31.
    return (units.astype(np.int32, copy=False) * np.int32(weight)).view(np.uint32)


def check_units(units: Units | Sums, encoding: Encoding) -> None:
    """Require every coordinate within `limit`.

    Raises:
        InvalidInput: BAD_ARGUMENTS naming the first coordinate out of bounds.
    """
    limit = encoding.limit
    if not units.size or (int(units.max()) <= limit and int(units.min()) >= -limit):
        return
    place = int(np.flatnonzero((units > limit) | (units < -limit))[0])
    raise InvalidInput(
        Code.BAD_ARGUMENTS,
        f"coordinate {place} is {int(units[place])}, beyond the limit {limit}",
    )


def centred(words: Words) -> Sums:
    """Read ring elements as signed numbers in [-2^31, 2^31)."""
    return words.view(np.int32).astype(np.int64)


def words_to_bytes(words: Words) -> bytes:
    """The blob of a vector: little-endian, four bytes an element."""
    return words.astype("<u4", copy=False).tobytes()


def words_from_bytes(blob: bytes, count: int) -> Words:
    """Read a blob of exactly `count` elements.

    Raises:
        InvalidInput: MALFORMED for any other length.
    """
    if len(blob) != 4 * count:
        raise InvalidInput(
            Code.MALFORMED, f"a blob of {len(blob)} bytes is not a vector of {count} elements"
        )
    return np.frombuffer(blob, "<u4").astype(np.uint32, copy=True)


def squared_norm(units: Units | Sums) -> int:
    """The exact squared L2 norm."""
    return exact_dot(units, units)


def exact_dot(left: Units | Sums, right: Units | Sums) -> int:
    """The exact inner product of two vectors with |element| < 2^32, as a Python integer.

    Elements are split into 16-bit halves and multiplied as float64: every partial sum is an
    integer below 2^53, so BLAS may add in any order, on any processor, with the same result.
    """
    if left.shape != right.shape:
        raise Misuse(Code.BAD_ARGUMENTS, f"lengths {left.size} and {right.size} differ")
    total = 0
    for start in range(0, left.size, _DOT_CHUNK):
        a = left[start : start + _DOT_CHUNK].astype(np.int64)
        b = right[start : start + _DOT_CHUNK].astype(np.int64)
        a_high, a_low = _halves(a)
        b_high, b_low = _halves(b)
        total += int(np.dot(a_high, b_high)) << 32
        total += (int(np.dot(a_high, b_low)) + int(np.dot(a_low, b_high))) << 16
        total += int(np.dot(a_low, b_low))
    return total


def _halves(values: Sums) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if values.size and (int(values.max()) >= 2**32 or int(values.min()) < -(2**32)):
        raise Misuse(Code.BAD_ARGUMENTS, "exact_dot takes elements below 2^32 in magnitude")
    return (values >> 16).astype(np.float64), (values & 0xFFFF).astype(np.float64)

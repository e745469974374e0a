"""Rules that outvote bad updates, in integers: every validator computes the same bytes.

Rows are `i64[n, d]` in fine units (2^-8 of a unit), one a plant in plain mode and one a group in
grouped mode. Every division states its rounding: toward minus infinity. Rules never reject a
plant; statistics only flag (`outliers`), because honest plants with unusual data look the same.

Source: federated-learning reference 1.4 (measurements, conditions) and 3.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt
from typing import Literal

import numpy as np

from andon.core.errors import Code, InvalidInput
from models.federated.ring import Sums, Units, exact_dot

FINE_BITS = 8
ROWS_MAX = 256
ELEMENT_MAX = 2**31
ITERATIONS = 5
_ONE = 1 << 16
_COSINE_BITS = 32

RuleName = Literal[
    "mean", "median", "trimmed", "norm_clipped", "geometric", "centred", "agreeing", "trust"
]
RULES: tuple[RuleName, ...] = (
    "mean",
    "median",
    "trimmed",
    "norm_clipped",
    "geometric",
    "centred",
    "agreeing",
    "trust",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule with its parameters, as a run declares it.

    `tolerated` is how many bad rows it must stand (trimmed, agreeing). `centred` needs no
    radius: the median distance serves. `trust` needs the update of the root set in `apply_rule`.
    """

    name: RuleName
    tolerated: int = 0


def fine_rows(updates: list[Units]) -> Sums:
    """Stack single updates as rows."""
    return np.stack([np.asarray(u, np.int64) for u in updates]) << FINE_BITS


def fine_mean(total: Sums, weight: int) -> Sums:
    """The mean of a sum of total weight `weight`, as one row."""
    if weight < 1:
        raise InvalidInput(Code.BAD_ARGUMENTS, "a sum of no weight has no mean")
    return (total << FINE_BITS) // weight


def apply_rule(rule: Rule, rows: Sums, *, root: Sums | None = None) -> Sums:
    """Reduce `rows: i64[n, d]` to one `i64[d]` in fine units.

    Raises:
        InvalidInput: BAD_ARGUMENTS for too few rows for the tolerance, elements of 2^31 or
            more, or a missing root update.
    """
    _check(rule, rows)
    match rule.name:
        case "mean":
            return np.asarray(rows.sum(axis=0) // len(rows))
        case "median":
            return trimmed_mean(rows, (len(rows) - 1) // 2)
        case "trimmed":
            return trimmed_mean(rows, rule.tolerated)
        case "norm_clipped":
            return norm_clipped_mean(rows)
        case "geometric":
            return geometric_median(rows)
        case "centred":
            return centred_clipping(rows)
        case "agreeing":
            return centred_clipping(agreeing_rows(rows, rule.tolerated))
        case "trust":
            if root is None:
                raise InvalidInput(
                    Code.BAD_ARGUMENTS,
                    "the rule `trust` needs the update of the root set",
                    hint="the run's root plant must commit its update in plain",
                )
            return trusted_mean(rows, root)


def trimmed_mean(rows: Sums, trim: int) -> Sums:
    """Drop the `trim` smallest and largest of each coordinate and average the rest."""
    ordered = np.sort(rows, axis=0)
    kept = ordered[trim : len(rows) - trim]
    return np.asarray(kept.sum(axis=0) // len(kept))


def norm_clipped_mean(rows: Sums) -> Sums:
    """Shrink every row to the median norm, then average."""
    norms = [_norm(row) for row in rows]
    radius = _median(norms)
    return _scaled_sum(rows, [_shrink(radius, norm) for norm in norms], len(rows) * _ONE)


def centred_clipping(rows: Sums, iterations: int = ITERATIONS) -> Sums:
    """Move from the coordinate median by differences that are clipped to their median norm.

    Source: Karimireddy et al. 2012.10333, with the radius taken from the rows themselves.
    """
    centre = trimmed_mean(rows, (len(rows) - 1) // 2)
    for _ in range(iterations):
        apart = rows - centre
        norms = [_norm(row) for row in apart]
        radius = _median(norms)
        factors = [_shrink(radius, norm) for norm in norms]
        centre = centre + _scaled_sum(apart, factors, len(rows) * _ONE)
    return centre


def agreeing_rows(rows: Sums, tolerated: int) -> Sums:
    """Leave out the `tolerated` rows whose directions agree least with those of the others.

    Multi-Krum on cosines: a row's score is the sum of its n - tolerated largest ones, so that
    neither a long row nor a short one that points backward can hide behind its length.
    Source: Blanchard et al. 2017, on directions.
    """
    count = len(rows)
    kept = count - tolerated
    norms = [max(1, _norm(row)) for row in rows]
    cosines = [[0] * count for _ in rows]
    for left in range(count):
        for right in range(left + 1):
            dot = exact_dot(rows[left], rows[right])
            cosine = (dot << _COSINE_BITS) // (norms[left] * norms[right])
            cosines[left][right] = cosines[right][left] = cosine
    scores = [sum(sorted(line)[tolerated:]) for line in cosines]
    # Equal scores are decided by content: the order of arrival decides nothing.
    order = sorted(range(count), key=lambda k: (-scores[k], rows[k].tobytes()))
    return np.asarray(rows[sorted(order[:kept])])


def geometric_median(rows: Sums, iterations: int = 2 * ITERATIONS) -> Sums:
    """Smoothed Weiszfeld steps from the coordinate median; a fixed number of them."""
    centre = trimmed_mean(rows, (len(rows) - 1) // 2)
    for _ in range(iterations):
        norms = [_norm(row - centre) for row in rows]
        floor = max(1, _median(norms) >> 10)
        norms = [max(norm, floor) for norm in norms]
        nearest = min(norms)
        weights = [max(1, (nearest << 16) // norm) for norm in norms]
        centre = _scaled_sum(rows, weights, sum(weights))
    return centre


def trusted_mean(rows: Sums, root: Sums) -> Sums:
    """Weigh each row by its positive cosine to the root update and give it the root's norm.

    With no row in agreement the result is zero: the model stays. Source: FLTrust (Cao et al.
    2012.13995).
    """
    root_norm = _norm(root)
    norms = [max(1, _norm(row)) for row in rows]
    scores = [
        max(0, exact_dot(row, root)) * _ONE // (norm * max(1, root_norm))
        for row, norm in zip(rows, norms, strict=True)
    ]
    total = sum(scores)
    if total == 0:
        return np.zeros_like(root)
    result = np.zeros_like(root)
    for row, norm, score in zip(rows, norms, scores, strict=True):
        # At most 2^32 of root norm in 2^16 parts: the products stay below 2^62.
        factor = score * root_norm * _ONE // (norm * total)
        result += row * min(factor, 2**30) // _ONE
    return result


def outliers(rows: Sums, result: Sums) -> tuple[int, ...]:
    """Indices of rows that point away from the result or are three median norms long.

    A flag for people, never a verdict.
    """
    norms = [_norm(row) for row in rows]
    usual = 3 * max(1, _median(norms))
    return tuple(
        index
        for index, (row, norm) in enumerate(zip(rows, norms, strict=True))
        if norm > usual or exact_dot(row, result) < 0
    )


def _check(rule: Rule, rows: Sums) -> None:
    if rows.ndim != 2 or not 1 <= len(rows) <= ROWS_MAX:
        raise InvalidInput(Code.BAD_ARGUMENTS, f"rows have shape {rows.shape}")
    if int(rows.max()) >= ELEMENT_MAX or int(rows.min()) <= -ELEMENT_MAX:
        raise InvalidInput(
            Code.BAD_ARGUMENTS,
            "an element is too large for the integer rules",
            hint="lower the encoding's limit below 2^23",
        )
    if rule.tolerated < 0 or 2 * rule.tolerated >= len(rows):
        raise InvalidInput(
            Code.BAD_ARGUMENTS,
            f"{len(rows)} rows cannot stand {rule.tolerated} bad ones",
            hint="more than half of the rows must be honest",
        )


def _norm(row: Sums) -> int:
    return isqrt(exact_dot(row, row))


def _median(values: list[int]) -> int:
    """The lower median."""
    return sorted(values)[(len(values) - 1) // 2]


def _shrink(radius: int, norm: int) -> int:
    """The factor, in 2^-16, that brings `norm` down to `radius`."""
    return _ONE if norm <= radius else radius * _ONE // norm


def _scaled_sum(rows: Sums, factors: list[int], divisor: int) -> Sums:
    """`sum(rows[i] * factors[i]) // divisor`: below 2^63 for 256 rows below 2^32 and 2^-16."""
    total = np.zeros(rows.shape[1], np.int64)
    for row, factor in zip(rows, factors, strict=True):
        total += row * factor
    return np.asarray(total // divisor)

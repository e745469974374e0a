"""Contributions by exact group Shapley values, in integers.

Source: GroupSV, arXiv 2101.10572. With g groups the score is evaluated 2^g times, so g is small;
members of a group share its value equally.
"""

from __future__ import annotations

from collections.abc import Callable
from math import factorial

from andon.core.errors import Code, InvalidInput

GROUPS_MAX = 8


def shapley_values(groups: int, score: Callable[[tuple[int, ...]], int]) -> tuple[int, ...]:
    """The Shapley value of each of `groups` players, rounded toward minus infinity.

    `score` is called once for each coalition, given as ascending indices, the empty one included.

    Raises:
        InvalidInput: BAD_ARGUMENTS for more than 8 groups.
    """
    if not 1 <= groups <= GROUPS_MAX:
        raise InvalidInput(
            Code.BAD_ARGUMENTS, f"{groups} groups would need {2**groups} evaluations"
        )
    values = [score(_members(coalition, groups)) for coalition in range(1 << groups)]
    whole = factorial(groups)
    result = []
    for player in range(groups):
        total = 0
        for coalition in range(1 << groups):
            if coalition >> player & 1:
                continue
            size = coalition.bit_count()
            weight = factorial(size) * factorial(groups - size - 1)
            total += weight * (values[coalition | 1 << player] - values[coalition])
        result.append(total // whole)
    return tuple(result)


def _members(coalition: int, groups: int) -> tuple[int, ...]:
    return tuple(index for index in range(groups) if coalition >> index & 1)

"""Plans with one fault a minute, and what processes held."""

import itertools
from collections.abc import Callable

import msgspec
import pytest

from node.testing.chaos import draw_soak, parse_plan
from node.testing.chaos.plan import PROCESS_VERBS
from node.testing.chaos.soak import (
    EVERY_MS,
    FILES_GROWTH_MAX,
    MEBIBYTE,
    MEMORY_SLOPE_MAX,
    MINUTES_MAX,
    SAMPLE_MS,
    Sample,
    check_lives,
    lives,
)
from node.testing.vitals import SETTLED_S_MIN, WARM_UP_S, Held


def test_every_minute_has_one_fault_and_one_validator_is_never_killed() -> None:
    plan = draw_soak(3, MINUTES_MAX)
    assert parse_plan(msgspec.json.encode(plan)) == plan
    assert [fault.at_ms // 60_000 for fault in plan.faults] == list(range(1, MINUTES_MAX + 1))
    assert all(fault.until_ms < fault.at_ms + 60_000 for fault in plan.faults)
    assert "node-4" not in {
        name for fault in plan.faults if fault.verb in PROCESS_VERBS for name in fault.nodes
    }
    assert {fault.verb for fault in plan.faults} >= set(PROCESS_VERBS)


def test_a_process_is_judged_by_its_longest_life() -> None:
    first = [Sample(at, Held("node-1 node", 7, 100 * at, 10)) for at in range(3)]
    second = [Sample(at, Held("node-1 node", 8, 500, 10)) for at in range(3, 9)]
    other = [Sample(at, Held("node-2 node", 9, 500, 10 + 20 * at)) for at in range(9)]
    one, two = lives([*first, *second, *other])
    assert (one.name, one.seconds, one.memory_slope, one.files_slope) == ("node-1 node", 5, 0, 0)
    assert two.last.files - two.first.files > FILES_GROWTH_MAX
    assert check_lives([one, two]) == ["node-2 node went from 10 to 170 open files"]


def life_of(minutes: int, mebibytes: Callable[[float], float]) -> list[str]:
    """Findings on a process whose memory is a function of the minutes that it lives."""
    samples = [
        Sample(60.0 + at_ms / 1000, Held("node-4 node", 7, int(MEBIBYTE * mebibytes(at)), 30))
        for at_ms in range(0, minutes * EVERY_MS, SAMPLE_MS)
        for at in [at_ms / EVERY_MS]
    ]
    return check_lives(lives(samples))


def jitter(minute: float) -> float:
    """What allocators do: up to 2 MiB, without a trend."""
    return (minute * 7919 % 1) + (minute // 3 % 2)


MEASURED = [(0.0, 47.6), (112.0, 176.5), (135.0, 180.6), (240.0, 199.0)]
"""Minutes and MiB of the validator that lived through the soak of docs/benchmarks.md, continued."""


def filling(minute: float) -> float:
    """Caches that fill, and then are full."""
    before, after = next(
        (one, two) for one, two in itertools.pairwise(MEASURED) if minute <= two[0]
    )
    share = (minute - before[0]) / (after[0] - before[0])
    return before[1] + share * (after[1] - before[1])


@pytest.mark.parametrize("minutes", [140, 180, 240])
def test_a_flat_process_and_one_whose_caches_fill_pass(minutes: int) -> None:
    assert life_of(minutes, lambda minute: 150 + jitter(minute)) == []
    assert life_of(minutes, lambda minute: filling(minute) + jitter(minute)) == []
    assert life_of(minutes, lambda minute: 400 - minute) == []  # gives memory back


@pytest.mark.parametrize("minutes", [140, 180, 240])
def test_a_process_that_leaks_is_named_with_its_slope(minutes: int) -> None:
    (found,) = life_of(minutes, lambda minute: 50 + minute + jitter(minute))
    assert found.startswith("node-4 node gains ")
    assert found.endswith(
        f"MiB an hour when its caches are full, more than {MEMORY_SLOPE_MAX >> 20}"
    )
    assert abs(int(found.split()[3]) - 60) <= 3
    # A leak behind caches that fill, too.
    (found,) = life_of(minutes, lambda minute: filling(minute) + 0.75 * minute + jitter(minute))
    assert int(found.split()[3]) > MEMORY_SLOPE_MAX >> 20


def test_a_life_that_is_too_short_to_tell_is_not_judged_and_says_so() -> None:
    short = int((WARM_UP_S + SETTLED_S_MIN) / 60)
    assert life_of(short, lambda minute: 50 + 10 * minute) == []
    assert len(life_of(short + 1, lambda minute: 50 + 10 * minute)) == 1
    samples = [Sample(at, Held("node-1 node", 7, MEBIBYTE, 10)) for at in range(3)]
    (life,) = lives(samples)
    assert "not judged" in str(life)


def test_the_slope_of_memory_is_that_of_one_process_and_its_own_warm_up() -> None:
    """A node that was killed at 100 minutes begins to warm up anew."""
    before = [Sample(60.0 * at, Held("node-1 node", 7, MEBIBYTE, 10)) for at in range(100)]
    after = [Sample(60.0 * at, Held("node-1 node", 8, MEBIBYTE * at, 10)) for at in range(100, 220)]
    assert check_lives(lives([*before, *after])) == []

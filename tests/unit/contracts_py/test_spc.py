"""Control charts on the engine of the node, against the same charts in floats."""

from __future__ import annotations

import math
import random

import pytest

from andon.core.codec import Key, Value
from contracts_py.library import source
from tests.unit.contracts_py.plants import BUYER, STEEL, members, table
from tests.unit.contracts_py.world import World

LEARN = 20


def chart(kind: str, size: int) -> World:
    world = members().put("spc", source("spc"))
    args: dict[str, Value] = {"chart": "c", "kind": kind, "size": size, "learn": LEARN}
    world.value("spc", "define", sender=STEEL, **args, observers=["steel"])
    return world


def add(world: World, values: list[int]) -> list[Value]:
    found = world.value("spc", "add", sender=STEEL, chart="c", values=[*values])
    assert isinstance(found, list)
    return found


def groups(size: int, shift: int, seed: int = 1) -> list[list[int]]:
    dice = random.Random(seed)
    return [
        [round(dice.gauss(1000 + (shift if place >= 40 else 0), 20)) for _ in range(size)]
        for place in range(60)
    ]


def status(world: World) -> dict[Key, Value]:
    return table(world.value("spc", "status", chart="c"))


def test_the_mean_chart_alarms_exactly_where_a_float_chart_does() -> None:
    world, wanted = chart("XBAR_R", 5), []
    data = groups(5, 25)
    mean = sum(sum(group) / 5 for group in data[:LEARN]) / LEARN
    spread = sum(max(group) - min(group) for group in data[:LEARN]) / LEARN
    found = []
    for place, group in enumerate(data):
        reasons = add(world, group)
        if place >= LEARN:
            found.append("MEAN" in reasons)
            wanted.append(abs(sum(group) / 5 - mean) > 0.577 * spread)
    assert found == wanted
    assert sum(wanted[:20]) == 0
    assert sum(wanted[20:]) > 5


def test_the_range_chart_sees_a_process_that_scatters() -> None:
    world = chart("XBAR_R", 5)
    for group in groups(5, 0)[:LEARN]:
        assert add(world, group) == []
    assert "RANGE" in add(world, [900, 1100, 1000, 1000, 1000])


def test_eight_points_on_one_side_are_a_run() -> None:
    world = chart("XBAR_R", 2)
    for place in range(LEARN):
        add(world, [1000 - 20 * (place % 2), 1000 + 20 * ((place + 1) % 2)])
    reasons = [add(world, [1001, 1005]) for _ in range(8)]
    assert [("RUN" in found) for found in reasons] == [False] * 7 + [True]


@pytest.mark.parametrize("kind", ["EWMA", "CUSUM"])
def test_small_shifts_are_found_where_a_float_chart_finds_them(kind: str) -> None:
    world, data = chart(kind, 1), [group[0] for group in groups(1, 30)]
    centre = sum(data[:LEARN]) / LEARN
    moving = [abs(data[place] - data[place - 1]) for place in range(1, LEARN)]
    sigma = sum(moving) / (LEARN - 1) / 1.128
    z, high, low = centre, 0.0, 0.0
    first_float = first_chain = None
    for place, number in enumerate(data):
        reasons = add(world, [number])
        if place < LEARN:
            assert reasons == []
            continue
        z = 0.2 * number + 0.8 * z
        high = max(0.0, high + number - centre - sigma / 2)
        low = max(0.0, low + centre - number - sigma / 2)
        is_out = {
            "EWMA": abs(z - centre) > 3 * sigma * math.sqrt(0.2 / 1.8),
            "CUSUM": max(high, low) > 5 * sigma,
        }[kind]
        if is_out and first_float is None:
            first_float = place
        if reasons and first_chain is None:
            first_chain = place
    assert first_chain == first_float
    assert first_chain is not None
    assert first_chain >= 40


def test_a_restart_forgets_sums_and_keeps_limits() -> None:
    world = chart("CUSUM", 1)
    for group in groups(1, 80):
        add(world, group)
    before = status(world)
    assert before["high"] != 0
    world.value("spc", "restart", sender=STEEL, chart="c")
    after = status(world)
    assert (after["high"], after["centre"], after["sigma"]) == (
        0, before["centre"], before["sigma"],
    )  # fmt: skip


def test_only_observers_add_and_only_the_owner_restarts() -> None:
    world = chart("EWMA", 1)
    assert world.code("spc", "add", sender=BUYER, chart="c", values=[1]) == "E_ASSERT"
    assert world.code("spc", "restart", sender=BUYER, chart="c") == "E_ASSERT"
    assert world.code("spc", "add", sender=STEEL, chart="c", values=[1, 2]) == "E_ASSERT"
    assert world.code("spc", "add", sender=STEEL, chart="c", values=[10**13]) == "E_ASSERT"


@pytest.mark.parametrize(
    "wrong",
    [{"kind": "P"}, {"size": 0}, {"size": 11}, {"kind": "XBAR_R", "size": 1}, {"learn": 1}],
)
def test_impossible_charts_are_refused(wrong: dict[str, Value]) -> None:
    world = chart("EWMA", 1)
    args: dict[str, Value] = {"chart": "d", "kind": "EWMA", "size": 1, "learn": 5, "observers": []}
    assert world.code("spc", "define", sender=STEEL, **{**args, **wrong}) == "E_ASSERT"

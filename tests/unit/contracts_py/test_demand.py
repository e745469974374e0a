"""Demand and inventory on the engine of the node, against plain Python."""

from __future__ import annotations

import math

import pytest

from andon.core.codec import Dec, Key, Value
from contracts_py.engine import Prediction
from contracts_py.library import source
from tests.unit.contracts_py.plants import BUYER, STEEL, members, table
from tests.unit.contracts_py.world import World

UNIT = 10**18
HISTORY = [0, 0, 3, 0, 1, 0, 0, 0, 2, 0, 0, 4]


def smoother(window: bytes) -> Prediction:
    """The mean of the window; one unit is a 21st of a step: 127 is six steps."""
    values = [byte - 256 if byte > 127 else byte for byte in window]
    return Prediction((sum(values) * 6 * 1000 // (127 * len(values)),), 1, 1000, 100)


def depot(history: list[int] | None = None) -> World:
    world = members()
    world.host.models["demand"] = smoother
    world.put("demand", source("demand"), model="demand", history=12)
    world.put("inventory", source("inventory"))
    args: dict[str, Value] = {"part": "bearing", "month": 12, "history": [*(history or HISTORY)]}
    world.value("demand", "register", sender=STEEL, **args)
    world.value(
        "inventory", "stock_part", sender=STEEL, part="bearing", on_hand=9, supplier="motors",
        lead_months=1, service=950,
    )  # fmt: skip
    return world


def number(value: Value) -> float:
    assert isinstance(value, Dec | int)
    return value.scaled / UNIT if isinstance(value, Dec) else float(value)


def stock(world: World) -> dict[Key, Value]:
    return table(world.value("inventory", "of", part="bearing"))


def test_the_forecast_is_made_from_the_actuals_on_the_chain() -> None:
    world = depot()
    amount = number(world.value("demand", "forecast", sender=STEEL, part="bearing"))
    assert amount == pytest.approx(sum(HISTORY) / 12, abs=0.05)
    assert world.code("demand", "forecast", sender=STEEL, part="bearing") == "E_ASSERT"
    assert world.code("demand", "forecast", sender=BUYER, part="bearing") == "E_ASSERT"


def test_actuals_score_the_model_beside_the_baselines() -> None:
    world = depot()
    chance, size = 0.0, 0.0
    for quantity in HISTORY:
        chance += 0.1 * ((quantity > 0) - chance)
        if quantity:
            size = quantity if size == 0 else size + 0.1 * (quantity - size)
    world.value("demand", "forecast", sender=STEEL, part="bearing")
    world.value("demand", "record", sender=STEEL, part="bearing", quantity=2)
    found = table(world.value("demand", "accuracy", part="bearing"))
    assert number(table(found["tsb"])["mae"]) == pytest.approx(2 - chance * size, abs=1e-9)
    assert number(table(found["naive"])["mae"]) == 2.0
    assert number(table(found["seasonal"])["mae"]) == 2.0
    model = table(found["model"])
    assert number(model["mae"]) == pytest.approx(2 - 10 / 12, abs=0.05)
    assert number(model["bias"]) == pytest.approx(10 / 12 - 2, abs=0.05)
    assert number(model["rmse"]) == pytest.approx(2 - 10 / 12, abs=0.05)


@pytest.mark.parametrize("square", [0, 1, 2, 3, 4, 15, 16, 10**12, 10**30 - 1, 2**200])
def test_the_integer_root_is_exact(square: int) -> None:
    assert depot().value("demand", "square_root", number=square) == math.isqrt(square)


def test_the_season_is_seen_after_a_full_year() -> None:
    world = depot([0, 0, 12] * 4)
    seasons = [
        number(world.value("demand", "season_of", part="bearing", month=month))
        for month in (13, 14, 15)
    ]
    # One average month beside one observed: (0 + 4) / 2 / 4 and (12 + 4) / 2 / 4.
    assert seasons == [0.5, 0.5, 2.0]
    young = depot([5, 5])
    assert number(young.value("demand", "season_of", part="bearing", month=13)) == 1.0


def test_safety_stock_grows_with_an_unreliable_supplier() -> None:
    world = depot([2, 0, 3, 1, 2, 4, 0, 2, 3, 1, 2, 4])
    before = table(world.value("inventory", "policy_of", part="bearing"))
    world.value("inventory", "reserve", sender=STEEL, part="bearing", quantity=8, reason="test")
    world.value("inventory", "order", sender=STEEL, proposal=2, due_height=6)
    world.height = 50
    world.value("inventory", "deliver", sender=STEEL, proposal=2, quantity=1)
    after = table(world.value("inventory", "policy_of", part="bearing"))
    assert number(world.value("inventory", "reliability", supplier="motors")) < 1
    assert number(after["lead"]) > number(before["lead"])
    assert number(after["reorder_point"]) > number(before["reorder_point"])


def test_a_reservation_that_empties_the_stock_proposes_an_order() -> None:
    world = depot()
    made = world.value(
        "inventory", "reserve", sender=STEEL, part="bearing", quantity=9, reason="order 1"
    )
    held = stock(world)
    assert (held["reserved"], held["shortages"]) == (9, 0)
    proposal = table(world.value("inventory", "proposal", number=2))
    assert (proposal["status"], proposal["supplier"]) == ("PROPOSED", "motors")
    assert held["on_order"] == proposal["quantity"]
    assert world.code(
        "inventory", "settle", sender=BUYER, reservation=made, is_used=True
    ) == "E_ASSERT"  # fmt: skip
    world.value("inventory", "settle", sender=STEEL, reservation=made, is_used=True)
    assert world.code(
        "inventory", "settle", sender=STEEL, reservation=made, is_used=True
    ) == "E_ASSERT"  # fmt: skip
    held = stock(world)
    assert (held["on_hand"], held["reserved"], held["used"]) == (0, 0, 9)


def test_parts_that_were_not_used_go_back() -> None:
    world = depot()
    made = world.value(
        "inventory", "reserve", sender=STEEL, part="bearing", quantity=1, reason="order 1"
    )
    world.value("inventory", "settle", sender=STEEL, reservation=made, is_used=False)
    held = stock(world)
    assert (held["on_hand"], held["reserved"], held["used"]) == (9, 0, 0)


def test_a_declined_or_delivered_proposal_leaves_the_books_right() -> None:
    world = depot()
    world.value("inventory", "reserve", sender=STEEL, part="bearing", quantity=9, reason="x")
    ordered = table(world.value("inventory", "proposal", number=2))["quantity"]
    world.value("inventory", "order", sender=STEEL, proposal=2, due_height=100)
    assert world.code("inventory", "decline", sender=STEEL, proposal=2) == "E_ASSERT"
    world.value("inventory", "deliver", sender=STEEL, proposal=2, quantity=ordered)
    held = stock(world)
    assert isinstance(ordered, int)
    assert (held["on_order"], held["on_hand"]) == (0, 9 + ordered)
    assert number(world.value("inventory", "reliability", supplier="motors")) == 1.0


def test_the_month_ends_with_what_was_used() -> None:
    world = depot()
    made = world.value(
        "inventory", "reserve", sender=STEEL, part="bearing", quantity=2, reason="order 1"
    )
    world.value("inventory", "settle", sender=STEEL, reservation=made, is_used=True)
    ended = table(world.value("inventory", "close_month", sender=STEEL, part="bearing", other=1))
    assert ended["actual"] == 3
    assert (stock(world)["on_hand"], stock(world)["used"]) == (6, 0)


def test_the_kpi_weighs_low_forecasts_by_the_supplier() -> None:
    world = depot()
    world.value("demand", "forecast", sender=STEEL, part="bearing")
    world.value("demand", "record", sender=STEEL, part="bearing", quantity=4)
    trusted = table(world.value("inventory", "kpi", part="bearing", count=12))
    assert number(trusted["kpi"]) == pytest.approx(number(trusted["plain"]))
    world.value("inventory", "reserve", sender=STEEL, part="bearing", quantity=9, reason="x")
    world.value("inventory", "order", sender=STEEL, proposal=2, due_height=6)
    world.height = 50
    world.value("inventory", "deliver", sender=STEEL, proposal=2, quantity=0)
    lacking = 1 - number(world.value("inventory", "reliability", supplier="motors"))
    doubted = table(world.value("inventory", "kpi", part="bearing", count=12))
    assert number(doubted["kpi"]) == pytest.approx(number(doubted["plain"]) * (1 + lacking))


def test_nobody_touches_the_parts_of_others() -> None:
    world = depot()
    args: dict[str, Value] = {"part": "bearing"}
    assert world.code("demand", "record", sender=BUYER, **args, quantity=1) == "E_ASSERT"
    assert world.code("inventory", "review", sender=BUYER, **args) == "E_ASSERT"
    assert world.code("inventory", "close_month", sender=BUYER, **args, other=0) == "E_ASSERT"
    assert world.code(
        "inventory", "reserve", sender=BUYER, **args, quantity=1, reason="x"
    ) == "E_ASSERT"  # fmt: skip


def test_maintenance_reserves_and_settles_the_part_of_a_worn_machine() -> None:
    world = depot()
    world.host.models["rul"] = lambda window: Prediction((window[0],), 1, 1, 100)
    world.put("scores", source("scores"))
    world.put("maintenance", source("maintenance"), model="rul")
    admin = b"A" * 32
    world.value("maintenance", "configure", sender=admin, changes={"parts": "inventory"})
    world.value(
        "maintenance", "register", sender=STEEL, machine="m1", path="a/b/c/d/e",
        maintainer="steel", subscribers=[], part="bearing",
    )  # fmt: skip
    world.value("maintenance", "assess", sender=STEEL, machine="m1", window=b"\x05")
    assert stock(world)["reserved"] == 1
    world.value("maintenance", "acknowledge", sender=STEEL, order=1)
    world.value("maintenance", "close", sender=STEEL, order=1, failed=True)
    held = stock(world)
    assert (held["reserved"], held["on_hand"], held["used"]) == (0, 8, 1)

"""Supply, genealogy, places and recall on the engine of the node."""

from __future__ import annotations

import pytest

from andon.core.codec import Value
from tests.unit.contracts_py.plants import (
    ADMINS,
    BUYER,
    COIL,
    GEAR,
    HOUR_MS,
    MOTOR,
    MOTORS,
    NOW_MS,
    PALLET,
    PARTS,
    STEEL,
    capture,
    event,
    network,
    produce,
    table,
)
from tests.unit.contracts_py.world import World

BERLIN, TOKYO, POTSDAM = "414/4012345000009", "414/4569951110016", "414/4012345000016"


def add_places(world: World) -> None:
    for account, place, latitude, longitude in (
        (MOTORS, BERLIN, 52_520_000, 13_405_000),
        (BUYER, TOKYO, 35_680_000, 139_690_000),
        (PARTS, POTSDAM, 52_400_000, 13_065_000),
    ):
        world.value(
            "places", "set_place", sender=ADMINS[account],
            place=place, latitude=latitude, longitude=longitude,
        )  # fmt: skip


def suspicions(world: World) -> list[tuple[Value, Value]]:
    found = [table(fields) for name, fields in world.events() if name == "Suspect"]
    return [(fields["item"], fields["reason"]) for fields in found]


def edge_set(world: World, method: str, item: str) -> list[tuple[Value, Value]]:
    walked = table(world.value("genealogy", method, item=item))
    assert walked["complete"] is True
    edges = walked["edges"]
    assert isinstance(edges, list)
    return [(row[0], row[1]) for row in edges if isinstance(row, list)]


def test_all_five_kinds_of_events_are_recorded_in_order() -> None:
    world = network()
    produce(world)
    bought = event(
        "TransactionEvent", 7, action="ADD", epcs=[MOTOR], transactions=[["po", "urn:x:po:1"]]
    )
    capture(world, BUYER, bought)
    found = world.value("supply", "events_from", after=0, count=64)
    assert isinstance(found, list)
    assert [table(row)["kind"] for row in found] == [
        "ObjectEvent", "TransformationEvent", "ObjectEvent", "AssociationEvent",
        "AggregationEvent", "ObjectEvent", "TransactionEvent",
    ]  # fmt: skip
    assert [table(row)["number"] for row in found] == [1, 2, 3, 4, 5, 6, 7]
    assert table(found[-1])["org"] == "buyer"
    assert table(world.value("supply", "item", name=MOTOR))["org"] == "buyer"


def test_genealogy_leads_up_to_the_steel_and_down_to_the_pallet() -> None:
    world = network()
    produce(world)
    assert edge_set(world, "upstream", MOTOR) == [(GEAR, MOTOR), (COIL, GEAR)]
    assert edge_set(world, "downstream", COIL) == [(COIL, GEAR), (GEAR, MOTOR), (MOTOR, PALLET)]


def test_a_recall_names_the_shipped_goods_that_contain_the_bad_coil() -> None:
    world = network()
    produce(world)
    assert world.value("recall", "shipped", item=COIL) == [GEAR, MOTOR, PALLET]
    args: dict[str, Value] = {"item": COIL, "reason": "wrong alloy"}
    assert world.code("recall", "announce", sender=PARTS, **args) == "E_ASSERT"
    number = world.value("recall", "announce", sender=STEEL, **args)
    found = table(world.value("recall", "recall_of", item=MOTOR))
    assert (found["item"], found["reason"], found["complete"]) == (COIL, "wrong alloy", True)
    assert world.code(
        "recall", "answer", sender=BUYER, number=number, item=MOTOR, action="RETURNED"
    ) == "E_ASSERT"  # fmt: skip
    world.value("recall", "answer", sender=MOTORS, number=number, item=MOTOR, action="RETURNED")
    assert table(world.value("recall", "recall_of", item=COIL))["answered"] == {MOTOR: "RETURNED"}


def test_unpacking_ends_what_the_pallet_holds() -> None:
    world = network()
    produce(world)
    assert table(world.value("supply", "item", name=MOTOR))["parent"] == PALLET
    capture(
        world, BUYER, event("AggregationEvent", 8, action="DELETE", parent=PALLET, children=[MOTOR])
    )
    assert table(world.value("supply", "item", name=MOTOR))["parent"] == ""
    assert edge_set(world, "downstream", GEAR) == [(GEAR, MOTOR)]


def test_an_event_declared_in_error_counts_no_more() -> None:
    world = network()
    ids = produce(world)
    wrong: dict[str, Value] = {
        "kind": "AssociationEvent", "id": ids["fit"],
        "error": {"reason": "incorrect_data", "time_ms": 9 * HOUR_MS, "corrective": []},
    }  # fmt: skip
    assert world.code("supply", "capture", sender=PARTS, event=dict(wrong)) == "E_ASSERT"
    assert world.value("supply", "capture", sender=MOTORS, event=dict(wrong)) == ids["fit"]
    assert edge_set(world, "upstream", MOTOR) == []
    assert world.value("recall", "shipped", item=COIL) == []
    assert world.code("supply", "capture", sender=MOTORS, event=dict(wrong)) == "E_ASSERT"
    kept = table(world.value("supply", "event", identity=ids["fit"]))
    assert table(kept["error"])["reason"] == "incorrect_data"


def test_a_shipment_declared_in_error_puts_the_item_back() -> None:
    world = network()
    ids = produce(world)
    assert table(world.value("supply", "item", name=MOTOR))["disposition"] == "in_transit"
    wrong: dict[str, Value] = {"kind": "ObjectEvent", "id": ids["ship"], "error": {"reason": "x"}}
    world.value("supply", "capture", sender=MOTORS, event=dict(wrong))
    item = table(world.value("supply", "item", name=MOTOR))
    assert (item["disposition"], item["time_ms"], item["parent"]) == ("", 5 * HOUR_MS, PALLET)


def test_a_serial_number_that_is_made_twice_is_suspect_until_the_error_is_declared() -> None:
    world = network()
    produce(world)
    again = capture(world, MOTORS, event("ObjectEvent", 7, action="ADD", epcs=[MOTOR]))
    assert suspicions(world) == [(MOTOR, "DUPLICATE_SERIAL")]
    wrong: dict[str, Value] = {"kind": "ObjectEvent", "id": again, "error": {"reason": "test"}}
    world.value("supply", "capture", sender=MOTORS, event=dict(wrong))
    assert table(world.value("supply", "item", name=MOTOR))["suspect"] == ""


def test_lots_may_be_made_in_several_events() -> None:
    world = network()
    for hour in (1, 2):
        capture(world, STEEL, event("ObjectEvent", hour, action="ADD", quantities=[[COIL, 1, ""]]))
    assert suspicions(world) == []


def test_nobody_else_makes_items_of_a_confirmed_prefix() -> None:
    world = network()
    forged = event("ObjectEvent", 1, action="ADD", epcs=[MOTOR])
    assert world.code("supply", "capture", sender=BUYER, event=forged) == "E_ASSERT"


def test_a_serial_number_that_its_maker_does_not_know_is_suspect() -> None:
    world = network()
    capture(world, BUYER, event("ObjectEvent", 1, action="OBSERVE", epcs=[MOTOR + "9"]))
    assert suspicions(world) == [(MOTOR + "9", "UNKNOWN_SERIAL")]
    assert world.code("supply", "clear", sender=ADMINS[BUYER], item=MOTOR + "9") == "E_ASSERT"
    world.value("supply", "clear", sender=ADMINS[MOTORS], item=MOTOR + "9")
    assert table(world.value("supply", "item", name=MOTOR + "9"))["suspect"] == ""


@pytest.mark.parametrize(
    ("place", "sender", "hour", "is_suspect"),
    [
        (TOKYO, BUYER, 4, True),
        (TOKYO, BUYER, 40, False),
        (POTSDAM, PARTS, 4, False),
        ("414/unknown", BUYER, 4, False),
    ],
)
def test_an_item_cannot_be_far_away_an_hour_later(
    place: str, sender: bytes, hour: int, *, is_suspect: bool
) -> None:
    world = network()
    add_places(world)
    capture(world, MOTORS, event("ObjectEvent", 3, action="ADD", epcs=[MOTOR], read_point=BERLIN))
    capture(
        world, sender, event("ObjectEvent", hour, action="OBSERVE", epcs=[MOTOR], read_point=place)
    )
    assert suspicions(world) == ([(MOTOR, "IMPOSSIBLE_TRAVEL")] if is_suspect else [])


def test_the_way_over_the_date_line_is_short() -> None:
    world = network()
    for name, longitude in (("414/a", 179_990_000), ("414/b", -179_990_000)):
        world.value(
            "places", "set_place", sender=ADMINS[BUYER],
            place=name, latitude=-17_000_000, longitude=longitude,
        )  # fmt: skip
    reach = {"here": "414/a", "there": "414/b", "milliseconds": 60_000}
    assert world.value("places", "is_reachable", **reach) is True


def test_events_at_the_read_point_of_another_organisation_are_refused() -> None:
    world = network()
    add_places(world)
    args = event("ObjectEvent", 3, action="OBSERVE", epcs=[MOTOR], read_point=BERLIN)
    assert world.code("supply", "capture", sender=BUYER, event=args) == "E_ASSERT"


@pytest.mark.parametrize(
    "made",
    [
        event("Object", 1, action="ADD", epcs=[MOTOR]),
        event("ObjectEvent", 1, epcs=[MOTOR]),
        event("ObjectEvent", 1, action="MAKE", epcs=[MOTOR]),
        event("ObjectEvent", 1, action="ADD"),
        event("ObjectEvent", NOW_MS // HOUR_MS + 2, action="ADD", epcs=[MOTOR]),
        event("ObjectEvent", 1, action="ADD", epcs=[""]),
        event("ObjectEvent", 1, action="ADD", epcs=[f"01/1/21/{n}" for n in range(129)]),
        event("TransformationEvent", 1, action="ADD", inputs=[COIL], outputs=[GEAR]),
        event("TransformationEvent", 1, inputs=[GEAR], outputs=[GEAR]),
        event("AggregationEvent", 1, action="ADD", children=[MOTOR]),
    ],
)
def test_events_that_say_nothing_sensible_are_refused(made: dict[str, Value]) -> None:
    assert network().code("supply", "capture", sender=MOTORS, event=dict(made)) == "E_ASSERT"


def test_a_batch_is_recorded_as_a_whole_or_not_at_all() -> None:
    world = network()
    good = event("ObjectEvent", 1, action="ADD", quantities=[[COIL, 1, ""]])
    bad = event("ObjectEvent", 1, quantities=[[COIL, 1, ""]])
    assert world.code("supply", "capture_many", sender=STEEL, events=[good, bad]) == "E_ASSERT"
    assert world.code("supply", "capture_many", sender=STEEL, events=[good] * 65) == "E_ASSERT"
    assert len(str(world.value("supply", "capture_many", sender=STEEL, events=[good]))) > 0
    assert world.state("supply", "last") == 1


def test_the_same_event_is_recorded_once() -> None:
    world = network()
    made = event("ObjectEvent", 1, action="ADD", quantities=[[COIL, 1, ""]])
    first = capture(world, STEEL, dict(made))
    assert first.startswith("urn:andon:event:")
    assert world.code("supply", "capture", sender=STEEL, event=dict(made)) == "E_ASSERT"


def test_edges_are_written_by_the_recording_contract_alone() -> None:
    world = network()
    args: dict[str, Value] = {"sources": [COIL], "targets": [GEAR], "event": "e", "kind": "MADE"}
    assert world.code("genealogy", "link", **args) == "E_ASSERT"
    assert world.code("genealogy", "drop", event="e") == "E_ASSERT"
    assert world.code("genealogy", "unlink", child=COIL, parent=None, event="e") == "E_ASSERT"


def test_a_walk_stops_at_its_bound_and_says_so() -> None:
    world = network()
    for depth in range(18):
        lot = [f"01/1950600100001{depth % 10}/10/L{depth + place}" for place in (0, 1)]
        made = event("TransformationEvent", depth + 1, inputs=[lot[0]], outputs=["x/" + lot[1]])
        made["inputs"] = [f"a/{depth}"]
        made["outputs"] = [f"a/{depth + 1}"]
        capture(world, STEEL, made)
    walked = table(world.value("genealogy", "downstream", item="a/0"))
    edges = walked["edges"]
    assert isinstance(edges, list)
    assert (walked["complete"], len(edges)) == (False, 16)


def test_a_claim_needs_another_organisation() -> None:
    world = network()
    world.value("places", "claim", sender=ADMINS[BUYER], prefix="123456")
    assert world.code("places", "claim", sender=ADMINS[STEEL], prefix="123456") == "E_ASSERT"
    assert world.code("places", "confirm", sender=ADMINS[BUYER], prefix="123456") == "E_ASSERT"
    item = "01/01234560000003/21/1"
    assert world.value("places", "owner_of", item=item) == ""
    world.value("places", "confirm", sender=ADMINS[STEEL], prefix="123456")
    assert world.value("places", "owner_of", item=item) == "buyer"
    assert world.code("places", "reject", sender=ADMINS[STEEL], prefix="123456") == "E_ASSERT"

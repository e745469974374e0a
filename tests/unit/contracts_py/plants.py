"""A two-tier supply network for tests: steel maker, part maker, assembler, customer."""

from __future__ import annotations

from andon.core.codec import Key, Value
from contracts_py.library import source
from tests.unit.contracts_py.world import World

HOUR_MS = 3_600_000
NOW_MS = 1_000 * HOUR_MS
STEEL, PARTS, MOTORS, BUYER = b"1" * 32, b"2" * 32, b"3" * 32, b"4" * 32
ADMINS = {STEEL: b"A" * 32, PARTS: b"B" * 32, MOTORS: b"C" * 32, BUYER: b"D" * 32}
INSPECTORS = {STEEL: b"E" * 32, PARTS: b"F" * 32, MOTORS: b"G" * 32, BUYER: b"H" * 32}
ORGS = {STEEL: "steel", PARTS: "parts", MOTORS: "motors", BUYER: "buyer"}
PREFIXES = {STEEL: "9506001", PARTS: "9506002", MOTORS: "9506003"}
COIL = "01/19506001000011/10/H77"
GEAR = "01/19506002000010/10/G1"
MOTOR = "01/19506003000019/21/S1"
PALLET = "00/195060030000000019"


def members(*contracts: str) -> World:
    """A world with these organisations; contracts without @init arguments are deployed."""
    world = World(time_ms=NOW_MS)
    for account, org in ORGS.items():
        for key, role in (
            (account, "operator"),
            (ADMINS[account], "admin"),
            (INSPECTORS[account], "inspector"),
        ):
            world.host.roles[key] = (role,)
            world.host.organisations[key] = org
    for name in contracts:
        world.put(name, source(name))
    return world


def network() -> World:
    """The supply contracts, with confirmed prefixes and no places."""
    world = members("places", "genealogy", "supply", "recall")
    for account, prefix in PREFIXES.items():
        world.value("places", "claim", sender=ADMINS[account], prefix=prefix)
        world.value("places", "confirm", sender=ADMINS[BUYER], prefix=prefix)
    return world


def event(kind: str, hour: int, **fields: Value) -> dict[Key, Value]:
    """An event `hour` hours after the beginning."""
    return {"kind": kind, "time_ms": hour * HOUR_MS, **fields}


def capture(world: World, sender: bytes, made: dict[Key, Value]) -> str:
    """Record an event and give its id."""
    identity = world.value("supply", "capture", sender=sender, event=made)
    assert isinstance(identity, str)
    return identity


def produce(world: World) -> dict[str, str]:
    """Coil to gears to a motor, on a pallet, shipped to the buyer; gives the ids of the events."""
    coil: Value = [[COIL, 20, "KGM"]]
    used: Value = [[COIL, 5, "KGM"]]
    gears: Value = [[GEAR, 400, ""]]
    goods: Value = [PALLET, MOTOR]
    steps = (
        ("coil", STEEL, event("ObjectEvent", 1, action="ADD", quantities=coil)),
        (
            "gear",
            PARTS,
            event("TransformationEvent", 2, input_quantities=used, output_quantities=gears),
        ),
        ("motor", MOTORS, event("ObjectEvent", 3, action="ADD", epcs=[MOTOR])),
        (
            "fit",
            MOTORS,
            event("AssociationEvent", 4, action="ADD", parent=MOTOR, child_quantities=gears),
        ),
        (
            "pack",
            MOTORS,
            event("AggregationEvent", 5, action="ADD", parent=PALLET, children=[MOTOR]),
        ),
        (
            "ship",
            MOTORS,
            event("ObjectEvent", 6, action="OBSERVE", disposition="in_transit", epcs=goods),
        ),
    )
    return {name: capture(world, sender, made) for name, sender, made in steps}


def rows(world: World, contract: str, method: str, **args: Value) -> list[dict[Key, Value]]:
    """A view that gives a list of dicts."""
    found = world.value(contract, method, **args)
    assert isinstance(found, list)
    return [row for row in found if isinstance(row, dict)]


def table(value: Value) -> dict[Key, Value]:
    """A value that has to be a dict."""
    assert isinstance(value, dict)
    return value

"""Ids and EPCIS events of the factory demo."""

from __future__ import annotations

import time

from andon.client.factory.gs1 import check_digit
from andon.core.codec import Dec, Key, Value
from scripts.demo_factory_plant import GEARS, MOTORS, STEEL

MICRO = 1_000_000
PREFIXES = {STEEL: "9506001", GEARS: "9506002", MOTORS: "9506003"}
PART = "8004/9506002bearing-6204"
HAMBURG = "414/950600300002" + check_digit("950600300002")
OSAKA = "414/950600900000" + check_digit("950600900000")


def gtin(org: str) -> str:
    """The trade item of an organisation."""
    digits = "1" + PREFIXES[org] + "00001"
    return f"01/{digits}{check_digit(digits)}"


COILS = {name: f"{gtin(STEEL)}/10/{name}" for name in ("H77", "H78")}
LOTS = {name: f"{gtin(GEARS)}/10/{name}" for name in ("G1", "G2", "G3")}
UNITS = {name: f"{gtin(MOTORS)}/21/{name}" for name in ("M1", "M3")}


def now_ms() -> int:
    """This machine's clock."""
    return time.time_ns() // 1_000_000


def _event(kind: str, minutes: int = 0, **fields: Value) -> dict[Key, Value]:
    found: dict[Key, Value] = {"kind": kind, "time_ms": now_ms() + minutes * 60_000}
    found.update(fields.items())
    return found


def made(item: str) -> dict[Key, Value]:
    """A lot of coils is commissioned."""
    amount: Value = [[item, 20, "KGM"]]
    return _event("ObjectEvent", action="ADD", step="commissioning", quantities=amount)


def turned(lot: str, coil: str) -> dict[Key, Value]:
    """A coil becomes a lot of gears."""
    used: Value = [[coil, Dec(5 * 10**17), "KGM"]]
    return _event("TransformationEvent", input_quantities=used, output_quantities=[[lot, 400, ""]])


def assembled(unit: str, lot: str) -> list[dict[Key, Value]]:
    """A motor gets its number and two gears, and leaves the works."""
    gears: Value = [[lot, 2, ""]]
    return [
        _event("ObjectEvent", action="ADD", epcs=[unit], read_point=HAMBURG),
        _event("AssociationEvent", action="ADD", parent=unit, child_quantities=gears),
        _event(
            "ObjectEvent", action="OBSERVE", step="shipping", disposition="in_transit",
            epcs=[unit], read_point=HAMBURG,
        ),
    ]  # fmt: skip


def received(unit: str) -> dict[Key, Value]:
    """The customer takes a motor in."""
    order: Value = [["po", "urn:andon:po:4711"]]
    return _event(
        "TransactionEvent", action="ADD", step="receiving", epcs=[unit], transactions=order
    )


def seen(unit: str, place: str, minutes: int) -> dict[Key, Value]:
    """Somebody sees a motor somewhere."""
    return _event("ObjectEvent", minutes, action="OBSERVE", epcs=[unit], read_point=place)

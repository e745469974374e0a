"""What an EPCIS 2.0 event of each type has to have, may have, and what its parts look like.

Our own writing of the rules of the standard's JSON binding for the fields that the chain keeps.
Where official samples and official schema disagree, the samples are taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from andon.core.errors import Code, InvalidInput

SENSORS_MAX: Final = 256
EXPONENT_MAX: Final = 100
"""Numbers of a ledger have at most 77 digits, 18 of them behind the point."""
_COMMON: Final = frozenset({
    "bizStep", "disposition", "persistentDisposition", "readPoint", "bizLocation",
    "bizTransactionList", "sourceList", "destinationList", "sensorElementList",
})  # fmt: skip
_FIELDS: Final[Mapping[str, frozenset[str]]] = {
    "ObjectEvent": frozenset({"action", "epcList", "quantityList", "ilmd"}),
    "AggregationEvent": frozenset({"action", "parentID", "childEPCs", "childQuantityList"}),
    "AssociationEvent": frozenset({"action", "parentID", "childEPCs", "childQuantityList"}),
    "TransactionEvent": frozenset({"action", "parentID", "epcList", "quantityList"}),
    "TransformationEvent": frozenset({
        "inputEPCList", "inputQuantityList", "outputEPCList", "outputQuantityList",
        "transformationID", "ilmd",
    }),
}  # fmt: skip
_OF_SOME: Final = frozenset().union(*_FIELDS.values(), _COMMON)
_NEEDED: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "ObjectEvent": (("action",), ("epcList", "quantityList", "sensorElementList")),
    "AggregationEvent": (("action",), ("parentID", "childEPCs", "childQuantityList")),
    "AssociationEvent": (("action",), ("parentID",)),
    "TransactionEvent": (("action",), ("bizTransactionList",)),
    "TransformationEvent": (
        ("inputEPCList", "inputQuantityList", "transformationID"),
        ("outputEPCList", "outputQuantityList", "transformationID"),
    ),
}
_METADATA_WORDS: Final = frozenset({"time", "startTime", "endTime", "deviceID", "rawData"})


def check_shape(kind: str, item: Mapping[str, object], place: str) -> None:
    """Check an event whose type is known.

    Raises:
        InvalidInput: MALFORMED with the place and the rule.
    """
    for name in item:
        if name in _OF_SOME and name not in _FIELDS[kind] and name not in _COMMON:
            raise _bad(f"{place}.{name}", f"a field that {kind} does not have")
    for group in _NEEDED[kind]:
        if not any(item.get(name) for name in group):
            raise _bad(place, f"{kind} needs {' or '.join(group)}")
    if kind == "AggregationEvent" and item["action"] != "OBSERVE" and "parentID" not in item:
        raise _bad(place, "an aggregation that adds or deletes names its parentID")
    if kind == "ObjectEvent" and "ilmd" in item and item["action"] != "ADD":
        raise _bad(place, "ilmd comes with the event that makes its items: action ADD")
    if "persistentDisposition" in item:
        _check_persistent(item["persistentDisposition"], f"{place}.persistentDisposition")
    if "sensorElementList" in item:
        _check_sensors(item["sensorElementList"], f"{place}.sensorElementList")
    if "ilmd" in item and not isinstance(item["ilmd"], dict):
        raise _bad(f"{place}.ilmd", "an object is expected")


def _check_persistent(found: object, place: str) -> None:
    if not isinstance(found, dict) or not found or not set(found) <= {"set", "unset"}:
        raise _bad(place, "it has set, unset, or both")
    for words in found.values():
        if not isinstance(words, list) or not words or not all(isinstance(w, str) for w in words):
            raise _bad(place, "set and unset are lists of dispositions")


def _check_sensors(found: object, place: str) -> None:
    if not isinstance(found, list) or not 0 < len(found) <= SENSORS_MAX:
        raise _bad(place, f"1 to {SENSORS_MAX} elements")
    for at, element in enumerate(found):
        reports = element.get("sensorReport") if isinstance(element, dict) else None
        if not isinstance(reports, list) or not 0 < len(reports) <= SENSORS_MAX:
            raise _bad(f"{place}[{at}]", f"sensorReport has 1 to {SENSORS_MAX} reports")
        assert isinstance(element, dict), "it has reports"
        metadata = element.get("sensorMetadata", {})
        if not isinstance(metadata, dict) or not all(
            isinstance(metadata[name], str) for name in _METADATA_WORDS & set(metadata)
        ):
            raise _bad(f"{place}[{at}].sensorMetadata", "an object with texts is expected")
        for report in reports:
            _check_report(report, f"{place}[{at}].sensorReport")


def _check_report(report: object, place: str) -> None:
    if not isinstance(report, dict) or not ("type" in report or "exception" in report):
        raise _bad(place, "a report has a type or an exception")
    for name in ("value", "minValue", "maxValue", "meanValue", "sDev", "percRank", "percValue"):
        number = report.get(name, 0)
        if isinstance(number, bool) or not isinstance(number, int | Decimal):
            raise _bad(f"{place}.{name}", "a number is expected")
    if not isinstance(report.get("booleanValue", False), bool):
        raise _bad(f"{place}.booleanValue", "true or false is expected")


def number_of(text: str) -> Decimal:
    """Read a number with a point or an exponent: a few digits could stand for gigabytes of them.

    Raises:
        ValueError: it is beyond what any quantity or place needs.
    """
    try:
        number = Decimal(text)
    except ArithmeticError:
        number = Decimal("NaN")
    if not number.is_finite() or abs(number.adjusted()) > EXPONENT_MAX:
        raise ValueError(f"{text[:40]} is not within 10**-{EXPONENT_MAX} and 10**{EXPONENT_MAX}")
    return number


def no_number(name: str) -> object:
    """Refuse what JSON does not have: NaN and infinity. Raises ValueError."""
    raise ValueError(f"{name} is no number of JSON")


def _bad(place: str, reason: str) -> InvalidInput:
    return InvalidInput(
        Code.MALFORMED, f"EPCIS {place}: {reason}", hint="see docs/factory.md, EPCIS documents"
    )

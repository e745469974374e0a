"""EPCIS 2.0 documents to calls of contract `supply`, and its events back to documents.

Our own typed subset of the JSON binding, written from the standard's vocabulary. `@context` is read
for the prefixes it declares inline and never dereferenced. Numbers become exact decimals.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final, TypeAlias, Union

import msgspec

from andon.client.factory.epcis_shapes import check_shape, no_number, number_of
from andon.client.factory.gs1 import path_of, uri_of
from andon.core.codec import Dec, Key, Value
from andon.core.errors import Code, InvalidInput
from andon.core.json_value import dec_from_text, dec_to_text
from andon.core.transaction import Call, make_call

Plain: TypeAlias = Union[bool, int, str, Decimal, list["Plain"], dict[str, "Plain"], None]
Event: TypeAlias = dict[Key, Value]

CONTEXT: Final = "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"
SCHEMA_VERSION: Final = "2.0"
TRANSACTION: Final = "andon:transaction"
"""Member of a captured document that holds the signed transaction, in hex."""

DOCUMENT_BYTES_MAX: Final = 1024 * 1024
EVENTS_MAX: Final = 1024
CALL_EVENTS_MAX: Final = 64
DEPTH_MAX: Final = 12
KINDS: Final = (
    "ObjectEvent",
    "AggregationEvent",
    "TransactionEvent",
    "TransformationEvent",
    "AssociationEvent",
)
_LISTS: Final = {
    "epcs": "epcList",
    "children": "childEPCs",
    "inputs": "inputEPCList",
    "outputs": "outputEPCList",
}
_QUANTITIES: Final = {
    "quantities": "quantityList",
    "child_quantities": "childQuantityList",
    "input_quantities": "inputQuantityList",
    "output_quantities": "outputQuantityList",
}
_WORDS: Final = {"step": "bizStep", "disposition": "disposition"}
_PLACES: Final = {"read_point": "readPoint", "location": "bizLocation"}
_PAIRS: Final = {
    "transactions": ("bizTransactionList", "bizTransaction"),
    "sources": ("sourceList", "source"),
    "destinations": ("destinationList", "destination"),
}
_KEPT: Final = {
    "ilmd": "ilmd",
    "sensors": "sensorElementList",
    "persistent": "persistentDisposition",
    "transformation": "transformationID",
    "certification": "certificationInfo",
}
_TIMES: Final = ("eventTime", "eventTimeZoneOffset", "recordTime")
_OWN: Final = ("type", "eventID", "action", "parentID", "errorDeclaration", *_TIMES)
_KNOWN: Final = frozenset(
    {*_OWN, *_LISTS.values(), *_QUANTITIES.values(), *_WORDS.values(), *_PLACES.values()}
    | {name for name, _ in _PAIRS.values()}
    | set(_KEPT.values())
)
_encoder = msgspec.json.Encoder(decimal_format="number")


def capture_calls(document: bytes | str, contract: str = "supply") -> tuple[Call, ...]:
    """Calls that record a document's events, 64 a call. Raises as `events_of`."""
    events = events_of(document)
    return tuple(
        make_call(contract, "capture_many", {"events": [*events[at : at + CALL_EVENTS_MAX]]})
        for at in range(0, len(events), CALL_EVENTS_MAX)
    )


def events_of(document: bytes | str) -> list[Event]:
    """Events of an EPCISDocument, in its order.

    Raises:
        InvalidInput: MALFORMED with the place, TOO_LARGE.
    """
    if len(document) > DOCUMENT_BYTES_MAX:
        raise InvalidInput(
            Code.TOO_LARGE, f"a document has at most {DOCUMENT_BYTES_MAX} bytes", hint="split it"
        )
    try:
        whole: Plain = json.loads(document, parse_float=number_of, parse_constant=no_number)
    except (ValueError, RecursionError) as error:
        raise _bad("document", str(error)) from None
    if not isinstance(whole, dict) or whole.get("type") != "EPCISDocument":
        raise _bad("document", "type is not EPCISDocument")
    if not str(whole.get("schemaVersion", "")).startswith("2."):
        raise _bad("document", "schemaVersion is not 2.x")
    prefixes = declared_prefixes(whole.get("@context"))
    body = whole.get("epcisBody")
    listed = body.get("eventList") if isinstance(body, dict) else None
    if not isinstance(listed, list) or not 0 < len(listed) <= EVENTS_MAX:
        raise _bad("epcisBody.eventList", f"1 to {EVENTS_MAX} events")
    return [event_of(item, f"eventList[{at}]", prefixes) for at, item in enumerate(listed)]


def declared_prefixes(context: Plain) -> frozenset[str]:
    """Prefixes declared inline; what a URL in the context might declare is never fetched.

    Raises:
        InvalidInput: MALFORMED if the context of EPCIS 2.0 is not named.
    """
    parts = context if isinstance(context, list) else [context]
    if CONTEXT not in parts:
        raise _bad("@context", "it does not name the context of EPCIS 2.0", CONTEXT)
    names = [name for part in parts if isinstance(part, dict) for name in part]
    return frozenset(names)


def event_of(item: Plain, place: str, prefixes: frozenset[str] = frozenset()) -> Event:
    """One event as the contract takes it. Raises InvalidInput MALFORMED."""
    if not isinstance(item, dict) or item.get("type") not in KINDS:
        raise _bad(place, "type is none of " + ", ".join(KINDS))
    event: Event = {"kind": _text(item, "type", place)}
    _take_when(event, item, place)
    for mine, theirs in (("id", "eventID"), ("action", "action")):
        if theirs in item:
            event[mine] = _text(item, theirs, place)
    if "parentID" in item:
        event["parent"] = path_of(_text(item, "parentID", place))
    for mine, theirs in _WORDS.items():
        if theirs in item:
            event[mine] = bare_word(_text(item, theirs, place))
    for mine, theirs in _PLACES.items():
        if theirs in item:
            event[mine] = path_of(_text(_object(item[theirs], f"{place}.{theirs}"), "id", place))
    for mine, theirs in _LISTS.items():
        if item.get(theirs):
            event[mine] = [path_of(_as_text(epc, place)) for epc in _array(item, theirs, place)]
    for mine, theirs in _QUANTITIES.items():
        if item.get(theirs):
            event[mine] = [_quantity(row, place) for row in _array(item, theirs, place)]
    for mine, (theirs, inner) in _PAIRS.items():
        if item.get(theirs):
            event[mine] = [_pair(row, inner, place) for row in _array(item, theirs, place)]
    for mine, theirs in _KEPT.items():
        if theirs in item:
            event[mine] = value_of(item[theirs], f"{place}.{theirs}")
    if "errorDeclaration" in item:
        event["error"] = _error(_object(item["errorDeclaration"], place), place)
    extension = _extension(item, place, prefixes)
    check_shape(str(event["kind"]), item, place)
    if extension:
        event["extension"] = extension
    return event


def _take_when(event: Event, item: Mapping[str, Plain], place: str) -> None:
    event["time_ms"] = milliseconds(_text(item, "eventTime", place), place)
    event["zone"] = _text(item, "eventTimeZoneOffset", place)


def _extension(item: Mapping[str, Plain], place: str, prefixes: frozenset[str]) -> dict[Key, Value]:
    found: dict[Key, Value] = {}
    for name, value in item.items():
        if name in _KNOWN or name.startswith("@"):
            continue
        prefix, colon, _ = name.partition(":")
        if not colon or prefix not in prefixes:
            raise _bad(
                f"{place}.{name[:40]}", "an unknown field; extensions have a declared prefix"
            )
        found[name] = value_of(value, place)
    return found


def _quantity(row: Plain, place: str) -> Value:
    entry = _object(row, place)
    amount = value_of(entry.get("quantity", 0), place)
    if isinstance(amount, bool) or not isinstance(amount, int | Dec):
        raise _bad(place, "a quantity is a number")
    unit = entry.get("uom", "")
    return [path_of(_text(entry, "epcClass", place)), amount, _as_text(unit, place)]


def _pair(row: Plain, inner: str, place: str) -> Value:
    entry = _object(row, place)
    return [bare_word(_as_text(entry.get("type", ""), place)), _text(entry, inner, place)]


def _error(entry: Mapping[str, Plain], place: str) -> dict[Key, Value]:
    ids = entry.get("correctiveEventIDs", [])
    return {
        "time_ms": milliseconds(_text(entry, "declarationTime", place), place),
        "reason": bare_word(_as_text(entry.get("reason", ""), place)),
        "corrective": [_as_text(one, place) for one in (ids if isinstance(ids, list) else [ids])],
    }


def bare_word(text: str) -> str:
    """`urn:epcglobal:cbv:bizstep:shipping` and `…/cbv/BizStep-shipping` are `shipping`."""
    if text.startswith("urn:epcglobal:cbv:"):
        return text.rsplit(":", 1)[1]
    if text.startswith("https://ref.gs1.org/cbv/"):
        return text.rsplit("-", 1)[-1]
    return text


def milliseconds(text: str, place: str) -> int:
    """ISO 8601 with an offset, as milliseconds since 1970. Raises InvalidInput MALFORMED."""
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise _bad(place, f"{text[:40]!r} is no time") from None
    if moment.tzinfo is None:
        raise _bad(place, "a time has an offset")
    return (moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(milliseconds=1)


def time_text(time_ms: int) -> str:
    """Milliseconds as ISO 8601 in UTC."""
    moment = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(milliseconds=time_ms)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def value_of(item: Plain, place: str, depth: int = 0) -> Value:
    """JSON as a value of the ledger. Raises InvalidInput MALFORMED."""
    if depth > DEPTH_MAX:
        raise _bad(place, "it is nested too deeply")
    if isinstance(item, Decimal):
        try:
            return dec_from_text(format(item, "f"))
        except InvalidInput:
            raise _bad(place, f"{item} has more than 18 places") from None
    if isinstance(item, int) and not -(2**255) < item < 2**255:
        raise _bad(place, "a number is too large")
    if isinstance(item, list):
        return [value_of(one, place, depth + 1) for one in item]
    if isinstance(item, dict):
        return {name: value_of(one, place, depth + 1) for name, one in item.items()}
    return item


def plain_of(value: Value) -> Plain:
    """A value of the ledger as JSON; the other way of `value_of`."""
    if isinstance(value, Dec):
        text = dec_to_text(value)
        # A whole decimal stays one: 26.0 written as 26 would be read as an integer.
        return Decimal(text if "." in text else text + ".0")
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, list | tuple):
        return [plain_of(one) for one in value]
    if isinstance(value, dict):
        return {str(name): plain_of(one) for name, one in value.items()}
    return value


def item_of(event: Mapping[Key, Value]) -> dict[str, Plain]:
    """One event of the contract as an EPCIS event; who recorded it stands under `andon:`."""
    item: dict[str, Plain] = {"type": str(event["kind"])}
    if "id" in event:
        item["eventID"] = str(event["id"])
    for mine, theirs in (("time_ms", "eventTime"), ("recorded_ms", "recordTime")):
        moment = event.get(mine)
        if isinstance(moment, int):
            item[theirs] = time_text(moment)
    item["eventTimeZoneOffset"] = str(event.get("zone", "+00:00"))
    if "action" in event:
        item["action"] = str(event["action"])
    if event.get("parent") is not None:
        item["parentID"] = uri_of(str(event["parent"]))
    for mine, theirs in _WORDS.items():
        if event.get(mine):
            item[theirs] = str(event[mine])
    for mine, theirs in _PLACES.items():
        if event.get(mine):
            item[theirs] = {"id": uri_of(str(event[mine]))}
    for mine, theirs in _LISTS.items():
        if mine in event:
            item[theirs] = [uri_of(str(one)) for one in _rows(event, mine)]
    for mine, theirs in _QUANTITIES.items():
        if mine in event:
            item[theirs] = [_quantity_item(row) for row in _rows(event, mine)]
    for mine, (theirs, inner) in _PAIRS.items():
        if mine in event:
            item[theirs] = [_pair_item(row, inner) for row in _rows(event, mine)]
    for mine, theirs in _KEPT.items():
        if mine in event:
            item[theirs] = plain_of(event[mine])
    error = event.get("error")
    if isinstance(error, dict):
        item["errorDeclaration"] = _error_item(error)
    extension = event.get("extension")
    if isinstance(extension, dict):
        item.update({str(name): plain_of(one) for name, one in extension.items()})
    for name in ("org", "height", "number"):
        if name in event:
            item[f"andon:{name}"] = plain_of(event[name])
    return item


def _rows(event: Mapping[Key, Value], name: str) -> list[Value]:
    found = event[name]
    return found if isinstance(found, list) else []


def _quantity_item(row: Value) -> Plain:
    assert isinstance(row, list), "the contract keeps rows of class, amount and unit"
    found: dict[str, Plain] = {"epcClass": uri_of(str(row[0])), "quantity": plain_of(row[1])}
    if row[2]:
        found["uom"] = str(row[2])
    return found


def _pair_item(row: Value, inner: str) -> Plain:
    assert isinstance(row, list), "the contract keeps rows of type and id"
    return {**({"type": str(row[0])} if row[0] else {}), inner: str(row[1])}


def _error_item(error: Mapping[Key, Value]) -> Plain:
    moment = error.get("time_ms") or error.get("declared_ms") or 0
    corrective = error.get("corrective")
    found: dict[str, Plain] = {
        "declarationTime": time_text(moment if isinstance(moment, int) else 0)
    }
    if error.get("reason"):
        found["reason"] = str(error["reason"])
    if corrective:
        found["correctiveEventIDs"] = plain_of(corrective)
    return found


def event_text(event: Mapping[Key, Value]) -> bytes:
    """One event as JSON on one line."""
    return _encoder.encode(item_of(event))


def document(events: Sequence[Mapping[Key, Value]], created_ms: int, query: str = "") -> bytes:
    """An EPCISDocument, or an EPCISQueryDocument if `query` names it."""
    listed: Plain = [item_of(event) for event in events]
    body: dict[str, Plain] = {"eventList": listed}
    if query:
        body = {"queryResults": {"queryName": query, "resultsBody": {"eventList": listed}}}
    whole: dict[str, Plain] = {
        "@context": [CONTEXT, {"andon": "https://andon.example/epcis/"}],
        "type": "EPCISQueryDocument" if query else "EPCISDocument",
        "schemaVersion": SCHEMA_VERSION,
        "creationDate": time_text(created_ms),
        "epcisBody": body,
    }
    return _encoder.encode(whole)


def _object(item: Plain, place: str) -> dict[str, Plain]:
    if not isinstance(item, dict):
        raise _bad(place, "an object is expected")
    return item


def _array(item: Mapping[str, Plain], name: str, place: str) -> list[Plain]:
    found = item[name]
    if not isinstance(found, list):
        raise _bad(f"{place}.{name}", "a list is expected")
    return found


def _text(item: Mapping[str, Plain], name: str, place: str) -> str:
    if name not in item:
        raise _bad(f"{place}.{name}", "it is missing")
    return _as_text(item[name], f"{place}.{name}")


def _as_text(item: Plain, place: str) -> str:
    if not isinstance(item, str) or len(item) > 2048:
        raise _bad(place, "a text of at most 2048 characters is expected")
    return item


def _bad(place: str, reason: str, hint: str = "see docs/factory.md") -> InvalidInput:
    return InvalidInput(Code.MALFORMED, f"EPCIS {place}: {reason}", hint=hint)

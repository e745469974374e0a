"""Parameters of EPCIS 2.0's simple event query as conditions on recorded events.

Names follow the standard; those that are not served are refused by name. `WD_` takes a place
and what lies below it by id, since the chain keeps no other hierarchy of places.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from andon.client.factory.epcis import bare_word, milliseconds
from andon.client.factory.gs1 import path_of
from andon.core.codec import Dec, Key, Value
from andon.core.errors import Code, InvalidInput
from andon.core.json_value import dec_from_text

Event = dict[Key, Value]
PARAMETERS_MAX: Final = 64
VALUES_MAX: Final = 64
NAME_CHARACTERS_MAX: Final = 200
PAGING: Final = frozenset({"perPage", "nextPageToken"})
_UNIT: Final = 10**18
_EQUAL: Final = {
    "eventType": "kind",
    "EQ_action": "action",
    "EQ_bizStep": "step",
    "EQ_disposition": "disposition",
    "EQ_readPoint": "read_point",
    "EQ_bizLocation": "location",
    "EQ_eventID": "id",
    "EQ_transformationID": "transformation",
}
_WITHIN: Final = {"WD_readPoint": "read_point", "WD_bizLocation": "location"}
_MATCH: Final = {
    "MATCH_epc": ("epcs", "children"),
    "MATCH_parentID": ("parent",),
    "MATCH_inputEPC": ("inputs",),
    "MATCH_outputEPC": ("outputs",),
    "MATCH_anyEPC": ("epcs", "children", "parent", "inputs", "outputs"),
    "MATCH_epcClass": ("quantities", "child_quantities"),
    "MATCH_inputEPCClass": ("input_quantities",),
    "MATCH_outputEPCClass": ("output_quantities",),
    "MATCH_anyEPCClass": (
        "quantities", "child_quantities", "input_quantities", "output_quantities",
    ),
}  # fmt: skip
_TIMES: Final = {
    "GE_eventTime": ("time_ms", 1),
    "LT_eventTime": ("time_ms", -1),
    "GE_recordTime": ("recorded_ms", 1),
    "LT_recordTime": ("recorded_ms", -1),
}
_ERROR_TIMES: Final = {"GE_errorDeclarationTime": 1, "LT_errorDeclarationTime": -1}
_PAIRS: Final = {
    "EQ_bizTransaction_": "transactions",
    "EQ_source_": "sources",
    "EQ_destination_": "destinations",
}
_QUANTITY: Final = re.compile(r"(EQ|GT|GE|LT|LE)_quantity\Z")
_PERSISTENT: Final = re.compile(r"EQ_persistentDisposition_(set|unset)\Z")
_ILMD: Final = re.compile(r"(EQ|EXISTS)_ILMD_(.{1,100})\Z")
_EXTENSION: Final = re.compile(r"(EQ|EXISTS)_([^_:]{1,50}:.{1,100})\Z")
_EXISTS: Final = {
    "EXISTS_ilmd": "ilmd",
    "EXISTS_sensorElementList": "sensors",
    "EXISTS_persistentDisposition": "persistent",
    "EXISTS_bizLocation": "location",
    "EXISTS_readPoint": "read_point",
    "EXISTS_bizStep": "step",
    "EXISTS_disposition": "disposition",
    "EXISTS_parentID": "parent",
}
_PLACES: Final = frozenset({"read_point", "location"})
_QUANTITIES: Final = ("quantities", "child_quantities", "input_quantities", "output_quantities")
_COMPARE: Final[Mapping[str, Callable[[int, int], bool]]] = {
    "EQ": lambda one, two: one == two,
    "GT": lambda one, two: one > two,
    "GE": lambda one, two: one >= two,
    "LT": lambda one, two: one < two,
    "LE": lambda one, two: one <= two,
}
Path = tuple[str, ...]


PARAMETERS: Final = (
    *_EQUAL, *_WITHIN, *_MATCH, *_TIMES, *_ERROR_TIMES, *_EXISTS,
    "EQ_errorReason", "EQ_correctiveEventID", "EXISTS_errorDeclaration",
    *(f"{sign}_quantity" for sign in _COMPARE),
    *(f"EQ_persistentDisposition_{way}" for way in ("set", "unset")),
)  # fmt: skip
"""Those with one fixed name, for whoever describes them."""
PARAMETER_PREFIXES: Final = (*_PAIRS, "EQ_ILMD_", "EXISTS_ILMD_")


class Query(msgspec.Struct, frozen=True):
    """Conditions that all have to hold; each holds if one of its values fits."""

    equal: tuple[tuple[Path, tuple[str, ...]], ...] = ()
    within: tuple[tuple[str, tuple[str, ...]], ...] = ()
    match: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = ()
    times: tuple[tuple[Path, int, int], ...] = ()
    pairs: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    quantities: tuple[tuple[str, int], ...] = ()
    """Comparison and amount in units of 10**-18."""
    exists: tuple[tuple[Path, bool], ...] = ()

    def fits(self, event: Event) -> bool:
        """Whether an event fits."""
        return (
            all((_at(event, path) not in (None, "")) is wanted for path, wanted in self.exists)
            and all(_is_one_of(_at(event, path), values) for path, values in self.equal)
            and all(_is_within(event.get(field), places) for field, places in self.within)
            and all(self._matches(event, fields, values) for fields, values in self.match)
            and all(_is_on_side(_at(event, path), sign, at) for path, sign, at in self.times)
            and all(_has_pair(event.get(field), kind, ids) for field, kind, ids in self.pairs)
            and all(_has_amount(event, sign, amount) for sign, amount in self.quantities)
        )

    def _matches(self, event: Event, fields: tuple[str, ...], values: tuple[str, ...]) -> bool:
        ids = [one for field in fields for one in _ids(event.get(field))]
        return any(_is_match(pattern, one) for pattern in values for one in ids)


class _Draft(msgspec.Struct):
    equal: list[tuple[Path, tuple[str, ...]]] = msgspec.field(default_factory=list)
    within: list[tuple[str, tuple[str, ...]]] = msgspec.field(default_factory=list)
    match: list[tuple[tuple[str, ...], tuple[str, ...]]] = msgspec.field(default_factory=list)
    times: list[tuple[Path, int, int]] = msgspec.field(default_factory=list)
    pairs: list[tuple[str, str, tuple[str, ...]]] = msgspec.field(default_factory=list)
    quantities: list[tuple[str, int]] = msgspec.field(default_factory=list)
    exists: list[tuple[Path, bool]] = msgspec.field(default_factory=list)


def query_of(given: Mapping[str, str]) -> Query:
    """Parameters of the standard's simple event query.

    Raises:
        InvalidInput: BAD_REQUEST for one that is not served, MALFORMED for a value, TOO_MANY.
    """
    if len(given) > PARAMETERS_MAX:
        raise InvalidInput(Code.TOO_MANY, f"a query has at most {PARAMETERS_MAX} parameters")
    draft = _Draft()
    for name, text in given.items():
        values = tuple(part.strip() for part in text.split("|" if "|" in text else ","))
        if len(values) > VALUES_MAX:
            raise InvalidInput(Code.TOO_MANY, f"{name[:40]} has at most {VALUES_MAX} values")
        if name in PAGING:
            continue
        if not (_take_named(draft, name, text, values) or _take_shaped(draft, name, text, values)):
            known = ", ".join(PARAMETERS)
            raise InvalidInput(
                Code.BAD_REQUEST, f"parameter {name[:40]!r} is not served", hint=f"served: {known}"
            )
    return Query(**{name: tuple(getattr(draft, name)) for name in _Draft.__struct_fields__})


def _take_named(draft: _Draft, name: str, text: str, values: tuple[str, ...]) -> bool:
    """Parameters with one fixed name."""
    if name in _EQUAL:
        field = _EQUAL[name]
        clean = path_of if field in _PLACES else bare_word
        draft.equal.append(((field,), tuple(clean(value) for value in values)))
    elif name in _WITHIN:
        draft.within.append((_WITHIN[name], tuple(path_of(value) for value in values)))
    elif name in _MATCH:
        draft.match.append((_MATCH[name], tuple(_pattern(value) for value in values)))
    elif name in _TIMES:
        field, sign = _TIMES[name]
        draft.times.append(((field,), sign, milliseconds(text.replace(" ", "+"), name)))
    elif name in _ERROR_TIMES:
        moment = milliseconds(text.replace(" ", "+"), name)
        draft.times.append((("error", "time_ms"), _ERROR_TIMES[name], moment))
    elif name == "EQ_errorReason":
        draft.equal.append((("error", "reason"), tuple(bare_word(value) for value in values)))
    elif name == "EQ_correctiveEventID":
        draft.equal.append((("error", "corrective"), values))
    elif name == "EXISTS_errorDeclaration":
        draft.exists.append((("error",), text.lower() != "false"))
    elif name in _EXISTS:
        draft.exists.append(((_EXISTS[name],), text.lower() != "false"))
    else:
        return False
    return True


def _take_shaped(draft: _Draft, name: str, text: str, values: tuple[str, ...]) -> bool:
    """Parameters whose name holds a type, a field or a comparison."""
    for prefix, field in _PAIRS.items():
        if name.startswith(prefix):
            kind = bare_word(name.removeprefix(prefix))
            draft.pairs.append((field, kind, values))
            return True
    if found := _QUANTITY.match(name):
        try:
            draft.quantities.append((found[1], dec_from_text(text).scaled))
        except InvalidInput:
            raise InvalidInput(Code.MALFORMED, f"{name} is a decimal, not {text[:40]!r}") from None
    elif found := _PERSISTENT.match(name):
        words = tuple(bare_word(value) for value in values)
        draft.equal.append((("persistent", found[1]), words))
    elif found := _ILMD.match(name):
        _take_field(draft, ("ilmd", found[2]), found[1], text, values)
    elif found := _EXTENSION.match(name):
        _take_field(draft, ("extension", found[2]), found[1], text, values)
    else:
        return False
    return True


def _take_field(draft: _Draft, path: Path, verb: str, text: str, values: tuple[str, ...]) -> None:
    if verb == "EQ":
        draft.equal.append((path, values))
    else:
        draft.exists.append((path, text.lower() != "false"))


def _at(event: Event, path: Path) -> Value:
    found: Value = event
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _is_one_of(found: Value, values: tuple[str, ...]) -> bool:
    rows = found if isinstance(found, list) else [found]
    return any(isinstance(one, str) and (one in values or bare_word(one) in values) for one in rows)


def _is_within(found: Value, places: tuple[str, ...]) -> bool:
    return isinstance(found, str) and any(
        found == place or found.startswith(place + "/") for place in places
    )


def _is_on_side(found: Value, sign: int, moment: int) -> bool:
    return isinstance(found, int) and (found >= moment) is (sign > 0)


def _has_pair(found: Value, kind: str, ids: tuple[str, ...]) -> bool:
    rows = found if isinstance(found, list) else []
    return any(isinstance(row, list) and row[0] == kind and row[1] in ids for row in rows)


def _has_amount(event: Event, sign: str, amount: int) -> bool:
    for field in _QUANTITIES:
        found = event.get(field)
        for row in found if isinstance(found, list) else []:
            has = row[1] if isinstance(row, list) else None
            if isinstance(has, Dec) and _COMPARE[sign](has.scaled, amount):
                return True
            if isinstance(has, int) and _COMPARE[sign](has * _UNIT, amount):
                return True
    return False


def _pattern(value: str) -> str:
    return value if value.endswith("*") else path_of(value)


def _is_match(pattern: str, one: str) -> bool:
    return one.startswith(pattern[:-1]) if pattern.endswith("*") else one == pattern


def _ids(found: Value) -> list[str]:
    if isinstance(found, str):
        return [found]
    rows = found if isinstance(found, list) else []
    firsts = [row[0] if isinstance(row, list) and row else row for row in rows]
    return [one for one in firsts if isinstance(one, str)]

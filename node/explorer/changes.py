"""What a transaction changed in the state, by contract and declared name: before and after."""

from __future__ import annotations

import json
from dataclasses import dataclass

from andon.core.codec import Dec, Value, decode_value
from andon.core.errors import InvalidInput
from andon.core.json_value import dec_to_text, value_to_json
from node.explorer.html import Child, Markup, code, link, place, section, table, tag
from node.explorer.view import Desk
from node.facade import Change

ROWS_MAX = 200
TEXT_CHARACTERS_MAX = 160
KEY_CHARACTERS_MAX = 44
DEPTH_MAX = 4
"""Maps in maps are compared field by field so far down; deeper ones as a whole."""


class _Absent:
    """The type of `_ABSENT`: no value, as opposed to a value that is None."""


_ABSENT = _Absent()
Side = Value | _Absent


@dataclass(frozen=True, slots=True)
class Row:
    """One place that differs: `name` is the variable with its key and, in a map, the field."""

    name: str
    before: Side
    after: Side


async def changes(desk: Desk, identity: bytes) -> Markup:
    """Draw the section of one final transaction."""
    try:
        found = await desk.node.changes(identity)
    except InvalidInput as error:
        body: Child = [
            tag("p", f"Not shown: {error.message}."),
            tag("p", error.hint, class_="muted") if error.hint else None,
        ]
        return section("State changes", body)
    if not found:
        return section("State changes", tag("p", "None.", class_="muted"))
    contracts: dict[str, list[Row]] = {}
    for change in found:
        contract, rows = rows_of(change)
        contracts.setdefault(contract, []).extend(rows)
    shown: list[Child] = []
    left = ROWS_MAX
    for contract, rows in contracts.items():
        cells = [_cells(row) for row in rows[: max(0, left)]]
        left -= len(rows)
        shown.append(tag("h3", link(place("contract", contract), contract)))
        shown.append(table(["name", "before", "after"], cells) if cells else None)
    note = (
        "This node executed the block again on the state before it, and got the receipt that is "
        "on record."
    )
    cut = tag("p", f"{-left} more are not shown.", class_="muted") if left < 0 else None
    return section("State changes", shown, cut, tag("p", note, class_="muted"))


def rows_of(change: Change) -> tuple[str, list[Row]]:
    """Contract of a changed key, and what differs there: a map of fields gives a row a field."""
    contract, variable, encoded = change.key.split(b"\0", 2)
    name = variable.decode()
    if encoded:
        name += f"[{_key(decode_value(encoded))}]"
    rows: list[Row] = []
    _compare(name, _side(change.before), _side(change.after), rows)
    return contract.decode(), rows


def _side(raw: bytes | None) -> Side:
    return _ABSENT if raw is None else decode_value(raw)


def _compare(name: str, before: Side, after: Side, rows: list[Row], depth: int = 0) -> None:
    if depth < DEPTH_MAX and _is_fields(before) and _is_fields(after):
        old = before if isinstance(before, dict) else {}
        new = after if isinstance(after, dict) else {}
        if old or new:
            for field in [*old, *(key for key in new if key not in old)]:
                one, other = old.get(field, _ABSENT), new.get(field, _ABSENT)
                if one != other:
                    _compare(f"{name}.{_text(field)}", one, other, rows, depth + 1)
            return
    rows.append(Row(name, before, after))


def _is_fields(side: Side) -> bool:
    return isinstance(side, dict | _Absent)


def _cells(row: Row) -> list[Child]:
    return [code(row.name), _shown(row.before), _shown(row.after)]


def _shown(side: Side) -> Child:
    if isinstance(side, _Absent):
        return tag("span", "absent", class_="muted")
    text = _text(side)
    return tag("span", text, class_="value") if text else tag("span", "empty", class_="muted")


def _key(value: Value) -> str:
    """A map key, cut in the middle where it is long."""
    text = _text(value)
    if len(text) <= KEY_CHARACTERS_MAX:
        return text
    return f"{text[: KEY_CHARACTERS_MAX - 12]}…{text[-8:]}"


def _text(value: Value) -> str:
    """A value on one line; bytes and long texts by their start and size."""
    if isinstance(value, Dec):
        return dec_to_text(value)
    if isinstance(value, bytes):
        start = value.hex()[:16]
        return start if len(value) <= 8 else f"{start}… ({len(value)} bytes)"
    if isinstance(value, tuple):
        return ", ".join(_text(item) for item in value)
    text = value if isinstance(value, str) else json.dumps(value_to_json(value))
    if len(text) <= TEXT_CHARACTERS_MAX:
        return text
    return f"{text[:TEXT_CHARACTERS_MAX]}… ({len(text)} characters)"

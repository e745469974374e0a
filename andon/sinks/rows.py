"""A final block as rows of tables: the same for databases and files.

`lots` names every item that an event mentions (fields `lot`, `item`, `items`); `edges` are the
genealogy that captured EPCIS events declare: what was MADE of what, and what is HELD in what.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from andon.core.rpc_schema import CallEntry, EventReply, TransactionReply
from andon.sinks.blocks import FullBlock

CAPTURES = ("capture", "capture_many")
SUPPLY = "supply"
LOT_FIELDS = ("lot", "item")
LOTS_FIELD = "items"

Cell = int | str | bool | dt.datetime | list[int] | None
Row = tuple[Cell, ...]

COLUMNS: dict[str, tuple[str, ...]] = {
    "blocks": (
        "height", "hash", "parent", "time", "epoch", "slot", "proposer", "state_root",
        "gas_used", "transactions", "size_bytes",
    ),
    "transactions": (
        "hash", "height", "index", "sender", "ok", "gas_used", "calls", "results", "failure",
    ),
    "events": ("cursor", "height", "transaction_hash", "index", "contract", "name", "fields"),
    "predictions": (
        "id", "height", "transaction_hash", "index", "contract", "model_id", "input_digest",
        "output", "kind", "votes", "validators",
    ),
    "votes": ("height", "validator", "certified_height"),
    "lots": ("cursor", "lot", "height", "role"),
    "edges": ("transaction_hash", "height", "event", "kind", "source", "target"),
}  # fmt: skip
JSON_COLUMNS = ("calls", "results", "failure", "fields")


@dataclass(slots=True)
class Rows:
    """Rows by table, in an order in which they can be inserted."""

    tables: dict[str, list[Row]] = field(default_factory=lambda: {name: [] for name in COLUMNS})

    def add(self, full: FullBlock) -> None:
        """Add a block with everything in it."""
        header, height = full.block.header, full.height
        self.tables["blocks"].append(
            (
                height,
                full.block.hash,
                header.parent,
                _time(int(header.time_ms)),
                int(header.epoch),
                int(header.slot),
                header.proposer,
                header.state_root,
                int(header.gas_used),
                len(full.transactions),
                full.block.size_bytes,
            )
        )
        certified = int(full.block.certified_height)
        self.tables["votes"] += [(height, key, certified) for key in full.block.signers]
        for index, transaction in enumerate(full.transactions):
            self._add_transaction(height, index, transaction)

    def _add_transaction(self, height: int, index: int, found: TransactionReply) -> None:
        receipt = found.receipt
        assert receipt is not None
        calls = [
            {"contract": call.contract, "method": call.method, "args": _loads(call.args)}
            for call in found.calls
        ]
        failure = None if receipt.failure is None else msgspec.to_builtins(receipt.failure)
        self.tables["transactions"].append(
            (
                found.hash,
                height,
                index,
                found.sender,
                receipt.ok,
                int(receipt.gas_used),
                _dumps(calls),
                _dumps([_loads(result) for result in receipt.results]),
                None if failure is None else _dumps(failure),
            )
        )
        for place, event in enumerate(receipt.events):
            self._add_event(height, found.hash, place, event)
        self.tables["predictions"] += [
            (
                item.id,
                height,
                item.tx_hash,
                item.index,
                item.contract,
                item.model_id,
                item.input_digest,
                list(item.output),
                item.kind,
                len(item.votes),
                item.validators,
            )
            for item in found.predictions
        ]
        if receipt.ok:
            edges = dict.fromkeys(edge for call in found.calls for edge in edges_of(call))
            self.tables["edges"] += [(found.hash, height, *edge) for edge in edges]

    def _add_event(self, height: int, identity: str, place: int, event: EventReply) -> None:
        fields = _loads(event.fields)
        self.tables["events"].append(
            (
                event.cursor,
                height,
                identity,
                place,
                event.contract,
                event.name,
                _dumps(fields),
            )
        )
        role = f"{event.contract}.{event.name}"
        lots = dict.fromkeys(lots_of(fields))
        self.tables["lots"] += [(event.cursor, lot, height, role) for lot in lots]


def lots_of(fields: object) -> Iterator[str]:
    """Items that an event names."""
    if not isinstance(fields, dict):
        return
    for name in LOT_FIELDS:
        lot = fields.get(name)
        if isinstance(lot, str) and lot:
            yield lot
    items = fields.get(LOTS_FIELD)
    if isinstance(items, list):
        yield from (item for item in items if isinstance(item, str) and item)


def edges_of(call: CallEntry) -> Iterator[tuple[str, str, str, str]]:
    """Event, kind, source and target of every edge that a call of `supply` declares."""
    if call.contract != SUPPLY or call.method not in CAPTURES:
        return
    arguments = _loads(call.args)
    if not isinstance(arguments, dict):
        return
    given = arguments.get("event")
    events = arguments.get("events", []) if call.method == "capture_many" else [given]
    for event in events if isinstance(events, list) else []:
        if isinstance(event, dict) and event.get("error") is None:
            yield from _edges(event)


def _edges(event: dict[object, object]) -> Iterator[tuple[str, str, str, str]]:
    identity = event.get("id")
    name = identity if isinstance(identity, str) else ""
    for source in _side(event, "inputs", "input_quantities"):
        for target in _side(event, "outputs", "output_quantities"):
            yield name, "MADE", source, target
    parent = event.get("parent")
    if isinstance(parent, str) and event.get("action") == "ADD":
        for child in _side(event, "children", "child_quantities"):
            yield name, "HELD", child, parent


def _side(event: dict[object, object], names: str, quantities: str) -> list[str]:
    found: list[str] = []
    plain, amounts = event.get(names), event.get(quantities)
    if isinstance(plain, list):
        found += [item for item in plain if isinstance(item, str)]
    if isinstance(amounts, list):
        for row in amounts:
            entries = row.get("$tuple") if isinstance(row, dict) else row
            if isinstance(entries, list) and entries and isinstance(entries[0], str):
                found.append(entries[0])
    return found


def _time(time_ms: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(0, dt.UTC) + dt.timedelta(milliseconds=time_ms)


def _loads(raw: msgspec.Raw) -> object:
    return _without_nul(json.loads(bytes(raw)))


def _dumps(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _without_nul(value: object) -> object:
    """Databases hold no NUL in text; one in a contract's text must not stop a sink for ever."""
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, list):
        return [_without_nul(item) for item in value]
    if isinstance(value, dict):
        return {str(_without_nul(key)): _without_nul(item) for key, item in value.items()}
    return value

"""The passport of an item: what a buyer with only a QR code checks, offline, against the genesis.

`collect` asks any node for the item's record, its events, the certificate of its lot and the same
of what it was made of, each with a state proof. `check` needs passport, code and genesis document
alone. What it shows was true at `height`; a later suspicion is only in a newer passport.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from andon.client.factory.gs1 import path_of
from andon.client.verifier import Verifier
from andon.core.codec import Key, Value, decode_value, encode_value
from andon.core.errors import Code, InvalidInput
from andon.core.genesis import Genesis
from andon.core.state_key import state_key

ITEMS_MAX: Final = 64
"""Items of one passport: the one asked for, and of its past as many as fit."""

EVENTS_MAX: Final = 16
"""Last events of an item that a passport holds."""

BYTES_MAX: Final = 16 * 1024 * 1024
_Proof = tuple[str, str, bytes, str]
"""Contract, variable, encoded key, proof in hex."""


class ProofSource(Protocol):
    """What `collect` needs of a client."""

    async def call(self, contract: str, method: str, args: Mapping[str, Value]) -> Value:
        """Run a view."""

    async def state_proof(self, contract: str, variable: str, key: Key) -> str:
        """Proof of an entry in hex, present or absent."""


class Passport(msgspec.Struct, frozen=True, array_like=True):
    """Proofs of state entries; `item` is the path that they are about."""

    item: str
    supply: str
    quality: str
    proofs: tuple[_Proof, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """What a checked passport says of one item; `depth` is 0 for the item itself."""

    item: str
    depth: int
    maker: str
    made_ms: int | None
    holder: str
    suspect: str
    events: tuple[Mapping[Key, Value], ...]
    """The last events that count, oldest first."""
    certificate: Mapping[Key, Value] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A checked passport: all its proofs hold; `height` is the lowest of them."""

    height: int
    items: tuple[Provenance, ...]

    @property
    def is_genuine(self) -> bool:
        """Whether the item was made by who may, and nothing about it is suspect."""
        first = self.items[0]
        return first.maker != "" and first.suspect == ""


async def collect(
    source: ProofSource, code: str, *, supply: str = "supply", quality: str = "quality"
) -> Passport:
    """Gather the passport of the item that a Digital Link names."""
    item = path_of(code)
    walked = await source.call("genealogy", "upstream", {"item": item})
    names = [item, *_sources(walked)][:ITEMS_MAX]
    proofs: list[_Proof] = []

    async def prove(contract: str, variable: str, key: Key) -> None:
        proof = await source.state_proof(contract, variable, key)
        proofs.append((contract, variable, encode_value(key), proof))

    for name in names:
        await prove(supply, "items", name)
        await prove(quality, "certificates", name)
        record = await source.call(supply, "item", {"name": name})
        count = record["events"] if isinstance(record, dict) else 0
        assert isinstance(count, int), "the contract counts events in ints"
        for place in range(max(0, count - EVENTS_MAX), count):
            await prove(supply, "trail", (name, place))
        args: dict[str, Value] = {
            "name": name, "after": max(0, count - EVENTS_MAX), "count": EVENTS_MAX,
        }  # fmt: skip
        found = await source.call(supply, "events_of", args)
        for event in found if isinstance(found, list) else []:
            if isinstance(event, dict) and isinstance(event["id"], str):
                await prove(supply, "events", event["id"])
    return Passport(item, supply, quality, tuple(dict.fromkeys(proofs)))


def encode_passport(passport: Passport) -> bytes:
    """A file to hand over."""
    return msgspec.msgpack.encode(passport)


def decode_passport(data: bytes) -> Passport:
    """Read a file. Raises InvalidInput MALFORMED, TOO_LARGE."""
    if len(data) > BYTES_MAX:
        raise InvalidInput(Code.TOO_LARGE, f"a passport has at most {BYTES_MAX} bytes")
    try:
        return msgspec.msgpack.decode(data, type=Passport)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidInput(Code.MALFORMED, f"no passport: {error}") from None


def check(
    genesis: Genesis,
    passport: Passport,
    code: str,
    *,
    supply: str = "supply",
    quality: str = "quality",
) -> Checked:
    """Check every proof and read the item's past from what is proved.

    Raises:
        InvalidInput: BAD_PROOF if a proof does not hold, is of something else, or one is missing.
    """
    item = path_of(code)
    if item != passport.item:
        raise _bad(f"the passport is of {passport.item}, the code of {item}")
    # Anybody may deploy a contract that says pleasant things: the buyer says which ones count.
    if (passport.supply, passport.quality) != (supply, quality):
        raise _bad(f"it is of the contracts {passport.supply} and {passport.quality}")
    verifier = Verifier(genesis)
    entries: dict[bytes, Value] = {}
    heights = []
    for contract, variable, raw_key, proof in passport.proofs:
        wanted = state_key(contract, variable, _map_key(raw_key))
        verified, value = verifier.state(proof, wanted)
        heights.append(verified.header.height)
        entries[wanted] = None if value is None else decode_value(value)
    return _read(passport, entries, min(heights, default=0))


def _map_key(raw: bytes) -> Key:
    """Keys of what a passport holds: an id, or an id and a place."""
    match decode_value(raw):
        case str() as name:
            return name
        case (str() as name, int() as place):
            return (name, place)
        case _:
            raise _bad("it proves what no passport holds")


def _read(passport: Passport, entries: Mapping[bytes, Value], height: int) -> Checked:
    queue, depths = [passport.item], {passport.item: 0}
    items = []
    while queue:
        name = queue.pop(0)
        if state_key(passport.supply, "items", name) not in entries:
            if name == passport.item:
                raise _bad("it does not prove the item itself")
            continue
        found = _provenance(passport, entries, name, depths[name])
        items.append(found)
        for event in found.events:
            for part in _parts(event, name):
                if part not in depths and len(depths) < ITEMS_MAX:
                    depths[part] = depths[name] + 1
                    queue.append(part)
    return Checked(height=height, items=tuple(items))


def _provenance(
    passport: Passport, entries: Mapping[bytes, Value], name: str, depth: int
) -> Provenance:
    def entry(contract: str, variable: str, key: Key) -> Value:
        wanted = state_key(contract, variable, key)
        if wanted not in entries:
            raise _bad(f"it lacks the proof of {variable} of {name}")
        return entries[wanted]

    record = entry(passport.supply, "items", name)
    if not isinstance(record, dict):
        return Provenance(
            item=name, depth=depth, maker="", made_ms=None, holder="", suspect="NEVER_SEEN",
            events=(), certificate=None,
        )  # fmt: skip
    count = record["events"]
    assert isinstance(count, int), "proved: the contract counts events in ints"
    events, made_ms = [], None
    for place in range(max(0, count - EVENTS_MAX), count):
        identity = entry(passport.supply, "trail", (name, place))
        event = entry(passport.supply, "events", str(identity))
        if isinstance(event, dict) and event.get("error") is None:
            events.append(event)
            moment = event["time_ms"]
            if identity == record["made"] and isinstance(moment, int):
                made_ms = moment
    paper = entry(passport.quality, "certificates", name)
    return Provenance(
        item=name,
        depth=depth,
        maker=str(record["maker"]),
        made_ms=made_ms,
        holder=str(record["org"]),
        suspect=str(record["suspect"]),
        events=tuple(events),
        certificate=paper if isinstance(paper, dict) else None,
    )


def _parts(event: Mapping[Key, Value], whole: str) -> list[str]:
    """What an item is made of or holds, as one of its events says."""
    outputs = _names(event, "outputs", "output_quantities")
    if event["kind"] == "TransformationEvent" and whole in outputs:
        return _names(event, "inputs", "input_quantities")
    is_added = event.get("action") == "ADD" and event.get("parent") == whole
    return _names(event, "children", "child_quantities") if is_added else []


def _names(event: Mapping[Key, Value], plain: str, counted: str) -> list[str]:
    names, rows = event.get(plain), event.get(counted)
    found = list(names) if isinstance(names, list) else []
    found += [row[0] for row in rows if isinstance(row, list)] if isinstance(rows, list) else []
    return [name for name in found if isinstance(name, str)]


def _sources(walked: Value) -> list[str]:
    edges = walked["edges"] if isinstance(walked, dict) else []
    rows: Sequence[Value] = edges if isinstance(edges, list) else []
    return list(dict.fromkeys(str(row[0]) for row in rows if isinstance(row, list)))


def _bad(reason: str) -> InvalidInput:
    return InvalidInput(
        Code.BAD_PROOF, f"passport: {reason}", hint="ask the seller, or any node, for another"
    )

"""What all pages share: the desk they read from, and how common things are shown."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass

from andon.core.block import Receipt
from andon.core.certificate import ValidatorSet
from andon.core.codec import Dec, Value, decode_value
from andon.core.hashing import Domain, digest
from andon.core.json_value import dec_to_text, value_to_json
from andon.core.state_key import state_key, state_prefix
from andon.core.transaction import parse_transaction
from node.explorer.html import Child, Markup, code, facts, link, place, table, tag
from node.explorer.recent import Recent, TransactionRow
from node.explorer.svg import vote_bar
from node.facade import BlockAnswer, NodeFacade
from node.rpc.proofs import voters_of

ROWS = 25
ENTRIES_MAX = 200
CONTRACTS_MAX = 200
"""How many contracts are listed, and asked whether they keep something that a page shows."""
TOKEN_CHARACTERS_MAX = 44
"""A longer word of an event is cut in the middle; its transaction shows all of it."""


@dataclass(frozen=True, slots=True)
class Page:
    """A finished page: `live` ones are drawn again at every block; `script` is one asset more."""

    title: str
    body: Child
    live: bool = False
    script: str = ""


@dataclass(frozen=True, slots=True)
class Model:
    """What the registry says of a model, for showing outputs in its unit."""

    id: bytes
    fields: dict[str, Value]

    @property
    def name(self) -> str:
        """Name, or the start of the id."""
        name = self.fields.get("name")
        return name if isinstance(name, str) and name else self.id.hex()[:12]

    def value(self, output: int) -> float:
        """Output in the model's unit."""
        num, den = self.fields.get("scale_num"), self.fields.get("scale_den")
        if isinstance(num, int) and isinstance(den, int) and den > 0:
            return output * num / den
        return float(output)


@dataclass(frozen=True, slots=True)
class Desk:
    """The node, the memory of recent blocks, and the names that pages need."""

    node: NodeFacade
    recent: Recent

    async def models(self) -> dict[bytes, Model]:
        """The registry's entries by id."""
        prefix = state_prefix("models", "packages")
        models: dict[bytes, Model] = {}
        for key, raw in await self.node.entries(prefix, None, ENTRIES_MAX):
            identity, fields = decode_value(key[len(prefix) :]), decode_value(raw)
            if isinstance(identity, bytes) and isinstance(fields, dict):
                models[identity] = Model(identity, {str(k): v for k, v in fields.items()})
        return models

    async def organisations(self) -> dict[bytes, str]:
        """Organisation by validator key."""
        raw = (await self.node.state(state_key("identity", "validators"))).value
        entries = decode_value(raw) if raw is not None else []
        found: dict[bytes, str] = {}
        for entry in entries if isinstance(entries, list) else []:
            if isinstance(entry, dict):
                key, name = entry.get("key"), entry.get("org")
                if isinstance(key, bytes) and isinstance(name, str):
                    found[key] = name
        return found

    async def contracts(self) -> dict[str, dict[str, Value]]:
        """What is recorded of each contract, by name: those of the genesis first."""
        found: dict[str, dict[str, Value]] = {
            item.name: {"version": 1, "height": 0, "digest": digest(Domain.SOURCE, item.source)}
            for item in self.node.genesis.contracts
        }
        prefix = state_prefix("contracts", "meta")
        for key, raw in await self.node.entries(prefix, None, CONTRACTS_MAX):
            name = decode_value(key[len(prefix) :])
            if isinstance(name, str):
                found[name] = texts(decode_value(raw))
        return found

    async def holders(self, variable: str) -> list[str]:
        """Contracts that keep something under a variable of that name, by name."""
        return [
            name
            for name in sorted(await self.contracts())
            if await self.node.entries(state_prefix(name, variable), None, 1)
        ]

    async def accounts(self) -> dict[bytes, str]:
        """Organisation and roles by account."""
        prefix = state_prefix("identity", "members")
        found: dict[bytes, str] = dict(await self.organisations())
        for key, raw in await self.node.entries(prefix, None, ENTRIES_MAX):
            account, fields = decode_value(key[len(prefix) :]), decode_value(raw)
            if isinstance(account, bytes) and isinstance(fields, dict):
                roles = fields.get("roles")
                listed = ", ".join(str(r) for r in roles) if isinstance(roles, list) else ""
                found[account] = f"{fields.get('org')!s} ({listed})"
        return found


async def names_of(desk: Desk) -> dict[bytes, str]:
    """Organisation by account or validator key."""
    return {key: name.partition(" (")[0] for key, name in (await desk.accounts()).items()}


def texts(value: Value) -> dict[str, Value]:
    """An open map by the text of its keys; empty for anything else."""
    return {str(name): item for name, item in value.items()} if isinstance(value, dict) else {}


TRANSACTION_HEAD = ["transaction", "call", "sender", "outcome", "#height"]


def transaction_row(raw: bytes, receipt: Receipt, height: int) -> TransactionRow:
    """One line for a transaction of a block."""
    body = parse_transaction(raw).body
    first = body.calls[0]
    return TransactionRow(
        id=receipt.transaction_id,
        height=height,
        sender=body.sender,
        call=f"{first.contract}.{first.method}",
        calls=len(body.calls),
        ok=receipt.ok,
    )


def time_text(time_ms: int) -> Child:
    """A moment, readable by people and machines."""
    moment = dt.datetime.fromtimestamp(time_ms / 1000, dt.UTC)
    return tag(
        "time",
        moment.strftime("%Y-%m-%d %H:%M:%S"),
        datetime=moment.isoformat(timespec="milliseconds"),
    )


def value_line(encoded: bytes) -> Child:
    """An open map as name and value pairs on one line."""
    value = decode_value(encoded)
    if not isinstance(value, dict):
        return value_block(encoded)
    pairs = [f"{name!s} {_cut(plain(item))}" for name, item in value.items()]
    return ", ".join(pairs)[:200]


def _cut(text: str) -> str:
    if len(text) <= TOKEN_CHARACTERS_MAX or " " in text:
        return text
    return f"{text[: TOKEN_CHARACTERS_MAX - 12]}…{text[-8:]}"


def value_facts(encoded: bytes) -> Child:
    """An open map as a list of facts; any other value as JSON."""
    value = decode_value(encoded)
    if not isinstance(value, dict):
        return value_block(encoded)
    pairs: list[tuple[str, Child]] = [
        (str(name).replace("_", " "), plain(item)) for name, item in value.items()
    ]
    return facts(pairs)


def plain(value: Value) -> str:
    """A value for people: text and decimals bare, bytes by their start."""
    if isinstance(value, Dec):
        return dec_to_text(value)
    if isinstance(value, bytes):
        return value.hex()[:16]
    if isinstance(value, str):
        return value
    return json.dumps(value_to_json(value))[:80]


def value_block(encoded: bytes) -> Child:
    """An open value as indented JSON."""
    shown = json.dumps(value_to_json(decode_value(encoded)), indent=2)
    return tag("pre", shown if len(shown) < 4000 else shown[:4000] + "\n… (cut)")


def outcome(receipt: Receipt) -> Child:
    """Success, or the failure with its place in the contract."""
    failure = receipt.failure
    if failure is None:
        return tag("span", "succeeded", class_="ok")
    return [
        tag("span", f"failed: {failure.code}", class_="bad"),
        f" in {failure.contract}.{failure.method}, line {failure.line}: {failure.message}",
    ]


def event_list(receipt: Receipt) -> Child:
    """Events of a transaction."""
    if not receipt.events:
        return tag("p", "None.", class_="muted")
    return [
        tag("div", tag("h3", f"{event.contract}.{event.name}"), value_block(event.fields))
        for event in receipt.events
    ]


async def prediction_table(desk: Desk, count: int) -> Markup:
    """The last predictions."""
    models = await desk.models()
    rows: list[list[Child]] = []
    for row in list(desk.recent.predictions)[:count]:
        record = row.record
        model = models.get(record.model_id, Model(record.model_id, {}))
        about: Child = tag("span", record.contract, class_="muted")
        if row.machine:
            about = link(place("machine", row.machine), row.machine)
        value = ", ".join(f"{model.value(output):.1f}" for output in record.output[:4])
        rows.append(
            [
                about,
                link(f"/prediction/{record.id.hex()}", value),
                link(f"/model/{record.model_id.hex()}", model.name),
                link(f"/block/{record.height}", record.height),
                time_text(row.time_ms),
            ]
        )
    return table(["about", "#value", "model", "#height", "time"], rows)


def transaction_cells(row: TransactionRow) -> list[Child]:
    """One line of a list of transactions."""
    more = f" and {row.calls - 1} more" if row.calls > 1 else ""
    return [
        link(f"/tx/{row.id.hex()}", code(row.id.hex()[:16])),
        row.call + more,
        code(row.sender.hex()[:12]),
        tag("span", "ok" if row.ok else "failed", class_="ok" if row.ok else "bad"),
        link(f"/block/{row.height}", row.height),
    ]


def validator_text(key: bytes, organisations: dict[bytes, str]) -> Child:
    """A validator by organisation and key."""
    return [organisations.get(key, ""), " ", code(key.hex()[:16])]


async def votes(
    desk: Desk, block: BlockAnswer, validators: ValidatorSet, organisations: dict[bytes, str]
) -> Child:
    """Who checked a block and voted for it, by organisation."""
    signed = await voters_of(desk.node, block, validators)
    parts = [
        (organisations.get(item.key, item.key.hex()[:8]), item.weight, item.key in signed)
        for item in validators.validators
    ]
    names = ", ".join(name for name, _, is_signed in parts if is_signed)
    return [
        vote_bar(parts, validators.total_weight, validators.quorum),
        f"{len(signed)} of {len(parts)}: {names}",
    ]

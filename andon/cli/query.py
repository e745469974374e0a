"""Verbs that read once: query; and tx, which goes back to a transaction by its hash."""

from __future__ import annotations

import json
from pathlib import Path

import click
import msgspec

from andon.cli.context import Context, parse_value, shown
from andon.cli.contracts import finish, submission_json, tell_hash
from andon.client.results import Event, Prediction
from andon.core.block import PredictionRecord
from andon.core.codec import Key, Value
from andon.core.errors import Code, InvalidInput
from andon.core.json_value import Json, from_hex, to_hex, value_to_json
from andon.core.proof import encode_bundle
from andon.core.rpc_schema import Reply
from andon.core.state_key import ABSENT


@click.group("query")
def query_command() -> None:
    """Read blocks, transactions, state, predictions, machines, lots, validators."""


@query_command.command("block")
@click.argument("reference", required=False)
@click.pass_obj
def query_block(context: Context, *, reference: str | None) -> None:
    """A final block by height or 0x hash; the last one by default."""
    with context.client() as client:
        _show(context, client.block(_block_reference(reference)))


@query_command.command("tx")
@click.argument("identity", metavar="HASH")
@click.pass_obj
def query_tx(context: Context, *, identity: str) -> None:
    """A transaction; if final, its inclusion and receipt are checked by proof."""
    with context.client() as client:
        _show(context, client.transaction(_hash(identity)))


@query_command.command("state")
@click.argument("target")
@click.argument("key", required=False)
@click.pass_obj
def query_state(context: Context, *, target: str, key: str | None) -> None:
    """The proved value of TARGET (contract.variable), for a map with its KEY."""
    contract, dot, variable = target.partition(".")
    if not dot:
        raise InvalidInput(Code.BAD_ARGUMENTS, f"{target!r} is not contract.variable")
    with context.client() as client:
        if key is None:
            value = client.state(contract, variable, ABSENT)
        else:
            value = client.state(contract, variable, _key(parse_value(key)))
    context.show(value_to_json(value), shown(value))


@query_command.command("prediction")
@click.argument("identity", metavar="ID")
@click.option("--out", type=click.Path(path_type=Path), help="Write the proof for `andon verify`.")
@click.pass_obj
def query_prediction(context: Context, *, identity: str, out: Path | None) -> None:
    """A committed prediction, checked by proof."""
    with context.client() as client:
        found = client.prediction(from_hex(identity))
    if out is not None and found.proof is not None:
        out.write_bytes(encode_bundle(found.proof))
        context.note(f"proof written to {out}; check it anywhere with: andon verify {out}")
    context.show(prediction_json(found))


@query_command.command("machine")
@click.argument("name")
@click.option("--contract", default="maintenance", show_default=True)
@click.pass_obj
def query_machine(context: Context, *, name: str, contract: str) -> None:
    """What the ledger knows of a machine: health, last assessment, open work order."""
    with context.client() as client:
        found = client.call(contract, "status", {"machine": name})
    _show_found(context, f"machine {name}", contract, found)


@query_command.command("lot")
@click.argument("name")
@click.option("--contract", default="quality", show_default=True)
@click.pass_obj
def query_lot(context: Context, *, name: str, contract: str) -> None:
    """What the ledger knows of a lot: inspections, whether it is held, who released it."""
    with context.client() as client:
        found = client.call(contract, "lot", {"name": name})
    _show_found(context, f"lot {name}", contract, found)


@query_command.command("validators")
@click.pass_obj
def query_validators(context: Context) -> None:
    """The current validators, their weights and the quorum."""
    with context.client() as client:
        _show(context, client.validators())


@query_command.command("events")
@click.option("--from", "cursor", default="0-0-0", show_default=True, help="Cursor to go on from.")
@click.option("--limit", type=int, default=100, show_default=True)
@click.option("--contract", default="")
@click.pass_obj
def query_events(context: Context, *, cursor: str, limit: int, contract: str) -> None:
    """One page of events after a cursor."""
    with context.client() as client:
        events, cursor = client.events_page(cursor, limit=limit, contract=contract)
    shown_events: list[Json] = [event_json(event) for event in events]
    lines = [event_text(event) for event in events]
    context.show({"events": shown_events, "cursor": cursor}, "\n".join([*lines, cursor]))


@click.group("tx")
def tx_command() -> None:
    """Wait for, or submit, a transaction."""


@tx_command.command("wait")
@click.argument("identity", metavar="HASH")
@click.pass_obj
def tx_wait(context: Context, *, identity: str) -> None:
    """Wait until HASH is final; exit 3 if it is not in time, 5 if it failed."""
    with context.client() as client:
        submission = client.wait(_hash(identity), context.timeout_ms)
    context.show(submission_json(submission), f"{submission.state} at height {submission.height}")
    finish(submission)


@tx_command.command("submit")
@click.argument("path", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.pass_obj
def tx_submit(context: Context, *, path: Path) -> None:
    """Submit the signed bytes in PATH (made offline); again is harmless."""
    with context.client() as client:
        submission = client.submit_raw(
            path.read_bytes(), timeout_ms=context.timeout_ms, on_hash=tell_hash
        )
    context.show(submission_json(submission), f"{submission.state} at height {submission.height}")
    finish(submission)


def prediction_json(found: Prediction) -> dict[str, Json]:
    """A committed prediction as stable JSON: the order of fields that every verb keeps."""
    return {
        **record_json(found),
        "height": found.height,
        "time_ms": found.time_ms,
        "votes": found.votes,
        "validators": found.validators,
    }


def record_json(record: PredictionRecord | Prediction) -> dict[str, Json]:
    """What the record of a prediction says, without the votes on its block."""
    return {
        "id": to_hex(record.id),
        "hash": to_hex(record.transaction_id),
        "contract": record.contract,
        "model_id": to_hex(record.model_id),
        "input_digest": to_hex(record.input_digest),
        "output": list(record.output),
        "class": record.kind,
    }


def reply_json(reply: Reply) -> Json:
    """A node's reply as stable JSON."""
    document: Json = json.loads(msgspec.json.encode(reply))
    return document


def event_json(event: Event) -> Json:
    """An event as stable JSON."""
    return {
        "cursor": event.cursor,
        "height": event.height,
        "hash": to_hex(event.transaction_id),
        "contract": event.contract,
        "name": event.name,
        "fields": {key: value_to_json(value) for key, value in event.fields.items()},
    }


def event_text(event: Event) -> str:
    """An event as one line."""
    fields = " ".join(f"{key}={shown(value)}" for key, value in event.fields.items())
    return f"{event.cursor:<14}{event.contract}.{event.name} {fields}"


def _show_found(context: Context, what: str, contract: str, found: Value) -> None:
    if found is None:
        raise InvalidInput(
            Code.NOT_FOUND,
            f"{contract} knows no {what}",
            hint="names are exact, capitals too; another contract is named with --contract",
        )
    context.show(value_to_json(found), shown(found))


def _block_reference(text: str | None) -> int | bytes | None:
    if text is None:
        return None
    if text.startswith("0x"):
        return from_hex(text)
    if text.isdecimal():
        return int(text)
    raise InvalidInput(Code.BAD_ARGUMENTS, f"{text!r} is neither a height nor a 0x hash")


def _hash(text: str) -> bytes:
    return from_hex(text if text.startswith("0x") else "0x" + text)


def _key(value: Value) -> Key:
    if isinstance(value, list | dict):
        raise InvalidInput(Code.BAD_ARGUMENTS, "a list or map cannot be a map key")
    if isinstance(value, tuple):
        return tuple(_key(item) for item in value)
    return value


def _show(context: Context, reply: Reply) -> None:
    context.show(reply_json(reply))

"""`andon verify PROOF`: check a proof offline, with nothing but the genesis file."""

from __future__ import annotations

import re
from pathlib import Path

import click

from andon.cli.context import Context, shown
from andon.cli.query import record_json
from andon.core.codec import decode_value
from andon.core.errors import Code, InvalidInput
from andon.core.genesis import Genesis, genesis_from_json, genesis_hash
from andon.core.json_value import Json, from_hex, to_hex, value_to_json
from andon.core.proof import (
    BUNDLE_BYTES_MAX,
    PredictionSubject,
    ReceiptSubject,
    StateSubject,
    TransactionSubject,
    Verified,
    decode_bundle,
    subject_transaction,
    verify_bundle,
)

_HEX_TEXT = re.compile(rb"\s*(?:0x)?((?:[0-9a-f]{2})+)\s*\Z")


@click.command("verify")
@click.argument("proof", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--genesis",
    "genesis_path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Genesis file; the local network's by default.",
)
@click.pass_obj
def verify_command(context: Context, *, proof: Path, genesis_path: Path | None) -> None:
    """Check PROOF (a file of bytes or hex); needs no network. Exit 0 only if it holds."""
    path = genesis_path or context.home / "genesis.json"
    genesis = _read_genesis(path)
    verified = verify_bundle(genesis, decode_bundle(_read_proof(proof)))
    document = describe(verified)
    document["genesis_hash"] = to_hex(genesis_hash(genesis))
    lines = [f"valid: {document['kind']}"]
    lines += [f"  {name:<14}{_text(value)}" for name, value in document.items() if name != "kind"]
    context.show(document, "\n".join(lines))


def describe(verified: Verified) -> dict[str, Json]:
    """What a checked bundle says, as stable JSON."""
    header = verified.header
    document = _subject(verified)
    document.update(
        {
            "height": header.height,
            "time_ms": header.time_ms,
            "block": to_hex(verified.block),
            "chain_id": header.chain_id,
            "votes": f"{len(verified.voters)}/{len(verified.validators.validators)}",
            "final_weight": f"{verified.signed_weight}/{verified.validators.total_weight}",
            "quorum": verified.validators.quorum,
        }
    )
    return document


def _subject(verified: Verified) -> dict[str, Json]:
    match verified.subject:
        case PredictionSubject(record=record):
            return {"kind": "prediction", **record_json(record)}
        case ReceiptSubject(receipt=receipt):
            results: list[Json] = [value_to_json(decode_value(raw)) for raw in receipt.results]
            failure = receipt.failure
            return {
                "kind": "receipt",
                "hash": to_hex(receipt.transaction_id),
                "ok": receipt.ok,
                "gas_used": receipt.gas_used,
                "results": results,
                "failure": "" if failure is None else f"{failure.code}: {failure.message}",
            }
        case TransactionSubject():
            identity = subject_transaction(verified.subject)
            return {"kind": "transaction", "hash": to_hex(identity)}
        case StateSubject(key=key, value=value):
            return {
                "kind": "state",
                "key": key.decode("utf-8", "backslashreplace").replace("\0", "/"),
                "present": value is not None,
                "value": None if value is None else value_to_json(decode_value(value)),
            }


def _read_genesis(path: Path) -> Genesis:
    try:
        return genesis_from_json(path.read_bytes())
    except OSError as error:
        raise InvalidInput(
            Code.BAD_GENESIS,
            f"cannot read {path}: {error.strerror}",
            hint="give the network's genesis file with --genesis",
        ) from None


def _read_proof(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(2 * BUNDLE_BYTES_MAX + 16)
    match = _HEX_TEXT.match(data)
    return from_hex("0x" + match[1].decode()) if match else data


def _text(value: Json) -> str:
    return shown(value) if isinstance(value, str) else str(value)

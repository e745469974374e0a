"""`andon predict`: one window in, one voted prediction out, with its proof."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from andon.cli.context import Context, parse_value, shown
from andon.cli.contracts import finish, submission_json, submit
from andon.client.results import Prediction
from andon.client.sync import Client
from andon.core.block import prediction_id
from andon.core.errors import Code, InvalidInput
from andon.core.json_value import Json, to_hex
from andon.core.proof import encode_bundle
from andon.core.transaction import make_call

WINDOW_BYTES_MAX = 1024 * 1024


@click.command("predict")
@click.argument("machine")
@click.argument("window")
@click.option("--contract", default="maintenance", show_default=True)
@click.option("--from", "sender", default="operator", show_default=True, help="Key or role.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the proof for `andon verify`.")
@click.pass_obj
def predict_command(
    context: Context, *, machine: str, window: str, contract: str, sender: str, out: Path | None
) -> None:
    """Assess MACHINE from WINDOW: 0x hex, @file of int8 bytes, or a JSON list of integers.

    The contract predicts inside the transaction; every validator recomputes it before it votes.
    """
    call = make_call(contract, "assess", {"machine": machine, "window": read_window(window)})
    submission = submit(context, call, sender, "final")
    document = submission_json(submission)
    if submission.outcome is None or not submission.outcome.ok:
        context.show(document, submission.state)
        finish(submission)
        return
    with context.client() as client:
        found = client.prediction(prediction_id(submission.hash, 0))
        values = _values(client, found)
    if out is not None and found.proof is not None:
        out.write_bytes(encode_bundle(found.proof))
    outputs: list[Json] = list(found.output)
    document["prediction"] = {
        "id": to_hex(found.id),
        "values": [str(value) for value in values],
        "output": outputs,
        "model_id": to_hex(found.model_id),
        "votes": found.votes,
        "validators": found.validators,
    }
    result = ", ".join(shown(value) for value in submission.outcome.results)
    context.show(
        document,
        f"{', '.join(values)}  votes {found.votes}/{found.validators}  height {found.height}  "
        f"model {found.model_id.hex()[:16]}\nprediction {to_hex(found.id)}\nresult {result}",
    )


def read_window(text: str) -> bytes:
    """Read a window as bytes.

    Raises:
        InvalidInput: BAD_MODEL_INPUT.
    """
    value = parse_value(text)
    if isinstance(value, bytes) and text.startswith("@"):
        stripped = value.strip()
        if stripped[:1] == b"[":
            try:
                value = json.loads(stripped)
            except ValueError:
                value = bytes(stripped)
    if isinstance(value, list):
        value = _pack(value)
    if not isinstance(value, bytes) or not 0 < len(value) <= WINDOW_BYTES_MAX:
        raise InvalidInput(
            Code.BAD_MODEL_INPUT,
            "a window is 0x hex, @file, or a JSON list of integers from -127 to 127",
        )
    return value


def _pack(items: Sequence[object]) -> bytes:
    flat: list[int] = []
    for item in items:
        row = item if isinstance(item, list) else [item]
        for number in row:
            if not isinstance(number, int) or not -127 <= number <= 127:
                raise InvalidInput(Code.BAD_MODEL_INPUT, f"{number!r:.20} is not in -127..127")
            flat.append(number)
    return bytes(number & 0xFF for number in flat)


def _values(client: Client, found: Prediction) -> list[str]:
    """Outputs in the model's unit, by the registry's proved entry."""
    entry = client.state("models", "packages", found.model_id)
    if isinstance(entry, dict):
        num, den = entry.get("scale_num"), entry.get("scale_den")
        if isinstance(num, int) and isinstance(den, int) and den > 0:
            return [f"{output * num / den:.3f}" for output in found.output]
    return [str(output) for output in found.output]

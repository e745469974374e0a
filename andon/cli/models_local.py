"""Verbs for models that need the checkout's `models` (train, verify), and those of committees."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from andon.cli.checkout import from_checkout
from andon.cli.context import Context, shown
from andon.cli.predict import read_window
from andon.client.attested import Attested
from andon.client.models import Models, manifest_of_blob, package_file
from andon.core.codec import Value
from andon.core.errors import Code, InvalidInput
from andon.core.json_value import Json, from_hex, to_hex, value_to_json
from andon.core.model import model_id
from andon.core.publisher import SIGNATURE_NAME, sign_model, write_signature

ENGINE = "models.__main__"
_PASSED_ON = {"ignore_unknown_options": True, "help_option_names": []}


@click.command("train", context_settings=_PASSED_ON)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def train(context: Context, *, arguments: tuple[str, ...]) -> None:
    """Train a recipe, or a table of your own: --csv FILE --task TASK --out DIR. See --help."""
    _run(context, "train", arguments)


@click.command("verify", context_settings=_PASSED_ON)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def verify(context: Context, *, arguments: tuple[str, ...]) -> None:
    """Check the package in PATH and run its vectors on this machine. See --help."""
    _run(context, "verify", arguments)


@click.command("window")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.argument("image", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", type=click.Path(dir_okay=False), required=True, help="For its bytes.")
@click.pass_obj
def window(context: Context, *, path: Path, image: Path, out: str) -> None:
    """Make the window of one IMAGE for the package in PATH, and show what it says of it here."""
    _run(context, "window", (str(path), str(image), "--out", out))


@click.command("sign")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--from", "sender", default="modeler", show_default=True, help="Key or role.")
@click.pass_obj
def sign(context: Context, *, path: Path, sender: str) -> None:
    """Sign the package in PATH as its publisher: writes package.sig beside package.blob."""
    file = package_file(path)
    identity = model_id(manifest_of_blob(file.read_bytes()))
    made = sign_model(identity, context.key(sender))
    file.with_name(SIGNATURE_NAME).write_bytes(write_signature(made))
    document: dict[str, Json] = {
        "model_id": to_hex(identity),
        "publisher": to_hex(made.publisher),
    }
    context.show(
        document, f"{SIGNATURE_NAME}: model {to_hex(identity)} by {to_hex(made.publisher)}"
    )


def _run(context: Context, verb: str, arguments: tuple[str, ...]) -> None:
    told = from_checkout(ENGINE).run([verb, *arguments])
    context.show(told.document, "\n".join(told.lines))


@click.command("appoint")
@click.argument("reference")
@click.option("--tolerance", type=click.IntRange(min=10), required=True, help="In scale units.")
@click.option(
    "--relative",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Also allowed, in millionths of the output.",
)
@click.option("--patience", type=click.IntRange(min=1), default=20, show_default=True,
              help="Blocks of each phase.")  # fmt: skip
@click.option("--member", "members", multiple=True, help="A validator's 0x key; all by default.")
@click.option("--sealed", is_flag=True, help="Inputs are for the committee alone.")
@click.option("--from", "sender", default="modeler", show_default=True, help="Key or role.")
@click.pass_obj
def appoint(
    context: Context, *, reference: str, tolerance: int, relative: int, patience: int,
    members: tuple[str, ...], sealed: bool, sender: str,
) -> None:  # fmt: skip
    """Appoint the committee of the attested model REFERENCE (0x id or alias); waits until ready."""
    key = context.key(sender)

    async def work() -> tuple[bytes, int]:
        async with context.async_client() as client:
            identity = await identity_of(Models(client), reference)
            listed = [from_hex(member) for member in members] or [
                from_hex(entry.key) for entry in (await client.validators()).validators
            ]
            attested = Attested(client, key)
            await attested.appoint(
                identity,
                listed,
                tolerance=tolerance,
                relative=relative,
                patience=patience,
                is_sealed=sealed,
            )
            await attested.wait_ready(identity, context.timeout_ms / 1000)
            return identity, len(listed)

    identity, count = asyncio.run(work())
    document: dict[str, Json] = {"model_id": to_hex(identity), "members": count}
    context.show(document, f"{count} members are ready, tolerance {tolerance}")


@click.command("ask")
@click.argument("reference")
@click.argument("window")
@click.option("--from", "sender", default="operator", show_default=True, help="Key or role.")
@click.pass_obj
def ask(context: Context, *, reference: str, window: str, sender: str) -> None:
    """Ask the committee of REFERENCE for WINDOW (0x hex, @file or JSON list); seals if it must."""
    data, key = read_window(window), context.key(sender)

    async def work() -> tuple[int, dict[str, Value]]:
        async with context.async_client() as client:
            identity = await identity_of(Models(client), reference)
            attested = Attested(client, key)
            name = identity.hex()
            if (await attested.committee(identity)).is_sealed:
                number = await attested.ask_sealed(name, identity, data)
            else:
                number = await attested.ask(name, data)
            context.note(f"request {number}; waiting for the committee")
            return number, await attested.wait(number, context.timeout_ms / 1000)

    number, found = asyncio.run(work())
    fields: dict[str, Json] = {name: value_to_json(value) for name, value in found.items()}
    context.show(
        {"number": number, "request": fields},
        f"request {number}  {found.get('phase')!s}  output {shown(found.get('output'))}  "
        f"trimmed {shown(found.get('low'))} to {shown(found.get('high'))}",
    )


async def identity_of(registry: Models, reference: str) -> bytes:
    """The id of a model that is named by 0x id or by alias.

    Raises:
        InvalidInput: NOT_FOUND, MALFORMED.
    """
    if reference.startswith("0x"):
        return from_hex(reference)
    found = await registry.resolve(reference)
    if found is None:
        raise InvalidInput(
            Code.NOT_FOUND, f"there is no alias {reference!r}", hint="`andon models list`"
        )
    return found

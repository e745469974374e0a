"""Verbs of private payloads: from the key of an organisation to the proof of a purge."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import click

from andon.cli.context import Context, shown
from andon.cli.query import event_json, event_text
from andon.client.attested import Attested
from andon.client.models import Models
from andon.client.payloads import (
    ENVELOPE_BYTES_MAX,
    PAYLOAD_BYTES_MAX,
    Sealed,
    encryption_public,
    new_encryption_key,
)
from andon.client.private import Private
from andon.core.codec import decode, encode
from andon.core.errors import Code, InvalidInput
from andon.core.json_value import Json, from_hex, to_hex, value_to_json

SECRET_BYTES = 32
SEALED_BYTES_MAX = ENVELOPE_BYTES_MAX + 16 * 1024
T = TypeVar("T")
_IN = click.Path(exists=True, dir_okay=False, path_type=Path)
_OUT = click.Path(dir_okay=False, path_type=Path)
_sender = click.option(
    "--from", "sender", default="operator", show_default=True, help="Key or role."
)
_admin = click.option("--from", "sender", default="admin", show_default=True, help="Key or role.")
_keepers = click.option(
    "--keeper", "keepers", multiple=True, help="RPC URL of a node that keeps it; repeatable."
)


@click.group("private")
def private_command() -> None:
    """Share payloads that only some organisations may read; prove their purge; audit access."""


@private_command.command("key")
@click.argument("secret", type=_OUT)
@_admin
@click.pass_obj
def key(context: Context, *, secret: Path, sender: str) -> None:
    """Register the encryption key of the sender's organisation; SECRET is made if missing."""
    if not secret.exists():
        _write_secret(secret, new_encryption_key().hex().encode() + b"\n")
    public = encryption_public(_secret(secret))
    _with(context, sender, lambda private: private.register_key(public))
    context.show({"public": to_hex(public), "secret": str(secret)}, to_hex(public))


@private_command.command("seal")
@click.argument("payload", type=_IN)
@click.option("--to", "readers", multiple=True, required=True, help="Organisation; repeatable.")
@click.option("--out", type=_OUT, required=True, help="File that holds envelope and content key.")
@_sender
@click.pass_obj
def seal(
    context: Context, *, payload: Path, readers: tuple[str, ...], out: Path, sender: str
) -> None:
    """Seal PAYLOAD to organisations; sends nothing. Whoever has the file can read: keep it safe."""
    content = _read(payload, PAYLOAD_BYTES_MAX)
    sealed = _with(context, sender, lambda private: private.seal(content, readers))
    _write_secret(out, encode(sealed))
    context.show({"payload": to_hex(sealed.id), "file": str(out)}, to_hex(sealed.id))


@private_command.command("send")
@click.argument("sealed", type=_IN)
@_keepers
@_sender
@click.pass_obj
def send(context: Context, *, sealed: Path, keepers: tuple[str, ...], sender: str) -> None:
    """Announce the SEALED file on chain and hand the envelope to its keepers."""
    found = _sealed(sealed)
    nodes = list(keepers or context.endpoints())
    _with(context, sender, lambda private: private.hand_over(found, nodes))
    document: dict[str, Json] = {"payload": to_hex(found.id), "keepers": [*nodes]}
    context.show(document, f"{to_hex(found.id)} kept by {len(nodes)} nodes")


@private_command.command("get")
@click.argument("payload", metavar="ID")
@click.option("--org", required=True, help="Organisation that reads.")
@click.option("--secret", type=_IN, required=True, help="Its secret key, of `andon private key`.")
@click.option("--purpose", required=True, help="What for; it stands on chain.")
@click.option("--out", type=_OUT, required=True, help="File for the content.")
@_sender
@click.pass_obj
def get(
    context: Context, *, payload: str, org: str, secret: Path, purpose: str, out: Path, sender: str
) -> None:
    """Say on chain that one opens the payload ID, fetch it and open it."""

    async def work(private: Private) -> bytes:
        node = await _a_keeper(context, private, from_hex(payload))
        return await private.open(
            from_hex(payload), purpose, org=org, secret=_secret(secret), node=node
        )

    content = _with(context, sender, work)
    _write_secret(out, content)
    context.show({"payload": payload, "size_bytes": len(content), "file": str(out)}, str(out))


@private_command.command("grant")
@click.argument("sealed", type=_IN)
@click.argument("org")
@_sender
@click.pass_obj
def grant(context: Context, *, sealed: Path, org: str, sender: str) -> None:
    """Let ORG read, too, with the owner's SEALED file."""
    found = _sealed(sealed)
    _with(context, sender, lambda private: private.grant(found, org))
    context.show({"payload": to_hex(found.id), "org": org}, f"{org} may read {to_hex(found.id)}")


@private_command.command("withdraw")
@click.argument("payload", metavar="ID")
@click.argument("org")
@_sender
@click.pass_obj
def withdraw(context: Context, *, payload: str, org: str, sender: str) -> None:
    """Have nodes deliver no more to ORG; what it has opened it keeps."""
    _with(context, sender, lambda private: private.withdraw(from_hex(payload), org))
    context.show({"payload": payload, "org": org}, f"{org} gets {payload} no more")


@private_command.command("input")
@click.argument("window", type=_IN)
@click.option("--model", required=True, help="Alias of an attested model with a sealed committee.")
@_keepers
@_sender
@click.pass_obj
def seal_input(
    context: Context, *, window: Path, model: str, keepers: tuple[str, ...], sender: str
) -> None:
    """Seal WINDOW (bytes of the model's input) to the committee and hand it to the keepers."""
    content = _read(window, PAYLOAD_BYTES_MAX)
    nodes = list(keepers or context.endpoints())

    async def work(private: Private) -> bytes:
        identity = await Models(private.client).resolve(model)
        if identity is None:
            raise InvalidInput(Code.NOT_FOUND, f"there is no alias {model!r}")
        return await private.share_input(identity, content, nodes)

    identity = _with(context, sender, work)
    context.show({"payload": to_hex(identity)}, to_hex(identity))


@private_command.command("ask")
@click.argument("payload", metavar="ID")
@click.option("--model", required=True, help="Alias of the model whose committee it is sealed to.")
@click.option("--purpose", required=True, help="What for; it stands on chain.")
@_sender
@click.pass_obj
def ask(context: Context, *, payload: str, model: str, purpose: str, sender: str) -> None:
    """Have the committee predict on the sealed input ID, and wait for its answer."""

    async def work(private: Private) -> dict[str, Json]:
        number = await private.ask(from_hex(payload), model, purpose)
        await Attested(private.client).wait(number, context.timeout_ms / 1000)
        answer = await private.answer(number)
        return {"number": number, **{name: value_to_json(item) for name, item in answer.items()}}

    context.show(_with(context, sender, work))


@private_command.command("purge")
@click.argument("payload", metavar="ID")
@_keepers
@_admin
@click.pass_obj
def purge(context: Context, *, payload: str, keepers: tuple[str, ...], sender: str) -> None:
    """Order all keepers to delete ID, and put the statements of those we reach on chain."""
    identity = from_hex(payload)
    nodes = list(keepers or context.endpoints())
    left = _with(context, sender, lambda private: private.purge(identity, nodes))
    text = "purged by all keepers" if left == 0 else f"{left} keepers have not confirmed"
    context.show({"payload": payload, "left": left}, text)


@private_command.command("proof")
@click.argument("payload", metavar="ID")
@click.option("--out", type=_OUT, required=True, help="Write the proof for `andon verify`.")
@click.pass_obj
def proof(context: Context, *, payload: str, out: Path) -> None:
    """Check that all keepers have signed the purge of ID; write the proof of that state."""
    found = _with(context, None, lambda private: private.purge_proof(from_hex(payload)))
    out.write_bytes(found.bundle)
    context.note(f"proof written to {out}; check it anywhere with: andon verify {out}")
    statements: list[Json] = [
        {"node": to_hex(node), "signature": to_hex(signature)}
        for node, signature in found.statements
    ]
    context.show(
        {"payload": payload, "statements": statements, "file": str(out)},
        f"{len(statements)} keepers signed that they hold {payload} no more",
    )


@private_command.command("access")
@click.argument("payload", metavar="[ID]", required=False)
@click.pass_obj
def access(context: Context, *, payload: str | None) -> None:
    """List who stored, granted, opened, asked and purged: one payload, or all."""
    identity = None if payload is None else from_hex(payload)
    events = _with(context, None, lambda private: private.access(identity))
    rows: list[Json] = [event_json(event) for event in events]
    lines = [event_text(event) for event in events]
    context.show({"events": rows}, "\n".join(lines) if lines else "nobody")


@private_command.command("show")
@click.argument("payload", metavar="ID")
@click.pass_obj
def show(context: Context, *, payload: str) -> None:
    """The proved entry of ID: owner, keepers, status, how often it was opened."""
    entry = _with(context, None, lambda private: private.entry(from_hex(payload)))
    fields: dict[str, Json] = {name: value_to_json(item) for name, item in entry.items()}
    lines = [f"{name:<12}{shown(item)}" for name, item in entry.items()]
    context.show(fields, "\n".join(lines))


async def _a_keeper(context: Context, private: Private, payload: bytes) -> str:
    for node in context.endpoints():
        if await private.is_keeper(payload, node):
            return node
    raise InvalidInput(
        Code.NOT_FOUND, "none of the nodes we know keeps the payload", hint="name one with --node"
    )


def _with(context: Context, sender: str | None, work: Callable[[Private], Awaitable[T]]) -> T:
    key = None if sender is None else context.key(sender)

    async def run() -> T:
        async with context.async_client(key) as client:
            return await work(Private(client, key))

    return asyncio.run(run())


def _read(path: Path, bytes_max: int) -> bytes:
    with path.open("rb") as file:
        data = file.read(bytes_max + 1)
    if len(data) > bytes_max:
        raise InvalidInput(Code.TOO_LARGE, f"{path} has more than {bytes_max} bytes")
    return data


def _sealed(path: Path) -> Sealed:
    return decode(Sealed, _read(path, SEALED_BYTES_MAX), SEALED_BYTES_MAX)


def _secret(path: Path) -> bytes:
    text = _read(path, 4 * SECRET_BYTES).strip()
    try:
        secret = bytes.fromhex(text.decode("ascii"))
    except ValueError:
        secret = b""
    if len(secret) != SECRET_BYTES:
        raise InvalidInput(
            Code.BAD_KEY, f"{path} is no secret key", hint="`andon private key` makes one"
        )
    return secret


def _write_secret(path: Path, data: bytes) -> None:
    """Write a file that only we may read; never over another.

    Raises:
        InvalidInput: BAD_ARGUMENTS if it is there, or cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise InvalidInput(Code.BAD_ARGUMENTS, f"{path}: {error.strerror}") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)

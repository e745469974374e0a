"""Verbs for model packages: publish, list, show, alias, retire, roll back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import click

from andon.cli.audit import audit_command
from andon.cli.context import Context, shown
from andon.cli.models_local import appoint, ask, identity_of, sign, train, verify, window
from andon.client.models import Models, manifest_of_blob, package_file
from andon.core.codec import Key, Value
from andon.core.json_value import Json, to_hex, value_to_json
from andon.core.model import model_id
from andon.core.publisher import SIGNATURE_NAME, read_signature

T = TypeVar("T")
LISTED_PER_CALL = 100
LISTING_CALLS_MAX = 1000


@click.group("models")
def models_command() -> None:
    """Train, verify, publish, alias, list, retire model packages; committees of attested ones."""


for _verb in (train, verify, window, appoint, ask, audit_command, sign):
    models_command.add_command(_verb)


@models_command.command("publish")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--alias", help="Point this alias to the model once it is active.")
@click.option(
    "--parent", "parents", multiple=True, help="A model (0x id or alias) it was made from."
)
@click.option("--from", "sender", default="modeler", show_default=True, help="Key or role.")
@click.pass_obj
def publish(
    context: Context, *, path: Path, alias: str | None, parents: tuple[str, ...], sender: str
) -> None:
    """Publish the package in PATH (a folder with package.blob, or the blob itself).

    The package.sig beside it is its publisher's signature; without one the sender's key signs.
    Waits until more than two thirds of the validators' weight have fetched it, run its golden
    vectors and attested.
    """
    file = package_file(path)
    blob, beside = file.read_bytes(), file.with_name(SIGNATURE_NAME)
    signature = read_signature(beside.read_bytes()) if beside.is_file() else None
    manifest = manifest_of_blob(blob)
    identity = model_id(manifest)
    context.note(f"model {to_hex(identity)}")

    async def work(registry: Models) -> None:
        made_from = [await identity_of(registry, parent) for parent in parents]
        await registry.publish(blob, manifest, signature=signature, parents=tuple(made_from))
        context.note("proposed; waiting for the validators' attestations")
        await registry.wait_active(identity, context.timeout_ms / 1000)
        if alias is not None:
            await registry.set_alias(alias, identity)

    _with(context, sender, work)
    document: dict[str, Json] = {
        "model_id": to_hex(identity),
        "name": manifest.name,
        "version": manifest.version,
        "status": "ACTIVE",
        "alias": alias,
        "size_bytes": len(blob),
    }
    suffix = f", alias {alias}" if alias else ""
    text = f"{manifest.name} {manifest.version} is active{suffix}\n{to_hex(identity)}"
    context.show(document, text)


@models_command.command("list")
@click.pass_obj
def list_models(context: Context) -> None:
    """List what the registry holds (the node's word; `show` proves one)."""
    rows: list[Json] = []
    lines: list[str] = []
    with context.client() as client:
        for identity, entry in listing(lambda args: client.call("models", "listing", args)):
            rows.append({"model_id": to_hex(identity), "entry": value_to_json(entry)})
            name, status = entry.get("name"), entry.get("status")
            lines.append(f"{name!s:<24}{status!s:<10}{to_hex(identity)}")
    context.show({"models": rows}, "\n".join(lines) if lines else "no models")


def listing(
    call: Callable[[dict[str, Value]], Value], page: int = LISTED_PER_CALL
) -> Iterator[tuple[bytes, dict[Key, Value]]]:
    """Give every entry of the registry, up to `LISTING_CALLS_MAX` pages."""
    after: Value = None
    for _ in range(LISTING_CALLS_MAX):
        found = call({"after": after, "count": page})
        entries = found if isinstance(found, list) else []
        for entry in entries:
            pair = list(entry) if isinstance(entry, list | tuple) else []
            if len(pair) == 2 and isinstance(pair[0], bytes) and isinstance(pair[1], dict):
                after = pair[0]
                yield pair[0], pair[1]
        if len(entries) < page:
            return


@models_command.command("show")
@click.argument("reference")
@click.option("--lineage", "with_lineage", is_flag=True, help="What it was made from, instead.")
@click.pass_obj
def show(context: Context, *, reference: str, with_lineage: bool) -> None:
    """Show the proved registry entry of REFERENCE (0x id or alias), or its lineage."""

    async def work(
        registry: Models,
    ) -> tuple[bytes, dict[str, Value], list[dict[str, Value]]]:
        identity = await identity_of(registry, reference)
        rows = await registry.lineage(identity) if with_lineage else []
        return identity, await registry.entry(identity), rows

    identity, entry, rows = _with(context, None, work)
    if with_lineage:
        listed: list[Json] = [
            {name: value_to_json(value) for name, value in row.items()} for row in rows
        ]
        context.show({"lineage": listed}, _lineage_text(rows))
        return
    lines = [f"{name:<18}{shown(value)}" for name, value in entry.items()]
    fields: dict[str, Json] = {name: value_to_json(value) for name, value in entry.items()}
    context.show(
        {"model_id": to_hex(identity), "entry": fields},
        "\n".join([f"{'model_id':<18}{to_hex(identity)}", *lines]),
    )


def _lineage_text(rows: list[dict[str, Value]]) -> str:
    """One line a model, and below it what it was made from."""
    lines = []
    for row in rows:
        parents, name = row.get("parents"), row.get("name") or "-"
        lines.append(f"{shown(row.get('model_id'))}  {name!s}  {row.get('status')!s}")
        listed = parents if isinstance(parents, list | tuple) else ()
        lines += [f"  from {shown(parent)}" for parent in listed]
        if row.get("run"):
            lines.append(f"  run  {row['run']!s}")
        if row.get("data"):
            lines.append(f"  data {shown(row['data'])}")
    return "\n".join(lines)


@models_command.command("alias")
@click.argument("alias")
@click.argument("reference")
@click.option("--from", "sender", default="modeler", show_default=True, help="Key or role.")
@click.pass_obj
def set_alias(context: Context, *, alias: str, reference: str, sender: str) -> None:
    """Point ALIAS to the active model REFERENCE (0x id or another alias)."""

    async def work(registry: Models) -> bytes:
        identity = await identity_of(registry, reference)
        await registry.set_alias(alias, identity)
        return identity

    identity = _with(context, sender, work)
    context.show({"alias": alias, "model_id": to_hex(identity)}, f"{alias} -> {to_hex(identity)}")


@models_command.command("roll-back")
@click.argument("alias")
@click.option("--from", "sender", default="modeler", show_default=True, help="Key or role.")
@click.pass_obj
def roll_back(context: Context, *, alias: str, sender: str) -> None:
    """Point ALIAS to the model that it named before."""
    _with(context, sender, lambda registry: registry.roll_back(alias))
    context.show({"alias": alias, "ok": True}, f"{alias} rolled back")


@models_command.command("retire")
@click.argument("reference")
@click.option("--from", "sender", default="modeler", show_default=True, help="Key or role.")
@click.pass_obj
def retire(context: Context, *, reference: str, sender: str) -> None:
    """Take the model REFERENCE (0x id or alias) out of use."""

    async def work(registry: Models) -> bytes:
        identity = await identity_of(registry, reference)
        await registry.retire(identity)
        return identity

    identity = _with(context, sender, work)
    context.show({"model_id": to_hex(identity), "status": "RETIRED"}, f"{to_hex(identity)} retired")


def _with(context: Context, sender: str | None, work: Callable[[Models], Awaitable[T]]) -> T:
    key = None if sender is None else context.key(sender)

    async def run() -> T:
        async with context.async_client(key) as client:
            return await work(Models(client, key))

    return asyncio.run(run())

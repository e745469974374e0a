"""Verbs for the disk of one node: snapshot, replay; and export, which asks a node for its chain."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from andon.cli.context import Context, end, need_extra
from andon.cli.local import run_launcher
from andon.core.errors import Code, InvalidInput
from andon.core.rpc_schema import BlockReply


def node_home(context: Context, node: str) -> Path:
    """Folder of a node: a name of the local network, or a path.

    Raises:
        InvalidInput: NOT_FOUND.
    """
    path = Path(node)
    if (path / "config.toml").exists():
        return path
    network = context.network()
    return network.home / network.node(node).home


@click.group("snapshot")
def snapshot_command() -> None:
    """Make, list and restore snapshots of a node's state. NODE is a name or a folder."""


@snapshot_command.command("create")
@click.argument("node")
@click.pass_obj
def snapshot_create(context: Context, *, node: str) -> None:
    """Write a snapshot of the last final block; the node may run meanwhile."""
    end(_tool(context, "create", node))


@snapshot_command.command("list")
@click.argument("node")
@click.pass_obj
def snapshot_list(context: Context, *, node: str) -> None:
    """Show the snapshots in a node's folder."""
    end(_tool(context, "list", node))


@snapshot_command.command("restore")
@click.argument("node")
@click.argument("source", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.pass_obj
def snapshot_restore(context: Context, *, node: str, source: Path) -> None:
    """Fill the empty store of a stopped NODE from SOURCE; all is checked from genesis."""
    end(_tool(context, "restore", node, f"--source={source}"))


@click.command("replay")
@click.argument("node")
@click.option("--last", type=int, help="Stop at this height.")
@click.pass_obj
def replay_command(context: Context, *, node: str, last: int | None) -> None:
    """Execute the chain of NODE again from genesis and compare every root."""
    end(_tool(context, "replay", node, *([] if last is None else [f"--last={last}"])))


@click.group("export")
def export_command() -> None:
    """Write blocks or predictions as JSON lines, everything as Parquet."""


@export_command.command("blocks")
@click.option("--first", type=int, default=1, show_default=True)
@click.option("--last", type=int, help="The node's last block by default.")
@click.option("--out", type=click.Path(path_type=Path), help="A file; stdout by default.")
@click.pass_obj
def export_blocks(context: Context, *, first: int, last: int | None, out: Path | None) -> None:
    """One line a block: header, ids of transactions and predictions, signers."""
    _write(context, out, (msgspec.json.encode(block) for block in _blocks(context, first, last)))


@export_command.command("predictions")
@click.option("--first", type=int, default=1, show_default=True)
@click.option("--last", type=int, help="The node's last block by default.")
@click.option("--out", type=click.Path(path_type=Path), help="A file; stdout by default.")
@click.pass_obj
def export_predictions(context: Context, *, first: int, last: int | None, out: Path | None) -> None:
    """One line a committed prediction, as `query prediction` shows it, with its block's hash."""
    _write(context, out, _prediction_lines(context, first, last))


@export_command.command("parquet")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--first", type=int, default=1, show_default=True)
@click.option("--last", type=int, help="The node's last block by default.")
@click.pass_obj
def export_as_parquet(context: Context, *, folder: Path, first: int, last: int | None) -> None:
    """Blocks, transactions, events, predictions, votes, lots and edges, a file each in FOLDER."""
    need_extra("sinks", "pyarrow")
    import asyncio

    from andon.sinks.parquet import export_parquet

    count = asyncio.run(export_parquet(context.endpoints(), folder, first, last))
    context.show({"blocks": count, "folder": str(folder)}, f"{count} blocks in {folder}")


def _blocks(context: Context, first: int, last: int | None) -> Iterator[BlockReply]:
    if first < 1:
        raise InvalidInput(Code.BAD_ARGUMENTS, "heights start at 1")
    with context.client() as client:
        top = int(client.status().height)
        for height in range(first, (top if last is None else min(last, top)) + 1):
            yield client.block(height)


def _prediction_lines(context: Context, first: int, last: int | None) -> Iterator[bytes]:
    from andon.cli.query import prediction_json
    from andon.core.json_value import from_hex

    with context.client() as client:
        for block in _blocks(context, first, last):
            for identity in block.predictions:
                document = prediction_json(client.prediction(from_hex(identity)))
                document["block"] = block.hash
                yield json.dumps(document, separators=(",", ":")).encode()


def _write(context: Context, out: Path | None, lines: Iterator[bytes]) -> None:
    count = 0
    if out is None:
        for line in lines:
            print(line.decode(), flush=True)
        return
    with out.open("wb") as file:
        for line in lines:
            file.write(line + b"\n")
            count += 1
    context.note(f"{count} lines in {out}")


def _tool(context: Context, verb: str, node: str, *more: str) -> int:
    arguments = [verb, f"--home={node_home(context, node)}", *more]
    if context.as_json:
        arguments.append("--json")
    return run_launcher("scripts.home_tools", arguments)

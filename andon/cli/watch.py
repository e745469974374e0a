"""Verbs that follow: watch events, blocks, transactions, predictions, federated runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click

from andon.cli.context import Context
from andon.cli.query import event_json, event_text, prediction_json, reply_json
from andon.client.results import Event
from andon.core.json_value import Json, from_hex, to_hex
from andon.core.rpc_schema import BlockReply

if TYPE_CHECKING:
    from andon.client.sync import Client

BLOCK_POLL_S = 0.25
TRAINING = "training"
"""The contract whose events tell of the rounds of federated runs."""


@click.group("watch")
def watch_command() -> None:
    """Follow events, blocks, transactions, predictions or federated runs, with where to resume."""


_from_height = click.option(
    "--from", "start", type=int, help="First height; the next block if not given."
)
_count = click.option("--count", type=int, help="End after so many.")
_cursor = click.option(
    "--from", "cursor", default="", help="Cursor to go on from; from now on if empty."
)


@watch_command.command("events")
@_cursor
@click.option("--contract", default="")
@click.option("--name", default="")
@_count
@click.pass_obj
def watch_events(
    context: Context, *, cursor: str, contract: str, name: str, count: int | None
) -> None:
    """Follow events without gaps; prints the cursor to resume from when it ends."""
    _events(
        context,
        cursor,
        count,
        lambda client: client.events(cursor, contract=contract, name=name),
    )


@watch_command.command("blocks")
@_from_height
@_count
@click.pass_obj
def watch_blocks(context: Context, *, start: int | None, count: int | None) -> None:
    """Follow blocks as they become final."""

    def rows(client: Client, block: BlockReply) -> Iterator[tuple[Json, str]]:
        del client
        text = (
            f"{block.header.height:>8}  {block.hash[:18]}  {len(block.transactions)} transactions"
            f"  {len(block.predictions)} predictions  {len(block.signers)} votes"
        )
        yield reply_json(block), text

    _follow(context, start, count, rows)


@watch_command.command("txs")
@_from_height
@_count
@click.pass_obj
def watch_txs(context: Context, *, start: int | None, count: int | None) -> None:
    """Follow transactions as they become final, each checked by its proof."""

    def rows(client: Client, block: BlockReply) -> Iterator[tuple[Json, str]]:
        for identity in block.transactions:
            found = client.transaction(from_hex(identity))
            receipt = found.receipt
            verdict = "ok" if receipt is not None and receipt.ok else "failed"
            calls = ", ".join(f"{call.contract}.{call.method}" for call in found.calls)
            yield (
                reply_json(found),
                f"{block.header.height:>8}  {identity[:18]}  {verdict:<7}{calls}",
            )

    _follow(context, start, count, rows)


@watch_command.command("predictions")
@_from_height
@_count
@click.option("--contract", default="", help="Only of this contract.")
@click.pass_obj
def watch_predictions(
    context: Context, *, start: int | None, count: int | None, contract: str
) -> None:
    """Follow predictions as they become final: output, model, and how many recomputed it."""

    def rows(client: Client, block: BlockReply) -> Iterator[tuple[Json, str]]:
        for identity in block.predictions:
            found = client.prediction(from_hex(identity))
            if contract and found.contract != contract:
                continue
            text = (
                f"{found.height:>8}  {identity[:18]}  {found.contract}  "
                f"model {to_hex(found.model_id)[:18]}  {found.kind} {list(found.output)}  "
                f"{found.votes} of {found.validators} votes"
            )
            yield prediction_json(found), text

    _follow(context, start, count, rows)


@watch_command.command("fl")
@click.argument("run", required=False)
@_cursor
@_count
@click.pass_obj
def watch_fl(context: Context, *, run: str | None, cursor: str, count: int | None) -> None:
    """Follow the rounds of RUN, or of all runs: phases with deadlines, closed rounds, the end."""
    _events(
        context,
        cursor,
        count,
        lambda client: (
            event
            for event in client.events(cursor, contract=TRAINING)
            if run is None or event.fields.get("run") == run
        ),
    )


def _events(
    context: Context, cursor: str, count: int | None, source: Callable[[Client], Iterator[Event]]
) -> None:
    """Print events; the cursor to go on from when it ends."""
    last = cursor
    try:
        with context.client() as client:
            for event in _first(source(client), count):
                last = event.cursor
                line = json.dumps(event_json(event)) if context.as_json else event_text(event)
                print(line, flush=True)
    finally:
        context.note(f"go on with --from {last}")


def _follow(
    context: Context,
    start: int | None,
    count: int | None,
    rows: Callable[[Client, BlockReply], Iterator[tuple[Json, str]]],
) -> None:
    """Print what each final block gives; the height to go on from when it ends."""
    import time

    seen = 0
    with context.client() as client:
        height = int(client.status().height) + 1 if start is None else start
        try:
            while count is None or seen < count:
                if int(client.status().height) < height:
                    time.sleep(BLOCK_POLL_S)
                    continue
                for reply, text in rows(client, client.block(height)):
                    seen += 1
                    print(json.dumps(reply) if context.as_json else text, flush=True)
                height += 1
        finally:
            context.note(f"go on with --from {height}")


def _first(events: Iterator[Event], count: int | None) -> Iterator[Event]:
    for number, event in enumerate(events, start=1):
        yield event
        if number == count:
            return

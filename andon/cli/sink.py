"""`andon sink` and `andon reindex`: the chain in a database, a broker or a web hook."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import click

from andon.cli.context import Context, need_extra
from andon.core.errors import AndonError, Code, InvalidInput

CONFIG = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.group("sink")
def sink_command() -> None:
    """Follow the chain into PostgreSQL, MQTT and web hooks, without gaps."""


@sink_command.command("run")
@click.argument("config", type=CONFIG)
@click.pass_obj
def sink_run(context: Context, *, config: Path) -> None:
    """Run the sinks of CONFIG until a signal."""
    need_extra("sinks", "psycopg", "paho.mqtt.client")
    from andon.sinks.config import read_sink_config
    from andon.sinks.process import run_sinks

    logging.basicConfig(
        level=logging.ERROR if context.quiet else logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
    )
    found = read_sink_config(config)
    try:
        asyncio.run(run_sinks(found, config.resolve().parent))
    except* AndonError as group:
        raise group.exceptions[0] from None


@click.command("reindex")
@click.argument("config", type=CONFIG)
@click.option("--from", "first", type=int, required=True, help="First height to write again.")
@click.option("--schema", default="", help="One schema; all of CONFIG by default.")
@click.pass_obj
def reindex_command(context: Context, *, config: Path, first: int, schema: str) -> None:
    """Forget what a database holds from a height on; `andon sink run` writes it again."""
    need_extra("sinks", "psycopg", "paho.mqtt.client")
    from andon.sinks.blocks import BlockReader
    from andon.sinks.config import Postgres, read_sink_config
    from andon.sinks.postgres import PostgresSink

    found = read_sink_config(config)
    tables = [item for item in found.postgres if schema in ("", item.schema)]
    if not tables:
        raise InvalidInput(Code.BAD_ARGUMENTS, "CONFIG has no such database")

    async def work(table: Postgres) -> int:
        reader = BlockReader(found.chain.nodes)
        sink = PostgresSink(table, reader)
        try:
            await sink.open()
            return await sink.reindex(first)
        finally:
            await sink.close()
            await reader.close()

    for table in tables:
        height = asyncio.run(work(table))
        context.show(
            {"schema": table.schema, "height": height}, f"{table.schema}: next is {height + 1}"
        )

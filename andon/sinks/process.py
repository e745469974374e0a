"""The process behind `andon sink run`: every sink of the file, each with its own pace."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import aiohttp

from andon.client.async_client import AsyncClient
from andon.core.errors import Unavailable
from andon.core.genesis import Genesis, genesis_from_json
from andon.sinks.blocks import BlockReader
from andon.sinks.config import Postgres, SinkConfig
from andon.sinks.deliver import MqttSender, WebhookSender, deliver
from andon.sinks.postgres import PostgresSink

RETRY_S = (0.5, 30.0)
log = logging.getLogger(__name__)


async def run_sinks(config: SinkConfig, folder: Path) -> None:
    """Run all sinks until cancelled.

    Raises:
        AndonError: what a person has to look at: another network, an expired cursor.
    """
    state = folder / config.state
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        for table in config.postgres:
            group.create_task(follow_postgres(config.chain.nodes, table))
        for hook in config.webhook:
            sender = WebhookSender(hook, folder, session)
            group.create_task(_deliver(config, folder, hook.name, sender))
        for out in config.mqtt:
            group.create_task(_deliver(config, folder, out.name, MqttSender(out, folder)))
        log.info("sinks run; cursors are in %s", state)


async def follow_postgres(nodes: list[str], table: Postgres) -> None:
    """Follow the chain into a database, over lost connections on either side."""
    pause_s = RETRY_S[0]
    while True:
        reader = BlockReader(nodes)
        sink = PostgresSink(table, reader)
        try:
            height = await sink.open()
            log.info("postgres %s: from height %d", table.schema, height + 1)
            pause_s = RETRY_S[0]
            await sink.run()
        except Unavailable as error:
            log.warning("postgres %s: %s", table.schema, error.message)
        finally:
            await sink.close()
            await reader.close()
        await asyncio.sleep(pause_s)
        pause_s = min(RETRY_S[1], pause_s * 2)


async def _deliver(
    config: SinkConfig, folder: Path, name: str, sender: WebhookSender | MqttSender
) -> None:
    table = next(item for item in (*config.webhook, *config.mqtt) if item.name == name)
    genesis = _genesis(config, folder)
    try:
        async with AsyncClient(config.chain.nodes, genesis=genesis) as client:
            await deliver(client, table, folder / config.state, sender.send)
    finally:
        if isinstance(sender, MqttSender):
            sender.close()


def _genesis(config: SinkConfig, folder: Path) -> Genesis | None:
    if not config.chain.genesis:
        return None
    return genesis_from_json((folder / config.chain.genesis).read_bytes())

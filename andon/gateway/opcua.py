"""OPC UA: subscriptions to nodes of a server. Needs the extra `opcua`.

A lost connection makes a new client: reconnecting one hangs (opcua-asyncio issue 1660). OPC UA has
no acknowledgement as MQTT has: what changes while this process is down, the server does not tell.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

from asyncua.client.client import Client
from asyncua.common.node import Node
from asyncua.common.subscription import DataChangeNotif
from asyncua.ua.uaerrors import UaError

from andon.core.errors import Code, InvalidInput
from andon.gateway.config import OpcuaTable
from andon.gateway.mqtt import read_secret
from andon.gateway.reading import BAD, GOOD, UNCERTAIN, Arrival
from andon.gateway.watch import Watch

CHANGES_MAX = 10_000
"""Changes that wait to be taken in."""

QUEUE_SIZE = 1000
"""Values of a node that the server keeps between two publications."""

CHECK_S = 1.0
RETRY_S = (1.0, 30.0)


class _Handler:
    def __init__(self, changes: asyncio.Queue[tuple[str, DataChangeNotif]]) -> None:
        self._changes = changes

    def datachange_notification(self, node: Node, _value: object, data: DataChangeNotif) -> None:
        self._changes.put_nowait((node.nodeid.to_string(), data))


class OpcuaSource:
    """One server; `run` follows it for ever."""

    def __init__(
        self,
        table: OpcuaTable,
        number: int,
        receive: Callable[[Arrival], Awaitable[None]],
        now_ms: Callable[[], int],
        *,
        folder: Path,
        watch: Watch,
    ) -> None:
        self._table = table
        self._number = number
        self._receive = receive
        self._now_ms = now_ms
        self._folder = folder
        self._watch = watch
        self._part = f"opcua {table.url}"
        watch.waits(self._part, "connecting for the first time")
        self._places = {node: _place(target) for node, target in table.nodes.items()}

    async def run(self) -> None:
        """Connect, subscribe, follow; again after every loss, with a growing pause."""
        pause_s = RETRY_S[0]
        while True:
            try:
                await self._follow()
            except (OSError, TimeoutError, UaError, asyncio.QueueFull) as error:
                if self._watch.is_working(self._part):
                    pause_s = RETRY_S[0]
                self._watch.waits(self._part, f"{type(error).__name__}: {error}")
            await asyncio.sleep(pause_s)
            pause_s = min(RETRY_S[1], pause_s * 2)

    async def _follow(self) -> None:
        changes: asyncio.Queue[tuple[str, DataChangeNotif]] = asyncio.Queue(CHANGES_MAX)
        client = Client(self._table.url)
        if self._table.username:
            client.set_user(self._table.username)
            client.set_password(read_secret(self._table.password_file, self._folder) or "")
        async with client:
            subscription = await client.create_subscription(
                self._table.period_ms, _Handler(changes)
            )
            nodes = [client.get_node(name) for name in self._places]
            await subscription.subscribe_data_change(nodes, queuesize=QUEUE_SIZE)
            self._watch.works(self._part)
            while True:
                try:
                    name, data = await asyncio.wait_for(changes.get(), CHECK_S)
                except TimeoutError:
                    await client.check_connection()
                    continue
                await self._receive(self._arrival(name, data))

    def _arrival(self, name: str, data: DataChangeNotif) -> Arrival:
        machine, channel = self._places[name]
        item = data.monitored_item.Value
        stamp = item.SourceTimestamp or item.ServerTimestamp
        if stamp is not None and stamp.tzinfo is None:
            stamp = stamp.replace(tzinfo=dt.UTC)
        arrived = self._now_ms()
        status = item.StatusCode
        quality = GOOD if status is None or status.is_good() else BAD
        if status is not None and status.is_uncertain():
            quality = UNCERTAIN
        value = item.Value.Value if item.Value is not None else None
        is_number = isinstance(value, bool | int | float)
        document = {
            "machine": machine,
            "time_ms": arrived if stamp is None else round(stamp.timestamp() * 1000),
            "values": {channel: value if is_number else None},
            "quality": quality,
        }
        return Arrival(self._number, name, json.dumps(document).encode(), arrived)


def _place(target: str) -> tuple[str, str]:
    machine, slash, channel = target.rpartition("/")
    if not slash or not machine or not channel:
        raise InvalidInput(Code.BAD_CONFIG, f"{target!r} is not machine/channel")
    return machine, channel

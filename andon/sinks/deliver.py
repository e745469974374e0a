"""Delivery of events to a web hook or a broker: in order, acknowledged, resumed where it ended.

The cursor of the last acknowledged event is on disk before the next event is sent. So an event may
come twice after a crash, with the same cursor, and none is left out. Without an acknowledgement
everything behind it waits.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from andon.client.async_client import AsyncClient
from andon.client.results import Event
from andon.core.errors import Code, InvalidInput, Unavailable
from andon.core.json_value import to_hex, value_to_json
from andon.sinks.config import Filtered, MqttOut, Webhook

RETRY_S = (0.25, 60.0)
PUBLISH_TIMEOUT_S = 30.0
Send = Callable[[Event], Awaitable[None]]
log = logging.getLogger(__name__)


async def deliver(client: AsyncClient, table: Filtered, state: Path, send: Send) -> None:
    """Deliver events for ever.

    Raises:
        Unavailable: CURSOR_EXPIRED if the node has pruned what was not delivered yet.
    """
    place = CursorFile(state / f"{table.name}.cursor")
    cursor = await asyncio.to_thread(place.read) or table.start
    async for event in client.events(cursor, contract=table.contract, name=table.event):
        pause_s = RETRY_S[0]
        while True:
            try:
                await send(event)
            except Unavailable as error:
                log.warning("%s holds at %s: %s", table.name, event.cursor, error.message)
                await asyncio.sleep(pause_s)
                pause_s = min(RETRY_S[1], pause_s * 2)
                continue
            break
        await asyncio.to_thread(place.write, event.cursor)


class CursorFile:
    """A cursor on disk: replaced as a whole, flushed before it counts."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> str:
        """The cursor; empty if there is none yet."""
        try:
            return self._path.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return ""

    def write(self, cursor: str) -> None:
        """Replace it durably."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        part = self._path.with_suffix(".part")
        with part.open("w", encoding="ascii") as file:
            file.write(cursor)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._path)
        descriptor = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def body_of(event: Event) -> bytes:
    """The JSON document that is delivered; `cursor` is its identity."""
    document = {
        "cursor": event.cursor,
        "height": event.height,
        "hash": to_hex(event.transaction_id),
        "contract": event.contract,
        "name": event.name,
        "fields": {name: value_to_json(value) for name, value in event.fields.items()},
    }
    return json.dumps(document, separators=(",", ":")).encode()


class WebhookSender:
    """POSTs events; with a secret they carry an HMAC-SHA256 of the body."""

    def __init__(self, table: Webhook, folder: Path, session: aiohttp.ClientSession) -> None:
        self._table = table
        self._session = session
        self._secret = read_secret(folder, table.secret_file)

    async def send(self, event: Event) -> None:
        """Send one event.

        Raises:
            Unavailable: it was not answered with 2xx in time.
        """
        body = body_of(event)
        headers = {"Content-Type": "application/json", "Andon-Cursor": event.cursor}
        if self._secret:
            signed = hmac.new(self._secret, body, hashlib.sha256).hexdigest()
            headers["Andon-Signature"] = f"sha256={signed}"
        try:
            async with (
                asyncio.timeout(self._table.timeout_s),
                self._session.post(
                    self._table.url, data=body, headers=headers, allow_redirects=False
                ) as response,
            ):
                if 200 <= response.status < 300:
                    return
                reason = f"HTTP {response.status}"
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            reason = str(error) or type(error).__name__
        raise Unavailable(Code.UNREACHABLE, f"{self._table.url}: {reason}")


class MqttSender:
    """Publishes events at QoS 1; returns when the broker has acknowledged."""

    def __init__(self, table: MqttOut, folder: Path) -> None:
        self._table = table
        self._client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=table.client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
        )
        if table.username:
            secret = read_secret(folder, table.password_file).decode()
            self._client.username_pw_set(table.username, secret)
        if table.ca:
            self._client.tls_set(str(folder / table.ca))
        self._client.connect_async(table.host, table.port)
        self._client.loop_start()

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()

    async def send(self, event: Event) -> None:
        """Publish one event.

        Raises:
            Unavailable: the broker has not acknowledged it in time.
        """
        await asyncio.to_thread(self._publish, event)

    def _publish(self, event: Event) -> None:
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call] # paho
        properties.UserProperty = [("cursor", event.cursor)]
        topic = self._table.topic.format(contract=event.contract, event=event.name)
        try:
            info = self._client.publish(topic, body_of(event), qos=1, properties=properties)
            info.wait_for_publish(PUBLISH_TIMEOUT_S)
        except (RuntimeError, ValueError) as error:
            raise Unavailable(Code.UNREACHABLE, f"mqtt {self._table.host}: {error}") from None
        if not info.is_published():
            raise Unavailable(
                Code.UNREACHABLE,
                f"mqtt {self._table.host}: no acknowledgement in {PUBLISH_TIMEOUT_S:.0f} s",
            )


def read_secret(folder: Path, name: str) -> bytes:
    """Read a secret from a file; empty without a name.

    Raises:
        InvalidInput: BAD_CONFIG.
    """
    if not name:
        return b""
    try:
        return (folder / name).read_bytes().strip()
    except OSError as error:
        raise InvalidInput(Code.BAD_CONFIG, f"{name}: {error.strerror}") from None

"""MQTT 5: one persistent session a broker; a message is acknowledged when it is on disk.

The broker keeps what is not acknowledged and delivers it again, also to a new process under the
same client id. `receive maximum` bounds what is on the way; what is beyond waits at the broker.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path

from paho.mqtt.client import Client, ConnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from andon.core.errors import Code, InvalidInput
from andon.gateway.config import MqttTable
from andon.gateway.reading import Arrival
from andon.gateway.sparkplug_session import NAMESPACE, rebirth_payload, rebirth_topic
from andon.gateway.topics import subscription

KEEPALIVE_S = 30
RECONNECT_S = (1, 30)
REBIRTH_PAUSE_MS = 10_000
"""A node is asked for a rebirth at most once in this time."""

log = logging.getLogger(__name__)


class MqttSource:
    """One connection; its thread hands messages to `receive` and waits while that blocks."""

    def __init__(
        self,
        table: MqttTable,
        number: int,
        receive: Callable[[Arrival], None],
        now_ms: Callable[[], int],
    ) -> None:
        self._table = table
        self._number = number
        self._receive = receive
        self._now_ms = now_ms
        self._asked: dict[tuple[str, str], int] = {}
        self._session = 0
        """Counts connections: a packet id means something on its own connection only."""
        self.connected = threading.Event()
        self._client = self._make_client()

    def start(self) -> None:
        """Connect, and again whenever the connection is lost.

        Raises:
            InvalidInput: BAD_CONFIG if the files of TLS cannot be read.
        """
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call] # paho
        properties.SessionExpiryInterval = self._table.session_expiry_s
        properties.ReceiveMaximum = self._table.inflight_max
        self._client.connect_async(
            self._table.host,
            self._table.port,
            KEEPALIVE_S,
            clean_start=False,
            properties=properties,
        )
        self._client.loop_start()

    def stop(self) -> None:
        """Disconnect; the session stays at the broker."""
        if self._table.host_id:
            self._client.publish(*self._state(online=False), qos=1, retain=True)
        self._client.disconnect()
        self._client.loop_stop()

    def acknowledge(self, arrivals: list[Arrival]) -> None:
        """Tell the broker that these are on disk."""
        for arrival in arrivals:
            session, packet = divmod(arrival.token, 1 << 16)
            if packet and session == self._session:
                self._client.ack(packet, 1)

    def rebirth(self, group: str, node: str) -> None:
        """Ask a Sparkplug node for its births, but not again and again."""
        now = self._now_ms()
        if now - self._asked.get((group, node), -REBIRTH_PAUSE_MS) >= REBIRTH_PAUSE_MS:
            self._asked[group, node] = now
            self._client.publish(rebirth_topic(group, node), rebirth_payload(now), qos=0)

    def _make_client(self) -> Client:
        table = self._table
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=table.client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            manual_ack=True,
        )
        client.reconnect_delay_set(*RECONNECT_S)
        if table.username:
            client.username_pw_set(table.username, read_secret(table.password_file))
        if table.tls is not None:
            tls = table.tls
            try:
                client.tls_set(tls.ca or None, tls.certificate or None, tls.key_file or None)
            except (OSError, ValueError) as error:
                raise InvalidInput(Code.BAD_CONFIG, f"TLS of {table.host}: {error}") from None
        if table.host_id:
            client.will_set(*self._state(online=False), qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        return client

    def _state(self, *, online: bool) -> tuple[str, bytes]:
        document = {"online": online, "timestamp": self._now_ms()}
        return f"{NAMESPACE}/STATE/{self._table.host_id}", json.dumps(document).encode()

    def _on_connect(
        self,
        client: Client,
        _user: object,
        _flags: ConnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            log.warning("mqtt %s refuses: %s", self._table.host, reason)
            return
        self._session += 1
        if self._table.host_id:
            client.publish(*self._state(online=True), qos=1, retain=True)
        client.subscribe(subscription(self._table.topic), qos=1)

    def _on_subscribe(
        self,
        _client: Client,
        _user: object,
        _packet: int,
        reasons: list[ReasonCode],
        _properties: Properties | None,
    ) -> None:
        if any(reason.is_failure for reason in reasons):
            log.error("mqtt %s refuses %s", self._table.host, self._table.topic)
            return
        log.info("mqtt %s: subscribed to %s", self._table.host, self._table.topic)
        self.connected.set()

    def _on_disconnect(
        self,
        _client: Client,
        _user: object,
        _flags: object,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self.connected.clear()
        if reason.is_failure:
            log.warning("mqtt %s lost: %s", self._table.host, reason)

    def _on_message(self, _client: Client, _user: object, message: MQTTMessage) -> None:
        token = (self._session << 16) + message.mid if message.qos else 0
        self._receive(
            Arrival(self._number, message.topic, bytes(message.payload), self._now_ms(), token)
        )


def read_secret(path: str) -> str | None:
    """Read a password from a file.

    Raises:
        InvalidInput: BAD_CONFIG.
    """
    if not path:
        return None
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise InvalidInput(Code.BAD_CONFIG, f"{path}: {error.strerror}") from None

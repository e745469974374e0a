"""MQTT 5: one persistent session a broker; a message is acknowledged when it is on disk.

The broker keeps what is not acknowledged and delivers it again, also to a new process under the
same client id. `receive maximum` bounds what is on the way; what is beyond waits at the broker.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from paho.mqtt.client import Client, ConnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from andon.core.errors import AndonError, Code, InvalidInput, Unavailable
from andon.gateway.config import MqttTable
from andon.gateway.reading import Arrival
from andon.gateway.sparkplug_session import NAMESPACE, rebirth_payload, rebirth_topic
from andon.gateway.tls import BrokerTls, cut_off, fault_of, refusal
from andon.gateway.topics import subscription
from andon.gateway.watch import Watch, part_of

KEEPALIVE_S = 30
RECONNECT_S = (1, 30)
CHECK_S = 15.0
UNSPECIFIED = 0x80
"""What paho calls a connection that ended without a word."""

REBIRTH_PAUSE_MS = 10_000
"""A node is asked for a rebirth at most once in this time."""

log = logging.getLogger(__name__)


class MqttSource:
    """One connection; its thread hands messages to `receive` and waits while that blocks.

    `sessions` remembers over restarts which brokers have had a session of ours.
    """

    def __init__(
        self,
        table: MqttTable,
        number: int,
        receive: Callable[[Arrival], None],
        now_ms: Callable[[], int],
        *,
        folder: Path,
        watch: Watch,
        sessions: Sessions,
    ) -> None:
        self._table = table
        self._number = number
        self._receive = receive
        self._now_ms = now_ms
        self._watch = watch
        self._sessions = sessions
        self._asked: dict[tuple[str, str], int] = {}
        self._session = 0
        """Counts connections: a packet id means something on its own connection only."""
        self._acknowledging = threading.Lock()
        self._is_answered = False
        self.connected = threading.Event()
        watch.add_broker(table.client_id)
        self._client = self._make_client(folder)

    def start(self) -> None:
        """Connect, and again whenever the connection is lost."""
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
        # Under the lock no new connection begins between looking and telling: on that one the
        # number may belong to another message, which is not on disk.
        with self._acknowledging:
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

    def _make_client(self, folder: Path) -> Client:
        table = self._table
        client = make_client(table, table.client_id, folder)
        if table.host_id:
            client.will_set(*self._state(online=False), qos=1, retain=True)
        client.on_pre_connect = self._on_pre_connect
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        return client

    def _state(self, *, online: bool) -> tuple[str, bytes]:
        document = {"online": online, "timestamp": self._now_ms()}
        return f"{NAMESPACE}/STATE/{self._table.host_id}", json.dumps(document).encode()

    def _on_pre_connect(self, _client: Client, _user: object) -> None:
        with self._acknowledging:
            self._session += 1
        self._is_answered = False

    def _on_connect_fail(self, _client: Client, _user: object) -> None:
        # paho calls this while it handles the error and does not hand it over.
        self._waits(fault_of(sys.exc_info()[1], self._table))

    def _on_connect(
        self,
        client: Client,
        _user: object,
        flags: ConnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._is_answered = True
        if reason.is_failure:
            self._waits(refusal(reason, self._table, "the connection"))
            return
        is_lost = not flags.session_present and self._sessions.is_known(self._table.client_id)
        self._watch.connected(self._table.client_id, is_session_lost=is_lost)
        if is_lost:
            log.error(
                "mqtt %s has forgotten the session of %s: what waited in it is gone; "
                "does the broker keep sessions on disk?",
                self._table.host,
                self._table.client_id,
            )
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
        for reason in reasons:
            if reason.is_failure:
                self._waits(refusal(reason, self._table, f"the topic {self._table.topic}"))
                return
        log.info("mqtt %s: subscribed to %s", self._table.host, self._table.topic)
        self._sessions.remember(self._table.client_id)
        self._watch.works(part_of(self._table.client_id))
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
        if not reason.is_failure:
            return
        if self._is_answered:
            # A refusal has said its reason already; the end of that connection adds nothing.
            if self._watch.is_working(part_of(self._table.client_id)):
                lost = f"the broker {self._table.host}:{self._table.port} was lost"
                if reason.value != UNSPECIFIED:
                    lost += f": {reason}"
                self._waits(Unavailable(Code.UNREACHABLE, lost, hint="is it running?"))
            return
        self._waits(cut_off(self._table))

    def _waits(self, reason: AndonError) -> None:
        self._watch.waits(part_of(self._table.client_id), reason)

    def _on_message(self, _client: Client, _user: object, message: MQTTMessage) -> None:
        token = (self._session << 16) + message.mid if message.qos else 0
        self._receive(
            Arrival(self._number, message.topic, bytes(message.payload), self._now_ms(), token)
        )


class Sessions(Protocol):
    """Which brokers have had a session of ours; a memory that outlives the process."""

    def is_known(self, client_id: str) -> bool:
        """Tell whether a broker has subscribed this client before."""

    def remember(self, client_id: str) -> None:
        """Note that a broker has subscribed this client."""


def make_client(table: MqttTable, client_id: str, folder: Path) -> Client:
    """A client with the table's account and TLS that acknowledges by hand.

    Raises:
        InvalidInput: BAD_CONFIG if a file cannot be read.
    """
    client = Client(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        protocol=MQTTProtocolVersion.MQTTv5,
        manual_ack=True,
    )
    client.reconnect_delay_set(*RECONNECT_S)
    if table.username:
        client.username_pw_set(table.username, read_secret(table.password_file, folder))
    if table.tls is not None:
        tls = BrokerTls(table.tls, table.host, folder)
        client.tls_set_context(tls)  # type: ignore[arg-type] # what paho uses of a context
    return client


def check_broker(table: MqttTable, folder: Path) -> None:
    """Connect once under a client id of its own, which touches no session.

    Raises:
        InvalidInput: BAD_CONFIG, BROKER_UNTRUSTED or BROKER_REFUSED with what to do.
        Unavailable: UNREACHABLE.
    """
    client = make_client(table, f"{table.client_id}-check", folder)
    answered = threading.Event()
    found: list[AndonError] = []

    def on_connect(
        _client: Client, _user: object, _flags: object, reason: ReasonCode, _more: object
    ) -> None:
        if reason.is_failure:
            found.append(refusal(reason, table, "the connection"))
        answered.set()

    def on_disconnect(
        _client: Client, _user: object, _flags: object, _reason: object, _more: object
    ) -> None:
        if not answered.is_set():
            found.append(cut_off(table))
            answered.set()

    client.on_connect = on_connect
    client.on_disconnect = on_disconnect
    try:
        client.connect(table.host, table.port, KEEPALIVE_S, clean_start=True)
        client.loop_start()
        if not answered.wait(CHECK_S):
            found.append(cut_off(table))
    except OSError as error:
        raise fault_of(error, table) from None
    finally:
        client.disconnect()
        client.loop_stop()
    if found:
        raise found[0]


def read_secret(path: str, folder: Path) -> str | None:
    """Read a password from a file.

    Raises:
        InvalidInput: BAD_CONFIG.
    """
    if not path:
        return None
    try:
        return (folder / path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise InvalidInput(Code.BAD_CONFIG, f"{path}: {error.strerror}") from None

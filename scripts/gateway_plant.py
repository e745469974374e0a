"""A plant for campaigns: machines that publish numbered readings at QoS 1, each once or more.

A broker that is killed forgets what it had acknowledged since it last saved. So after a lost
connection the plant publishes its last seconds again, as an edge device with a buffer does; the
gateway takes each message once, however often it comes.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from node.testing.broker import AUTOSAVE_S

MACHINES = 8
STEP_MS = 10
PUBLISHED_AT_ONCE = 500
AGAIN_S = AUTOSAVE_S + 3.0
"""How far back a plant publishes again; more than what a broker may lose."""

RECONNECT_S = 1


def payload(number: int) -> bytes:
    """Message `number`: its machine's next reading."""
    step = number // MACHINES
    values = {"temperature": 60 + (step * 7) % 40, "vibration": (step % 13) / 4}
    return json.dumps({"time_ms": 1_700_000_000_000 + step * STEP_MS, "values": values}).encode()


def topic(number: int) -> str:
    """Where message `number` is published."""
    return f"plant/press-{number % MACHINES}/readings"


class Publisher:
    """Publishes numbers 0 to `count` - 1 and returns when the broker has acknowledged all."""

    def __init__(self, port: int, count: int, rate_per_s: int = 0) -> None:
        self._count = count
        self._rate_per_s = rate_per_s
        self._sent: deque[tuple[float, int, int]] = deque()
        """When, number, packet id; the last `AGAIN_S` and what is not acknowledged."""
        self._open: set[int] = set()
        self._acknowledged: deque[int] = deque()
        """Packet ids from paho's thread, which must not wait for a lock of ours."""
        self._is_back = threading.Event()
        self.again = 0
        """Messages published once more after a lost connection."""
        self._client = Client(
            CallbackAPIVersion.VERSION2, client_id="plant", protocol=MQTTProtocolVersion.MQTTv5
        )
        self._client.max_inflight_messages_set(1000)
        self._client.reconnect_delay_set(RECONNECT_S, RECONNECT_S)
        self._client.connect("127.0.0.1", port)
        self._client.on_connect = lambda *_: self._is_back.set()
        self._client.on_publish = lambda _c, _u, packet, *_: self._acknowledged.append(packet)

    def run(self) -> None:
        """Publish everything; several minutes at a low rate."""
        self._client.loop_start()
        started = time.monotonic()
        for number in range(self._count):
            self._publish(number)
            if self._rate_per_s and number % max(1, self._rate_per_s // 20) == 0:
                time.sleep(max(0.0, started + number / self._rate_per_s - time.monotonic()))
            if number % PUBLISHED_AT_ONCE == 0:
                self._settle()
        # The broker may still die on what it has just acknowledged.
        until = time.monotonic() + AGAIN_S
        while time.monotonic() < until or self._sent:
            self._settle()
            time.sleep(0.05)
        self._client.disconnect()
        self._client.loop_stop()

    def _publish(self, number: int) -> None:
        packet = self._client.publish(topic(number), payload(number), qos=1).mid
        self._open.add(packet)
        self._sent.append((time.monotonic(), number, packet))

    def _settle(self) -> None:
        """Publish again after a lost connection, and forget what is old and acknowledged."""
        while self._acknowledged:
            self._open.discard(self._acknowledged.popleft())
        if self._is_back.is_set():
            self._is_back.clear()
            recent = [number for _, number, _ in self._sent]
            for number in recent:
                self._publish(number)
            self.again += len(recent)
        limit = time.monotonic() - AGAIN_S
        while self._sent and self._sent[0][0] < limit and self._sent[0][2] not in self._open:
            self._sent.popleft()

"""A real Mosquitto that comes back without the gateway's session: told, counted, gone on with."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from paho.mqtt.client import Client

from andon.gateway.config import MqttTable, OutboxTable
from andon.gateway.mqtt import MqttSource, make_client
from andon.gateway.outbox import Outbox
from andon.gateway.reading import Arrival
from andon.gateway.watch import Watch
from node.testing.broker import Broker, find_mosquitto

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        find_mosquitto() is None, reason="mosquitto is not installed (apt-get install mosquitto)"
    ),
]


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 - the state is in other threads
            await asyncio.sleep(0.05)


async def test_a_forgotten_session_is_told_and_a_kept_one_is_not(tmp_path: Path) -> None:
    watch, came = Watch(lambda: 1), asyncio.Queue[Arrival]()
    loop = asyncio.get_running_loop()

    def receive(arrival: Arrival) -> None:
        loop.call_soon_threadsafe(came.put_nowait, arrival)

    def count(name: str) -> float:
        labels = {"broker": "g"}
        return watch.registry.get_sample_value(f"andon_gateway_broker_{name}_total", labels) or 0

    with Outbox(tmp_path / "o", OutboxTable(size_mb=16)) as outbox:
        async with Broker(tmp_path / "broker", 141) as broker:
            table = MqttTable(port=broker.port, client_id="g", topic="plant/#")
            source = MqttSource(
                table, 0, receive, lambda: 5, folder=tmp_path, watch=watch, sessions=outbox
            )
            source.start()
            try:
                await until(lambda: outbox.is_known("g"))
                await broker.stop()  # It writes its sessions when it ends in order.
                await broker.start()
                await until(lambda: count("connections") == 2)
                assert count("sessions_lost") == 0
                await until(lambda: watch.is_working("mqtt g"))
                await broker.kill()
                (tmp_path / "broker" / "mosquitto.db").unlink()
                await broker.start()
                await until(lambda: count("connections") == 3)
                assert count("sessions_lost") == 1
                await until(lambda: watch.is_working("mqtt g"))
                plant: Client = make_client(table, "plant", tmp_path)
                plant.connect("127.0.0.1", broker.port)
                plant.loop_start()
                plant.publish("plant/x", b"after", qos=1)
                assert (await asyncio.wait_for(came.get(), 30)).payload == b"after"
                plant.disconnect()
                plant.loop_stop()
            finally:
                source.stop()

"""Sensors of the factory demo: through Mosquitto and the gateway, or as transactions."""

from __future__ import annotations

import asyncio
import json
import math
import time
from pathlib import Path

import msgspec
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from andon.core.errors import Code, Unavailable
from andon.gateway.config import GatewayConfig
from andon.gateway.process import Gateway
from andon.gateway.watch import part_of
from models.quantiser import quantise
from node.testing.broker import Broker
from scripts.demo_factory_data import Run
from scripts.demo_factory_events import now_ms
from scripts.demo_factory_plant import GEARS, Plant

STRIDE = 10
ROW_MS = 1000
WORK_TIMEOUT_S = 300.0
CLIENT_ID = "gear-works"


async def direct(plant: Plant, run: Run) -> str:
    """Windows as signed transactions, where no broker is installed."""
    width = len(run.package.quantiser.channels)
    size = run.package.manifest.input_bytes // width
    for end in range(size, len(run.rows) + 1, STRIDE):
        part = run.rows[end - size : end]
        window = quantise(run.package.quantiser, part[:, :width], part[:, width:]).values
        await plant.do(
            GEARS, "operator", "maintenance.assess",
            machine=run.machine, window=window.tobytes(),
        )  # fmt: skip
    return "as signed transactions (no Mosquitto here)"


async def through_broker(plant: Plant, run: Run, home: Path) -> str:
    """Every row as a message through Mosquitto and the gateway."""
    home = home / "gateway"
    home.mkdir(parents=True, exist_ok=True)
    network = plant.cluster.network
    key = network.home / network.account(f"{GEARS}-operator").key_file
    kept = home / "gateway.key"
    kept.touch(mode=0o600)
    kept.write_bytes(key.read_bytes())
    (home / "package.blob").write_bytes(run.package.to_blob())
    expected = (len(run.rows) - len(run.rows) % STRIDE) // STRIDE
    async with Broker(home / "broker", 97) as broker:
        gateway = Gateway(gateway_config(plant, broker.port), home)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(gateway.run())
            await until_subscribed(gateway)
            sent = await asyncio.to_thread(publish, run, broker.port)
            await until_assessed(plant, run, expected)
            gateway.stop()
            await running
    return f"of {sent} messages through Mosquitto and the gateway"


async def until_subscribed(gateway: Gateway) -> None:
    """Until the broker keeps messages for the gateway: before, nobody would ever get them.

    Raises:
        Unavailable: CONFIRMATION_TIMEOUT.
    """
    deadline = time.monotonic() + WORK_TIMEOUT_S
    while not gateway.watch.is_working(part_of(CLIENT_ID)):
        if time.monotonic() > deadline:
            raise Unavailable(Code.CONFIRMATION_TIMEOUT, "the gateway does not reach its broker")
        await asyncio.sleep(0.05)


async def until_assessed(plant: Plant, run: Run, expected: int) -> None:
    """Until the last window, which ends at the machine's last row, is on the chain.

    Raises:
        Unavailable: CONFIRMATION_TIMEOUT.
    """
    size = run.package.manifest.input_bytes // len(run.package.quantiser.channels)
    wanted = expected - math.ceil(size / STRIDE) + 1
    deadline = time.monotonic() + WORK_TIMEOUT_S
    while time.monotonic() < deadline:
        status = await plant.ask("maintenance.status", machine=run.machine)
        if isinstance(status, dict):
            seen = status["assessments"]
            if isinstance(seen, int) and seen >= wanted:
                return
        await asyncio.sleep(0.5)
    raise Unavailable(Code.CONFIRMATION_TIMEOUT, f"{run.machine} has not {wanted} windows")


def gateway_config(plant: Plant, port: int) -> GatewayConfig:
    """What `gw.toml` of the gear works says."""
    text = f"""
[chain]
nodes = {json.dumps(plant.cluster.urls()[:1])}
[[streams]]
name = "presses"
row_ms = {ROW_MS}
stride = {STRIDE}
lateness_ms = 0
idle_ms = 2000
package = "package.blob"
[streams.call]
contract = "maintenance"
method = "assess"
arguments = {{ machine = "$machine", window = "$window" }}
[[mqtt]]
port = {port}
client_id = "{CLIENT_ID}"
topic = "plant/{{machine}}/readings"
"""
    return msgspec.toml.decode(text, type=GatewayConfig)


def publish(run: Run, port: int) -> int:
    """Send every row as a JSON message of one second; gives how many."""
    client = Client(
        CallbackAPIVersion.VERSION2, client_id="press", protocol=MQTTProtocolVersion.MQTTv5
    )
    client.connect("127.0.0.1", port)
    client.loop_start()
    start = now_ms() - len(run.rows) * ROW_MS
    for at, row in enumerate(run.rows):
        values = dict(zip(run.columns, (float(number) for number in row), strict=True))
        message = {"time_ms": start + at * ROW_MS, "values": values}
        client.publish(
            f"plant/{run.machine}/readings", json.dumps(message), qos=1
        ).wait_for_publish(30)
    client.disconnect()
    client.loop_stop()
    return len(run.rows)

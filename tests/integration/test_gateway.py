"""The gateway with a real broker, a real OPC UA server and real nodes."""

import asyncio
import datetime as dt
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from andon.core.errors import AndonError, Code
from andon.gateway.config import Channel, GatewayConfig, MqttTable, OpcuaTable, Stream, read_config
from andon.gateway.process import Gateway
from andon.gateway.sparkplug import PayloadMessage
from node.testing.broker import Broker, find_mosquitto
from node.testing.local_net import LocalNet, free_ports
from node.testing.pytest_plugin import OpenNet
from scripts.gateway_campaign import Plan, run

pytestmark = pytest.mark.integration
needs_mosquitto = pytest.mark.skipif(
    find_mosquitto() is None, reason="mosquitto is not installed (apt-get install mosquitto)"
)
STREAM = Stream(
    name="s", row_ms=100, stride=5, lateness_ms=0, idle_ms=500, channels={"temp": Channel()}
)


@needs_mosquitto
async def test_killed_again_and_again_the_gateway_counts_each_message_once(tmp_path: Path) -> None:
    report = await run(Plan(messages=4000, kills=3, seed=5, rate_per_s=800), tmp_path)
    assert report.on_chain == report.messages == 4000
    assert report.is_exact, report


@needs_mosquitto
async def test_a_killed_broker_loses_nothing_and_the_gateway_says_that_it_waits_for_it(
    tmp_path: Path,
) -> None:
    report = await run(Plan(messages=1600, broker_kills=2, seed=6, rate_per_s=400), tmp_path)
    assert report.on_chain == report.messages == 1600
    assert report.is_exact, report
    assert report.published_again > 0
    assert [reason.partition(" ")[0] for reason in report.reasons] == ["UNREACHABLE"] * 2


@needs_mosquitto
async def test_a_killed_node_loses_nothing_and_the_gateway_says_that_it_waits_for_it(
    tmp_path: Path,
) -> None:
    report = await run(Plan(messages=1200, node_kills=1, seed=7, rate_per_s=400), tmp_path)
    assert report.on_chain == report.messages == 1200
    assert report.is_exact, report
    assert [reason.partition(" ")[0] for reason in report.reasons] == ["UNREACHABLE"]


async def on_chain(net: LocalNet, machine: str, count: int) -> dict[str, int]:
    gateway = net.key("org-1-operator").public
    async with net.client() as client, asyncio.timeout(60):
        while True:
            try:
                entry = await client.state("telemetry", "lines", (gateway, machine))
            except AndonError as error:
                # A node that has just started has no certified block yet.
                if error.code is not Code.HEIGHT_UNKNOWN:
                    raise
                entry = None
            if isinstance(entry, dict) and entry["count"] == count:
                return entry
            await asyncio.sleep(0.1)


def home(net: LocalNet, folder: Path) -> Path:
    folder.mkdir()
    entry = next(item for item in net.manifest.accounts if item.name == "org-1-operator")
    shutil.copy(net.plan.home / entry.key_file, folder / "gateway.key")
    return folder


async def working(gateway: Gateway, until: Callable[[], "asyncio.Future[object]"]) -> None:
    """Run a gateway until something has happened."""
    async with asyncio.TaskGroup() as group:
        running = group.create_task(gateway.run())
        try:
            await until()
        finally:
            gateway.stop()  # also after a failure: its threads would keep the loop from closing
        await running


def config(net: LocalNet, **sources: object) -> GatewayConfig:
    found = read_config_text(f'[chain]\nnodes = ["{net.node("node-1").rpc}"]\n')
    return GatewayConfig(chain=found.chain, streams=[STREAM], **sources)


def read_config_text(text: str) -> GatewayConfig:
    import msgspec

    return msgspec.toml.decode(text + '[[streams]]\nname = "s"\n', type=GatewayConfig)


@needs_mosquitto
async def test_sparkplug_data_comes_in_and_a_lost_birth_is_asked_for(
    open_net: OpenNet, tmp_path: Path
) -> None:
    asked: asyncio.Queue[bytes] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def payload(seq: int, *metrics: dict[str, object]) -> bytes:
        message = PayloadMessage(timestamp=1000, seq=seq)
        for fields in metrics:
            message.metrics.add(**fields)
        return message.SerializeToString()

    def edge(port: int) -> Client:
        client = Client(
            CallbackAPIVersion.VERSION2, client_id="edge", protocol=MQTTProtocolVersion.MQTTv5
        )
        client.on_message = lambda _c, _u, message: loop.call_soon_threadsafe(
            asked.put_nowait, message.payload
        )
        client.connect("127.0.0.1", port)
        client.subscribe("spBv1.0/hall/NCMD/edge", qos=1)
        client.loop_start()
        return client

    async with open_net(seed=91, validators=1) as net, Broker(tmp_path / "broker", 92) as broker:
        table = MqttTable(
            port=broker.port, client_id="g", topic="spBv1.0/#", format="sparkplug", host_id="andon"
        )
        gateway = Gateway(config(net, mqtt=[table]), home(net, tmp_path / "gw"))

        async def until() -> None:
            source = gateway._sources[0]
            assert await asyncio.to_thread(source.connected.wait, 30)
            client = edge(broker.port)
            data = "spBv1.0/hall/DDATA/edge/press"
            client.publish(data, payload(5, {"alias": 4, "float_value": 1.0}), qos=1)
            assert b"Node Control/Rebirth" in await asyncio.wait_for(asked.get(), 30)
            client.publish("spBv1.0/hall/NBIRTH/edge", payload(0), qos=1)
            born = {"name": "temp", "alias": 4, "datatype": 9, "float_value": 20.0}
            client.publish("spBv1.0/hall/DBIRTH/edge/press", payload(1, born), qos=1)
            for number in range(2, 32):
                metric = {"alias": 4, "float_value": 20.0 + number, "timestamp": 1000 + number * 20}
                client.publish(data, payload(number, metric), qos=1)
            entry = await on_chain(net, "hall.edge.press", 31)
            assert entry["bad"] == entry["late"] == 0
            client.disconnect()
            client.loop_stop()

        await working(gateway, until)


async def test_opcua_values_come_in_with_their_quality(open_net: OpenNet, tmp_path: Path) -> None:
    from asyncua import Server, ua

    server = Server()
    await server.init()
    url = f"opc.tcp://127.0.0.1:{free_ports(1, 93)}"
    server.set_endpoint(url)
    space = await server.register_namespace("plant")
    press = await server.nodes.objects.add_object(space, "press")
    node = await press.add_variable(ua.NodeId("temp", space), "temp", 20.0)

    async def write(value: float, number: int, code: int = ua.StatusCodes.Good) -> None:
        stamp = dt.datetime(2026, 1, 1, tzinfo=dt.UTC) + dt.timedelta(milliseconds=20 * number)
        data = ua.DataValue(
            Value=ua.Variant(value, ua.VariantType.Double),
            StatusCode=ua.StatusCode(code),
            SourceTimestamp=stamp.replace(tzinfo=None),
        )
        await node.write_value(data)

    async with open_net(seed=94, validators=1) as net, server:
        await write(20.0, 0)
        table = OpcuaTable(url=url, nodes={node.nodeid.to_string(): "press-1/temp"}, period_ms=50)
        gateway = Gateway(config(net, opcua=[table]), home(net, tmp_path / "gw"))

        async def until() -> None:
            await on_chain(net, "press-1", 1)
            for number in range(100, 140):
                await write(21.0 + number, number)
            await write(0.0, 141, ua.StatusCodes.BadSensorFailure)
            entry = await on_chain(net, "press-1", 42)
            assert (entry["bad"], entry["late"]) == (1, 0)

        await working(gateway, until)


async def test_a_replayed_file_is_sent_once_over_two_runs(
    open_net: OpenNet, tmp_path: Path
) -> None:
    rows = "".join(f"{number * 20},press-1,{number % 9}\n" for number in range(500))
    async with open_net(seed=95, validators=1) as net:
        folder = home(net, tmp_path / "gw")
        (folder / "data.csv").write_text("time_ms,machine,temp\n" + rows)
        text = (
            f'[chain]\nnodes = ["{net.node("node-1").rpc}"]\n'
            '[[streams]]\nname = "s"\nrow_ms = 100\nstride = 5\n[streams.channels.temp]\n'
            '[[replay]]\npath = "data.csv"\n'
        )
        (folder / "gw.toml").write_text(text)
        for _ in range(2):
            gateway = Gateway(read_config(folder / "gw.toml"), folder)
            await gateway.run(until_done=True)
            entry = await on_chain(net, "press-1", 500)
        assert entry["late"] == 0
        assert entry["windows"] == 16

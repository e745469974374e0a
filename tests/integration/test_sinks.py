"""Sinks with a real PostgreSQL, a real broker and a real web hook, killed and cut off."""

import asyncio
import hashlib
import hmac
import json
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import duckdb
import psycopg
import pytest
from aiohttp import web
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from andon.client import AsyncClient, make_call
from andon.core.errors import InvalidInput
from andon.core.keys import PrivateKey
from andon.sinks.blocks import BlockReader
from andon.sinks.config import MqttOut, Postgres, Webhook, read_sink_config
from andon.sinks.deliver import CursorFile, MqttSender, WebhookSender, deliver
from andon.sinks.parquet import export_parquet
from andon.sinks.postgres import PostgresSink
from andon.sinks.process import follow_postgres
from andon.sinks.rows import COLUMNS
from node.checkout import CHECKOUT
from node.rpc import RpcServer
from node.testing.broker import Broker, find_mosquitto
from node.testing.database import Database, find_postgres
from node.testing.memory_node import MemoryNode

pytestmark = pytest.mark.integration
needs_postgres = pytest.mark.skipif(
    find_postgres() is None, reason="postgresql is not installed (apt-get install postgresql)"
)
needs_mosquitto = pytest.mark.skipif(
    find_mosquitto() is None, reason="mosquitto is not installed (apt-get install mosquitto)"
)
KEY = PrivateKey(b"\x2a" * 32)


class Chain:
    """A node in memory behind its real RPC."""

    def __init__(self, node: MemoryNode, url: str, client: AsyncClient) -> None:
        self.node, self.url, self.client = node, url, client
        self.sent = 0

    async def grow(self, blocks: int) -> None:
        for _ in range(blocks):
            args = {"machine": f"m-{self.sent % 3}", "window": bytes([self.sent % 40])}
            calls = [make_call("maintenance", "assess", args)] * (1 + self.sent % 2)
            if self.sent % 7 == 6:
                calls = [make_call("maintenance", "fail", {})]
            await self.client.submit(calls)
            self.sent += 1


@pytest.fixture
async def chain() -> AsyncIterator[Chain]:
    node = MemoryNode()
    async with (
        RpcServer(node) as server,
        AsyncClient(server.url, genesis=node.genesis, key=KEY) as client,
    ):
        yield Chain(node, server.url, client)


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    with Database(71) as started:
        yield started


async def opened(chain: Chain, database: Database, schema: str) -> PostgresSink:
    sink = PostgresSink(Postgres(dsn=database.dsn, schema=schema), BlockReader([chain.url]))
    try:
        await sink.open()
    except InvalidInput:
        await closed(sink)
        raise
    return sink


async def closed(sink: PostgresSink) -> None:
    await sink.close()
    await sink._reader.close()


def content(database: Database, schema: str) -> dict[str, list[tuple[object, ...]]]:
    with psycopg.connect(database.dsn) as connection:
        return {
            table: sorted(connection.execute(f"SELECT * FROM {schema}.{table}").fetchall(), key=str)
            for table in (*COLUMNS, "checkpoint")
        }


def whole(chain: Chain, found: dict[str, list[tuple[object, ...]]]) -> None:
    assert [row[0] for row in sorted(found["blocks"])] == list(range(1, chain.sent + 1))
    assert len(found["transactions"]) == chain.sent
    failed = sum(not row[4] for row in found["transactions"])
    assert failed == chain.sent // 7
    assert len(found["votes"]) == 4 * chain.sent
    expected = sum(len(block.predictions) for block in chain.node._blocks)
    assert len(found["predictions"]) == expected > 0
    events = sum(len(r.events) for block in chain.node._blocks for r in block.receipts)
    assert len(found["events"]) == events > 0
    assert found["checkpoint"][0][2] == chain.sent


@needs_postgres
async def test_a_database_holds_the_chain_and_reindex_gives_it_again(
    chain: Chain, database: Database
) -> None:
    await chain.grow(75)
    sink = await opened(chain, database, "one")
    while await sink.step():
        pass
    first = content(database, "one")
    whole(chain, first)
    assert await sink.reindex(30) == 29
    assert len(content(database, "one")["blocks"]) == 29
    assert await sink.reindex(99) == 29
    while await sink.step():
        pass
    assert content(database, "one") == first
    await closed(sink)


@needs_postgres
async def test_two_sinks_of_one_schema_write_each_block_once(
    chain: Chain, database: Database
) -> None:
    await chain.grow(80)
    sinks = [await opened(chain, database, "two") for _ in range(2)]

    async def follow(sink: PostgresSink) -> None:
        while await sink.step():
            pass

    await asyncio.gather(*(follow(sink) for sink in sinks))
    whole(chain, content(database, "two"))
    for sink in sinks:
        await closed(sink)


@needs_postgres
async def test_another_network_is_refused(chain: Chain, database: Database) -> None:
    await closed(await opened(chain, database, "three"))
    other = MemoryNode(chain_id="other-1")
    async with RpcServer(other) as server:
        stranger = Chain(other, server.url, chain.client)
        with pytest.raises(InvalidInput, match="WRONG_CHAIN"):
            await opened(stranger, database, "three")


@needs_postgres
async def test_killed_while_blocks_come_the_process_leaves_no_gap(
    chain: Chain, database: Database, tmp_path: Path
) -> None:
    (tmp_path / "sink.toml").write_text(
        f'[chain]\nnodes = ["{chain.url}"]\n[[postgres]]\ndsn = "{database.dsn}"\nschema = "four"\n'
    )

    async def start() -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "andon.cli.main", "sink", "run", str(tmp_path / "sink.toml"),
            cwd=CHECKOUT, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip

    reached = 0
    for life in range(4):
        process = await start()
        target = reached + 1
        async with asyncio.timeout(60):
            while reached < target:
                await chain.grow(4)
                reached = height_of(database, "four")
        if life < 3:
            process.kill()
            await process.wait()
    async with asyncio.timeout(60):
        await asyncio.to_thread(wait_height, database, "four", chain.sent)
    process.terminate()
    await process.wait()
    whole(chain, content(database, "four"))


@needs_postgres
async def test_a_server_that_crashes_while_blocks_come_has_no_gap_afterwards(
    chain: Chain, database: Database
) -> None:
    async with asyncio.TaskGroup() as group:
        table = Postgres(dsn=database.dsn, schema="five")
        following = group.create_task(follow_postgres([chain.url], table))
        for _ in range(2):
            await chain.grow(5)
            await asyncio.to_thread(wait_height, database, "five", chain.sent)
            await asyncio.to_thread(database.stop)
            await chain.grow(5)
            await asyncio.to_thread(database.start)
        await asyncio.to_thread(wait_height, database, "five", chain.sent)
        following.cancel()
    whole(chain, content(database, "five"))


def wait_height(database: Database, schema: str, height: int) -> None:
    deadline = time.monotonic() + 60
    while height_of(database, schema) < height and time.monotonic() < deadline:
        time.sleep(0.1)


def height_of(database: Database, schema: str) -> int:
    with psycopg.connect(database.dsn) as connection:
        try:
            row = connection.execute(f"SELECT height FROM {schema}.checkpoint").fetchone()
        except psycopg.errors.UndefinedTable:
            return 0
    return 0 if row is None else int(row[0])


class Hook:
    """A web hook that fails as told."""

    def __init__(self) -> None:
        self.failures = 0
        self.bodies: list[dict[str, object]] = []
        self.signatures: list[bool] = []
        self.arrived = asyncio.Event()

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        if self.failures:
            self.failures -= 1
            return web.Response(status=503)
        expected = "sha256=" + hmac.new(b"secret", body, hashlib.sha256).hexdigest()
        self.signatures.append(request.headers["Andon-Signature"] == expected)
        self.bodies.append(json.loads(body))
        self.arrived.set()
        return web.Response(status=204)

    async def count(self, number: int) -> None:
        async with asyncio.timeout(30):
            while len(self.bodies) < number:
                await self.arrived.wait()
                self.arrived.clear()


def alerts(chain: Chain) -> int:
    return sum(len(r.events) for block in chain.node._blocks for r in block.receipts)


async def test_a_web_hook_gets_each_event_in_order_over_failures_and_restarts(
    chain: Chain, tmp_path: Path
) -> None:
    import aiohttp

    hook = Hook()
    app = web.Application()
    app.router.add_post("/events", hook.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    (tmp_path / "secret").write_text("secret\n")
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/events"
    table = Webhook(name="hook", url=url, secret_file="secret")
    await chain.grow(12)
    hook.failures = 2
    for _ in range(2):
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
            sender = WebhookSender(table, tmp_path, session)
            working = group.create_task(deliver(chain.client, table, tmp_path, sender.send))
            await hook.count(alerts(chain))
            await asyncio.sleep(0.1)
            working.cancel()
        await chain.grow(12)
    await runner.cleanup()
    cursors = [str(body["cursor"]) for body in hook.bodies]
    assert len(set(cursors)) == len(cursors)
    assert cursors == sorted(cursors, key=lambda text: [int(part) for part in text.split("-")])
    assert all(hook.signatures)
    assert CursorFile(tmp_path / "hook.cursor").read() == cursors[-1]


@needs_mosquitto
async def test_a_broker_gets_each_event_even_if_it_was_away(chain: Chain, tmp_path: Path) -> None:
    got: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    async with Broker(tmp_path / "broker", 72) as broker:
        listener = Client(
            CallbackAPIVersion.VERSION2, client_id="ears", protocol=MQTTProtocolVersion.MQTTv5
        )
        listener.on_message = lambda _c, _u, m: loop.call_soon_threadsafe(
            got.put_nowait, (m.topic, m.payload)
        )
        subscribed = asyncio.Event()
        listener.on_subscribe = lambda *_: loop.call_soon_threadsafe(subscribed.set)
        listener.connect("127.0.0.1", broker.port)
        listener.subscribe("andon/#", qos=1)
        listener.loop_start()
        await asyncio.wait_for(subscribed.wait(), 10)
        table = MqttOut(name="out", port=broker.port, client_id="sink")
        sender = MqttSender(table, tmp_path)
        await chain.grow(12)
        async with asyncio.TaskGroup() as group:
            working = group.create_task(deliver(chain.client, table, tmp_path, sender.send))
            found = [await asyncio.wait_for(got.get(), 30) for _ in range(alerts(chain))]
            working.cancel()
        sender.close()
        listener.disconnect()
        listener.loop_stop()
    assert {topic for topic, _ in found} == {"andon/maintenance/alert"}
    cursors = [json.loads(body)["cursor"] for _, body in found]
    assert len(set(cursors)) == alerts(chain)


async def test_parquet_files_are_read_by_duckdb(chain: Chain, tmp_path: Path) -> None:
    await chain.grow(30)
    count = await export_parquet([chain.url], tmp_path / "out", 1, None)
    assert count == 30
    assert {file.name for file in (tmp_path / "out").iterdir()} == {f"{n}.parquet" for n in COLUMNS}
    with duckdb.connect() as db:
        where = f"{tmp_path}/out"
        rows = db.sql(
            f"SELECT t.ok, count(*), max(b.height) FROM '{where}/transactions.parquet' t"
            f" JOIN '{where}/blocks.parquet' b USING (height) GROUP BY t.ok ORDER BY t.ok"
        ).fetchall()
        assert rows == [(False, 4, 28), (True, 26, 30)]
        outputs = db.sql(f"SELECT output[1] FROM '{where}/predictions.parquet'").fetchall()
        assert len(outputs) == sum(len(block.predictions) for block in chain.node._blocks)
    with pytest.raises(InvalidInput, match="start at 1"):
        await export_parquet([chain.url], tmp_path / "none", 0, None)


def test_a_configuration_without_a_sink_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sink.toml").write_text("[chain]\n")
    with pytest.raises(InvalidInput, match="no sink"):
        read_sink_config(tmp_path / "sink.toml")

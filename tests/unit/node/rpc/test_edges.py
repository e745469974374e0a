"""Clients that send slowly, endlessly or all at once are cut off or answered; others are served."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from andon.core.codec import Value, encode_value
from andon.core.keys import PrivateKey
from node.envelopes import Envelopes
from node.facade import StateAnswer
from node.private import PrivatePayloads
from node.rpc import bodies, slots
from node.rpc.epcis import Epcis
from node.rpc.limits import BODY_BYTES_MAX
from node.rpc.server import RpcServer, RpcSettings
from node.testing.memory_node import MemoryNode
from tests.unit.node.rpc.test_server import signed

FIRST_S = 0.3
ZEROS = "0" * 64
PIPELINED = 2_000


@pytest.fixture
async def door() -> AsyncIterator[RpcServer]:
    async with RpcServer(MemoryNode(), RpcSettings(first_request_s=FIRST_S)) as opened:
        yield opened


async def dial(door: RpcServer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", door.port)


async def cut_off(reader: asyncio.StreamReader) -> bytes:
    """What comes until the node ends the connection."""
    with contextlib.suppress(ConnectionError):
        return await asyncio.wait_for(reader.read(), 5)
    return b""


async def serves(door: RpcServer) -> bool:
    async with aiohttp.ClientSession() as http, http.get(door.url + "/health/live") as answer:
        return answer.status == 200


@pytest.mark.parametrize("sent", [b"", b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\n"])
async def test_a_head_that_does_not_come_whole_in_time_ends_the_connection(
    door: RpcServer, sent: bytes
) -> None:
    reader, writer = await dial(door)
    writer.write(sent)
    assert await cut_off(reader) == b""
    writer.close()
    assert await serves(door)


async def test_a_connection_that_asked_once_may_wait_longer(door: RpcServer) -> None:
    reader, writer = await dial(door)
    for _ in range(2):
        writer.write(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await asyncio.wait_for(reader.readuntil(b"200 OK"), 5)
        await asyncio.sleep(1.5 * FIRST_S)
    writer.close()


KEEPER = PrivateKey(b"\x11" * 32)


class Endless(MemoryNode):
    """Names this node the keeper of every payload, so that its routes get as far as the body."""

    async def state(self, key: bytes) -> StateAnswer:
        entry: Value = {"status": "STORED", "keepers": [KEEPER.public]}
        found = await super().state(key)
        return replace(found, value=encode_value(entry))

    async def value(self, key: bytes) -> bytes | None:
        return (await self.state(key)).value


def with_bodies(door: RpcServer) -> set[tuple[str, str]]:
    """Every route that may take a body, with something in the place of its fields."""
    return {
        (route.method, re.sub(r"\{[^{}]*(\{\d+\})?[^{}]*\}", ZEROS, route.resource.canonical))
        for route in door.app.router.routes()
        if route.resource is not None and route.method in ("POST", "PUT", "PATCH")
    }


async def test_a_body_that_does_not_come_in_time_is_refused_on_every_route(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "BODY_TIMEOUT_S", 0.2)
    node = Endless()
    payloads = PrivatePayloads(node, Envelopes(tmp_path, b"", node), KEEPER)
    faces = [Epcis(node, tmp_path), payloads]
    async with RpcServer(node, extensions=faces) as door:
        answers = {}
        for method, path in sorted(with_bodies(door)):
            reader, writer = await dial(door)
            head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{{"
            writer.write(head.encode())
            line = await asyncio.wait_for(reader.readuntil(b"\r\n"), 5)
            answers[method, path] = int(line.split()[1])
            writer.close()
        private, unknown = f"/v1/private/{ZEROS}", f"/epcis/queries/{ZEROS}/subscriptions"
        refused_before = {("POST", private + "/purge"): 404, ("POST", unknown): 404}
        assert {("PUT", private), ("POST", private), ("POST", "/epcis/capture")} <= set(answers)
        assert answers == dict.fromkeys(answers, 400) | refused_before
        assert await serves(door)


async def test_a_body_that_is_no_text_is_a_fault_of_who_sent_it_on_every_route(
    tmp_path: Path,
) -> None:
    node = Endless()
    payloads = PrivatePayloads(node, Envelopes(tmp_path, b"", node), KEEPER)
    faces = [Epcis(node, tmp_path), payloads]
    bodies_sent = (b'{"name":"\xff"}', b'{"\xff":1}', b"\xff", b"[" * 100_000, b'{"a":' * 100_000)
    async with RpcServer(node, extensions=faces) as door, aiohttp.ClientSession() as http:
        for method, path in sorted(with_bodies(door)):
            for body in bodies_sent:
                async with http.request(method, door.url + path, data=body) as answer:
                    assert answer.status < 500, (method, path, body[:10], await answer.text())


def test_queries_of_a_file_that_is_no_text_do_not_keep_a_node_from_starting(tmp_path: Path) -> None:
    (tmp_path / "epcis-queries.json").write_bytes(b'{"queries":{"\xff":{}},"subscriptions":[]}')
    assert Epcis(MemoryNode(), tmp_path).routes()


async def test_chunks_without_end_are_refused_at_the_bound(door: RpcServer) -> None:
    reader, writer = await dial(door)
    writer.write(b"POST /rpc HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
    with contextlib.suppress(ConnectionError):
        for _ in range(2 * BODY_BYTES_MAX // 0x10000):
            writer.write(chunk)
            await writer.drain()
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    assert b"413" in head.split(b"\r\n")[0]
    writer.close()
    assert await serves(door)


async def test_requests_pipelined_by_thousands_do_not_shut_others_out(door: RpcServer) -> None:
    reader, writer = await dial(door)
    writer.write(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n" * PIPELINED)
    assert b"200 OK" in await asyncio.wait_for(reader.readuntil(b"\r\n"), 5)
    assert await asyncio.wait_for(serves(door), 5)
    writer.close()


async def test_probes_and_metrics_answer_when_every_place_is_taken(
    door: RpcServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "REQUESTS_AT_ONCE_MAX", 0)
    async with aiohttp.ClientSession() as http:
        for path in ("/health", "/health/live", "/health/ready", "/health/startup", "/metrics"):
            async with http.get(door.url + path) as answer:
                assert answer.status == 200, path
        async with http.get(door.url + "/v1/status") as answer:
            assert answer.status == 429


async def test_a_client_that_used_up_its_rate_still_gets_its_probe() -> None:
    settings = RpcSettings(rate_per_s=1, burst=2)
    async with RpcServer(MemoryNode(), settings) as door, aiohttp.ClientSession() as http:
        seen = []
        for _ in range(3):
            async with http.get(door.url + "/v1/status") as answer:
                seen.append(answer.status)
        assert seen == [200, 200, 429]
        assert await serves(door)


async def test_clients_that_wait_for_a_block_shut_out_neither_readers_nor_each_other_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(slots, "REQUESTS_AT_ONCE_MAX", 2)
    monkeypatch.setattr(slots, "WAITS_AT_ONCE_MAX", 3)
    node = MemoryNode()
    node.is_holding = True
    async with RpcServer(node) as door, aiohttp.ClientSession() as http:

        async def submit(number: int) -> int:
            raw = "0x" + signed(nonce=number).hex()
            params = {"raw": raw, "wait": "final", "timeout_ms": 60_000}
            body = json.dumps(params).encode()
            async with http.post(door.url + "/v1/tx", data=io.BytesIO(body)) as answer:
                return answer.status

        async with asyncio.TaskGroup() as group:
            waiting = [group.create_task(submit(number)) for number in range(3)]
            while node.calls.count("submit") < 3:  # noqa: ASYNC110 - until all wait
                await asyncio.sleep(0.01)
            assert await submit(4) == 429
            async with http.get(door.url + "/v1/status") as answer:
                assert answer.status == 200
            for task in waiting:
                task.cancel()
        while await submit_none(http, door) != 200:  # noqa: ASYNC110 - until they are noticed gone
            await asyncio.sleep(0.01)


async def submit_none(http: aiohttp.ClientSession, door: RpcServer) -> int:
    body = json.dumps({"raw": "0x" + signed(nonce=9).hex(), "wait": "none"}).encode()
    async with http.post(door.url + "/v1/tx", data=io.BytesIO(body)) as answer:
        return answer.status

"""Clients that send slowly, endlessly or all at once are cut off or answered; others are served."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import aiohttp
import pytest

from node.rpc import server
from node.rpc.limits import BODY_BYTES_MAX
from node.rpc.server import RpcServer, RpcSettings
from node.testing.memory_node import MemoryNode

FIRST_S = 0.3
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


@pytest.mark.parametrize("sent", [b"", b"GET /v1/status HTTP/1.1\r\nHost: x\r\n"])
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
        writer.write(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.wait_for(reader.readuntil(b"200 OK"), 5)
        await asyncio.sleep(1.5 * FIRST_S)
    writer.close()


async def test_a_body_that_does_not_come_in_time_is_refused(
    door: RpcServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "BODY_TIMEOUT_S", 0.3)
    reader, writer = await dial(door)
    writer.write(b"POST /rpc HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    assert b"400" in head.split(b"\r\n")[0]
    writer.close()
    assert await serves(door)


async def test_chunks_without_end_are_refused_at_the_bound(door: RpcServer) -> None:
    reader, writer = await dial(door)
    writer.write(b"POST /rpc HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
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
    writer.write(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n" * PIPELINED)
    assert b"200 OK" in await asyncio.wait_for(reader.readuntil(b"\r\n"), 5)
    assert await asyncio.wait_for(serves(door), 5)
    writer.close()

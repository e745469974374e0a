"""Streams of events to clients that stop to read."""

import asyncio
import re
import socket

import aiohttp

from andon.client import AsyncClient
from andon.core.keys import PrivateKey
from node.rpc import RpcServer, RpcSettings
from node.testing.memory_node import MemoryNode

LONG = "m" * 700_000


async def fill(node: MemoryNode, url: str, count: int) -> None:
    """Make events that are larger than what sockets buffer."""
    async with AsyncClient(url, genesis=node.genesis, key=PrivateKey(b"\x2a" * 32)) as client:
        for number in range(count):
            await client.send(
                "maintenance", "assess", machine="M", window=bytes([number]), note=LONG
            )


async def test_a_slow_client_is_told_its_cursor_and_goes_on_after_it() -> None:
    node = MemoryNode()
    async with RpcServer(node, RpcSettings(write_timeout_s=0.3)) as server:
        await fill(node, server.url, 12)
        door = socket.socket()
        door.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        door.setblocking(False)  # noqa: FBT003 - the library's own signature
        loop = asyncio.get_running_loop()
        await loop.sock_connect(door, ("127.0.0.1", server.port))
        with door:
            await loop.sock_sendall(
                door, b"GET /v1/events?cursor=0-0-0 HTTP/1.1\r\nHost: localhost\r\n\r\n"
            )
            await asyncio.sleep(1.0)  # reads nothing: the node gives up after 0.3 s
            received = bytearray()
            while part := await loop.sock_recv(door, 1 << 16):
                received += part
        assert b"SLOW_READER" in received
        sent = re.findall(rb"\nid: ([0-9-]+)\nevent: chain", received)
        told = re.findall(rb"\nid: ([0-9-]+)\nevent: error", received)
        assert told == [sent[-1]]
        assert 1 <= len(sent) < 12
        rest = await _read(server.url, told[0].decode(), 12 - len(sent))
    assert [*(item.decode() for item in sent), *rest] == [f"{n}-0-0" for n in range(1, 13)]


async def _read(url: str, cursor: str, count: int) -> list[str]:
    found: list[str] = []
    async with (
        aiohttp.ClientSession(read_bufsize=1 << 23) as http,
        http.get(url + "/v1/events", headers={"Last-Event-ID": cursor}) as response,
    ):
        async for line in response.content:
            if line.startswith(b"id: "):
                found.append(line[4:].strip().decode())
            if len(found) == count:
                break
    return found


async def _first_event(response: aiohttp.ClientResponse) -> str:
    async for line in response.content:
        if line.startswith(b"id: "):
            return line[4:].strip().decode()
    return ""


async def test_a_thousand_streams_see_the_same_event() -> None:
    node = MemoryNode()
    count = 1000
    async with (
        RpcServer(node, RpcSettings(streams_max=count)) as server,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
    ):
        url = server.url + "/v1/events"
        held = await asyncio.gather(*(http.get(url) for _ in range(count)))
        async with http.get(url) as refused:
            assert refused.status == 503
            assert "rpc_streams_max" in await refused.text()
        async with AsyncClient(
            server.url, genesis=node.genesis, key=PrivateKey(b"\x2a" * 32)
        ) as client:
            await client.send("maintenance", "assess", machine="M", window=b"\x01", note="")
        seen = await asyncio.gather(*(_first_event(response) for response in held))
        for response in held:
            response.close()
    assert seen == ["1-0-0"] * count

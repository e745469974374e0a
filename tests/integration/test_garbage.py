"""Garbage and oversize bytes at every open door of a running node: typed refusals, node unmoved."""

import asyncio
import contextlib
import io
import json
import os
import random

import aiohttp
import pytest

from node.net.tls import client_context
from node.rpc.limits import BODY_BYTES_MAX
from node.testing.local_net import LocalNet
from node.testing.pytest_plugin import OpenNet

pytestmark = pytest.mark.integration

SEED = random.Random(5)
JUNK = [
    b"",
    b"\x00" * 1000,
    b"{",
    b"[" * 10_000,
    b'{"jsonrpc":"2.0","id":1,"method":"submit","params":{"raw":"0xzz"}}',
    b'{"jsonrpc":"2.0","id":1,"method":"submit","params":{"raw":"0x' + b"c1" * 500 + b'"}}',
    b'{"jsonrpc":"2.0","id":1,"method":"' + b"x" * 5000 + b'"}',
    SEED.randbytes(5000),
]
PATHS = ["/rpc", "/v1/transactions", "/v1/blobs", "/health/ready", "/metrics", "/", "/%00", "/../x"]


async def raw_exchange(port: int, data: bytes, *, tls: bool) -> bytes:
    """Send bytes, read what comes for a moment."""
    context = client_context() if tls else None
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(1.0):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
            writer.write(data)
            await writer.drain()
            return await reader.read(65536)
    except (OSError, TimeoutError):
        return b""
    finally:
        if writer is not None:
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def attack_rpc(net: LocalNet, name: str) -> None:
    base = net.node(name).rpc
    async with aiohttp.ClientSession() as session:
        for junk in JUNK:
            for path in PATHS:
                async with session.post(base + path, data=junk) as response:
                    text = await response.text()
                    assert response.status < 500, (path, junk[:40], text[:200])
                    assert "Traceback" not in text
                    if path == "/rpc" and response.status == 200 and text:
                        reply = json.loads(text)
                        assert "error" in (reply if isinstance(reply, dict) else reply[0])
        big = b"x" * (BODY_BYTES_MAX + 1)
        async with session.post(base + "/rpc", data=io.BytesIO(big)) as response:
            assert response.status == 413


async def test_no_garbage_moves_a_node(open_net: OpenNet) -> None:
    async with open_net(seed=21) as net:
        await net.wait_height(2, 20)
        victim = net.node("node-1")
        rpc_port, peer_port = (
            int(url.rstrip("/").rpartition(":")[2]) for url in (victim.rpc, victim.peer)
        )
        await attack_rpc(net, "node-1")
        heads = (
            b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 100_000 + b"\r\n\r\n",
            b"POST /rpc HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n",
            b"POST /rpc HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzzzz\r\n",
            b"\x16\x03\x01" + os.urandom(500),
            os.urandom(5000),
        )
        for data in heads:
            for port, tls in ((rpc_port, False), (peer_port, False), (peer_port, True)):
                answer = await raw_exchange(port, data, tls=tls)
                assert b"Traceback" not in answer
        before = await net.height()
        await net.wait_height(before + 3, 20)
        assert all(net.is_alive(name) for name in net.names)
        log = (net.home("node-1").logs / "node.log").read_text()
        assert "Traceback" not in log

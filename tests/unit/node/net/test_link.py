"""How a link ends; what it carries is tried in test_network.py."""

from __future__ import annotations

import asyncio
from typing import cast

import aiohttp
import pytest

from node.net import link
from node.net.handshake import Session
from node.net.link import Counters, Link, Socket
from node.net.peers import Peer
from node.net.queue import Class

PEER = Peer(node_key=b"p" * 32, validator_key=b"v" * 32, host="127.0.0.1", port=1)
SESSION = Session(peer=PEER.node_key, peer_certificate=b"", token_given=b"", token_received=b"")


def link_over(socket: object) -> Link:
    return Link(
        cast("Socket", socket),
        PEER,
        SESSION,
        receive=lambda _peer, _message: None,
        punish=lambda _peer, _penalty, _reason: None,
        counters=Counters(),
    )


class CutWhileAnswering:
    """A socket that is cut between a ping and the answer to it, which `receive` itself gives."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.is_closed = False

    async def receive(self) -> aiohttp.WSMessage:
        raise self.error

    async def close(self) -> bool:
        self.is_closed = True
        return True


@pytest.mark.parametrize(
    "error",
    [aiohttp.ClientConnectionResetError("Cannot write to closing transport"), BrokenPipeError()],
)
async def test_a_link_that_is_cut_while_it_answers_a_ping_ends_with_a_reason(
    error: Exception,
) -> None:
    socket = CutWhileAnswering(error)
    made = link_over(socket)
    assert await made.run() == f"receive failed: {type(error).__name__}"


class Deaf:
    """A socket whose peer takes the first frames and then no more."""

    def __init__(self, takes: int) -> None:
        self.takes = takes
        self.sent: list[bytes] = []
        self.closed = asyncio.Event()

    async def send_bytes(self, frame: bytes) -> None:
        if len(self.sent) >= self.takes:
            await self.closed.wait()
        self.sent.append(frame)

    async def receive(self) -> aiohttp.WSMessage:
        await self.closed.wait()
        return aiohttp.WSMessage(aiohttp.WSMsgType.CLOSED, None, None)

    async def close(self) -> bool:
        self.closed.set()
        return True


async def test_a_peer_that_takes_nothing_for_too_long_is_disconnected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(link, "SEND_TIMEOUT_S", 0.2)
    socket = Deaf(takes=3)
    made = link_over(socket)
    loop = asyncio.get_running_loop()
    # The first three come so far apart that one limit for all of them would be over.
    for turn in range(4):
        loop.call_later(0.15 * turn, made.put, b"\xc0", Class.URGENT)
    began_s = loop.time()
    assert await made.run() == "send failed: TimeoutError"
    assert len(socket.sent) == 3
    assert loop.time() - began_s > 0.6

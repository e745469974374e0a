"""How a link ends; what it carries is tried in test_network.py."""

from __future__ import annotations

from typing import cast

import aiohttp
import pytest

from node.net.handshake import Session
from node.net.link import Counters, Link, Socket
from node.net.peers import Peer

PEER = Peer(node_key=b"p" * 32, validator_key=b"v" * 32, host="127.0.0.1", port=1)
SESSION = Session(peer=PEER.node_key, peer_certificate=b"", token_given=b"", token_received=b"")


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
    link = Link(
        cast("Socket", socket),
        PEER,
        SESSION,
        receive=lambda _peer, _message: None,
        punish=lambda _peer, _penalty, _reason: None,
        counters=Counters(),
    )
    assert await link.run() == f"receive failed: {type(error).__name__}"

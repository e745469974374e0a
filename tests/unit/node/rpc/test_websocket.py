"""The WebSocket: the same methods, errors and events as the other faces."""

import json
from collections.abc import AsyncIterator

import aiohttp
import pytest

from andon.core.keys import PrivateKey
from andon.core.transaction import TransactionBody, make_call, sign_transaction
from node.rpc import RpcServer
from node.rpc.websocket import SUBSCRIPTIONS_MAX
from node.testing.memory_node import CHAIN_ID, MemoryNode

KEY = PrivateKey(b"\x2a" * 32)
Json = dict[str, object]


class Line:
    def __init__(self, node: MemoryNode, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.node, self.socket = node, socket
        self.notes: list[Json] = []

    async def ask(self, name: str, /, **params: object) -> Json:
        request = {"jsonrpc": "2.0", "id": 7, "method": name, "params": params}
        await self.socket.send_str(json.dumps(request))
        while True:
            message: Json = await self.socket.receive_json(timeout=5)
            if "id" in message:
                return message
            self.notes.append(message)

    async def note(self) -> Json:
        if self.notes:
            return self.notes.pop(0)
        found: Json = await self.socket.receive_json(timeout=5)
        return found

    async def assess(self, number: int) -> None:
        body = TransactionBody(
            chain_id=CHAIN_ID,
            sender=KEY.public,
            nonce=number.to_bytes(8, "big"),
            expires_height=1000,
            gas_limit=1000,
            calls=(make_call("maintenance", "assess", {"machine": "M", "window": b"\x05"}),),
        )
        raw = "0x" + sign_transaction(body, KEY).hex()
        assert "result" in await self.ask("submit", raw=raw, wait="final")


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    node = MemoryNode()
    async with (
        RpcServer(node) as server,
        aiohttp.ClientSession() as http,
        http.ws_connect(server.url + "/v1/ws") as socket,
    ):
        yield Line(node, socket)


async def test_methods_answer_as_over_http(line: Line) -> None:
    assert (await line.ask("status"))["result"]["chain_id"] == CHAIN_ID  # type: ignore[index]
    assert (await line.ask("nothing"))["error"]["code"] == -32601  # type: ignore[index]
    await line.socket.send_str("garbage")
    assert (await line.socket.receive_json(timeout=5))["error"]["code"] == -32700
    await line.socket.send_str('[{"id": 1, "method": "status"}, {"id": 2, "method": "status"}]')
    assert len(await line.socket.receive_json(timeout=5)) == 2


async def test_a_subscription_gives_what_was_and_what_comes(line: Line) -> None:
    await line.assess(1)
    opened = await line.ask("subscribe", cursor="0-0-0", contract="maintenance")
    assert opened["result"] == {"subscription": 1, "cursor": "0-0-0"}
    await line.assess(2)
    for cursor in ("1-0-0", "2-0-0"):
        note = await line.note()
        assert note["method"] == "event"
        assert note["params"]["event"]["cursor"] == cursor  # type: ignore[index]


async def test_a_subscription_ends_when_asked_and_is_then_unknown(line: Line) -> None:
    await line.ask("subscribe")
    assert (await line.ask("unsubscribe", subscription=1))["result"]["subscription"] == 1  # type: ignore[index]
    assert (await line.ask("unsubscribe", subscription=1))["error"]["name"] == "NOT_FOUND"  # type: ignore[index]
    await line.assess(1)
    await line.ask("status")
    assert line.notes == []


async def test_an_expired_cursor_ends_the_subscription_with_cursor_and_reason(line: Line) -> None:
    line.node.pruned_below = 5
    await line.ask("subscribe", cursor="1-0-0")
    note = await line.note()
    assert note["method"] == "end"
    assert note["params"]["cursor"] == "1-0-0"  # type: ignore[index]
    assert note["params"]["error"]["name"] == "CURSOR_EXPIRED"  # type: ignore[index]


async def test_subscriptions_of_a_connection_are_capped(line: Line) -> None:
    for _ in range(SUBSCRIPTIONS_MAX):
        assert "result" in await line.ask("subscribe")
    assert (await line.ask("subscribe"))["error"]["name"] == "TOO_MANY"  # type: ignore[index]
    assert (await line.ask("subscribe", cursor="x"))["error"]["name"] in ("BAD_REQUEST", "TOO_MANY")  # type: ignore[index]


async def test_compression_is_not_agreed_on() -> None:
    async with (
        RpcServer(MemoryNode()) as server,
        aiohttp.ClientSession() as http,
        http.ws_connect(server.url + "/v1/ws", compress=15) as socket,
    ):
        assert socket.compress == 0

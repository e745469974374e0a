"""What a plant or validator of a federated run believes of nodes that lie to it."""

import json
from collections.abc import AsyncIterator
from typing import Self

import pytest
from aiohttp import web

from andon.client.federated import TrainingLedger
from andon.core.errors import AndonError, Code
from andon.core.hashing import Domain, digest
from andon.core.keys import PrivateKey
from node.rpc import RpcServer
from node.testing.memory_node import MemoryNode

BLOB = b"an update"
KEY = PrivateKey(b"\x07" * 32)
LIES: list[object] = [
    {"code": 500, "name": "MALFORMED", "message": "no", "data": {"fault": "peer"}},
    {"code": 1299, "name": "INTERNAL", "message": "no", "data": {"fault": "caller"}},
    {"code": 1207, "name": "STORAGE_DAMAGED", "message": "no", "data": {"fault": "disk"}},
    {"code": 804, "name": "RATE_LIMITED", "message": "no", "data": {"code": 1, "self": 2, "": 3}},
    {"code": 5, "name": "", "message": "no", "data": ["message"]},
]


class Liar:
    """An endpoint that answers every call with one and the same text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.url = ""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/rpc", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        await request.read()
        return web.Response(text=self._text, content_type="application/json")


@pytest.fixture
async def honest() -> AsyncIterator[tuple[MemoryNode, RpcServer]]:
    node = MemoryNode()
    async with RpcServer(node) as server:
        yield node, server


def refusal(error: object) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "error": error})


@pytest.mark.parametrize(
    "text", [*map(refusal, LIES), '{"result": {"digest": "0x", "size_bytes": 1, "blob": "0x00"}}']
)
async def test_a_node_that_lies_does_not_keep_a_blob_from_who_asks_the_others_too(
    honest: tuple[MemoryNode, RpcServer], text: str
) -> None:
    node, server = honest
    await node.publish_blob(BLOB)
    genesis = node.genesis
    async with Liar(text) as liar:
        async with TrainingLedger([liar.url, server.url], KEY, genesis=genesis) as ledger:
            assert await ledger.blob(digest(Domain.BLOB, BLOB)) == BLOB
        async with TrainingLedger([liar.url], KEY, genesis=genesis) as ledger:
            with pytest.raises(AndonError) as caught:
                await ledger.blob(digest(Domain.BLOB, BLOB))
    assert caught.value.code is Code.NOT_FOUND

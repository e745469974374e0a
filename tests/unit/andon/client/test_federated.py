"""What a plant or validator of a federated run believes of nodes that lie to it."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Self

import pytest
from aiohttp import web

from andon.client.federated import TrainingLedger
from andon.core.errors import AndonError, Code, Unavailable
from andon.core.hashing import Domain, digest
from andon.core.keys import PrivateKey
from node.facade import NodeStatus
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


class Claimant(MemoryNode):
    """A node that says it is of a validator, and may take no blobs."""

    def __init__(self, owner: bytes, *, is_full: bool = False) -> None:
        super().__init__()
        self.owner, self.is_full = owner, is_full

    def status(self) -> NodeStatus:
        return replace(super().status(), validator_key=self.owner)

    async def publish_blob(self, blob: bytes) -> bytes:
        if self.is_full:
            raise Unavailable(Code.BLOB_QUOTA, "no room")
        return await super().publish_blob(blob)


async def test_a_validator_keeps_an_update_though_another_node_claims_its_key_and_refuses() -> None:
    own, liar = Claimant(KEY.public), Claimant(KEY.public, is_full=True)
    async with RpcServer(liar) as first, RpcServer(own) as second:
        urls = [first.url, second.url]
        async with TrainingLedger(urls, KEY, genesis=own.genesis) as ledger:
            await ledger.keep(BLOB)
        assert await own.blob(digest(Domain.BLOB, BLOB)) == BLOB
        async with TrainingLedger(urls[:1], KEY, genesis=own.genesis) as ledger:
            with pytest.raises(AndonError) as caught:
                await ledger.keep(BLOB)
    assert caught.value.code is Code.BLOB_QUOTA


async def test_nobody_is_blamed_by_a_claimant_while_another_node_has_not_said_whose_it_is() -> None:
    identity = digest(Domain.BLOB, BLOB)
    keeper, liar = Claimant(b"\x09" * 32), Claimant(b"\x09" * 32)
    async with RpcServer(liar) as first:
        async with RpcServer(keeper) as second:
            urls = [first.url, second.url]
        async with TrainingLedger(urls, KEY, genesis=keeper.genesis) as ledger:
            # The keeper's node restarts; only the liar answers for it.
            assert await ledger.serves(keeper.owner, identity) is None
        async with RpcServer(keeper) as second:
            urls = [first.url, second.url]
            async with TrainingLedger(urls, KEY, genesis=keeper.genesis) as ledger:
                assert await ledger.serves(keeper.owner, identity) is False
                await keeper.publish_blob(BLOB)
                assert await ledger.serves(keeper.owner, identity) is True

"""Canonical bytes over HTTP: many transactions in one request, blocks as they were voted on.

`POST /v1/transactions/batch` takes the encoding of `Transactions` and answers, in order, a hash or
an error for each. `GET /v1/blocks/{height}/raw` gives the encoding of `FinalBlock`: what a light
client, an indexer or a load generator reads without JSON in between.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

from andon.core.codec import decode, encode
from andon.core.errors import Code, InvalidInput
from andon.core.wire import Transactions
from node.facade import NodeFacade, SubmitResult, Submitted
from node.rpc.access import SUBMIT, require
from node.rpc.route import JSON, OCTETS, Answer, Content, Operation, Route

BATCH_TRANSACTIONS_MAX = 256
_encoder = msgspec.json.Encoder()


class BatchEntry(msgspec.Struct, omit_defaults=True):
    """Answer for one transaction: its hash if it was admitted, else code and reason."""

    hash: str = ""
    code: int = 0
    name: str = ""
    message: str = ""
    hint: str = ""


class Bulk:
    """The two routes; `charge` counts every transaction against the caller's rate."""

    def __init__(
        self,
        node: NodeFacade,
        read_body: Callable[[web.Request], Awaitable[bytes]],
        charge: Callable[[web.Request, int], None],
    ) -> None:
        self._node = node
        self._read_body = read_body
        self._charge = charge

    def routes(self) -> list[Route]:
        """Routes to add."""
        batch = Operation(
            name="batch",
            summary=f"Submit up to {BATCH_TRANSACTIONS_MAX} transactions as canonical bytes.",
            body=Content(OCTETS, bytes),
            answers=(Answer("a hash or an error for each", Content(JSON, list[BatchEntry])),),
        )
        raw_block = Operation(
            name="raw_block",
            summary="A final block with its certificate, as canonical bytes.",
            answers=(Answer("FinalBlock", Content("application/msgpack", bytes)),),
        )
        height = {"height": "[0-9]{1,18}"}
        return [
            Route("POST", "/v1/transactions/batch", self._batch, batch),
            Route("GET", "/v1/blocks/{height}/raw", self._raw_block, raw_block, height),
        ]

    async def _batch(self, request: web.Request) -> web.Response:
        require(SUBMIT)
        batch = decode(Transactions, await self._read_body(request))
        if not 1 <= len(batch.raws) <= BATCH_TRANSACTIONS_MAX:
            raise InvalidInput(
                Code.TOO_MANY, f"a batch has 1 to {BATCH_TRANSACTIONS_MAX} transactions"
            )
        self._charge(request, len(batch.raws) - 1)
        entries = [_entry(found) for found in await self._node.submit_all(batch.raws)]
        return web.Response(body=_encoder.encode(entries), content_type="application/json")

    async def _raw_block(self, request: web.Request) -> web.Response:
        answer = await self._node.block(int(request.match_info["height"]))
        return web.Response(
            body=encode(answer.final),
            content_type="application/msgpack",
            headers={"Cache-Control": "public, max-age=31536000, immutable"},
        )


def _entry(found: SubmitResult) -> BatchEntry:
    if isinstance(found, Submitted):
        return BatchEntry(hash="0x" + found.transaction_id.hex())
    return BatchEntry(
        code=found.code.value, name=found.code.name, message=found.message, hint=found.hint
    )

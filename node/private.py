"""Envelopes of private payloads on a node: kept, delivered and purged as the contract says.

A node takes an envelope that the chain names it a keeper of, hands it to members who have said on
chain that they open it, and deletes it when the chain orders. Then it signs that it has. Envelopes
lie apart from other blobs, so that no other face of the node gives them out.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Callable

import msgspec
import structlog
from aiohttp import web

from andon.client.payloads import (
    CONTRACT,
    ENVELOPE_BYTES_MAX,
    FetchRequest,
    PurgeReply,
    fetch_message,
    purge_message,
)
from andon.core.codec import Value, decode_value, encode_arguments
from andon.core.errors import Code, InvalidInput, Unavailable
from andon.core.hashing import DIGEST_BYTES, Domain, digest
from andon.core.json_value import from_hex, to_hex
from andon.core.keys import PrivateKey, verify
from andon.core.rpc_schema import BlobReply
from node.envelopes import PURGED, Copies, Envelopes
from node.facade import NodeFacade
from node.rpc.access import SUBMIT, require
from node.rpc.bodies import read_body
from node.rpc.route import JSON, OCTETS, Answer, Content, Operation, Route

CLOCK_SKEW_MS = 60_000
SWEEP_S = 1.0
"""How often a node looks whether something is to be purged."""
SWEEP_COUNT_MAX = 256
"""Envelopes of one look; the next goes on after them, and all have their turn."""

log = structlog.get_logger(__name__)
_encoder = msgspec.json.Encoder()


def wall_ms() -> int:
    """This machine's clock."""
    return time.time_ns() // 1_000_000


class PrivatePayloads:
    """Routes of private payloads; an extension of the RPC server."""

    def __init__(
        self,
        node: NodeFacade,
        envelopes: Envelopes,
        key: PrivateKey,
        copies: Copies | None = None,
        now_ms: Callable[[], int] = wall_ms,
    ) -> None:
        self._node = node
        self._envelopes = envelopes
        self._blobs = envelopes.store
        self._key = key
        self._copies = copies
        self._now_ms = now_ms
        self._to_sweep: deque[bytes] = deque()

    def routes(self) -> list[Route]:
        """Routes to add."""
        place, payload = "/v1/private/{payload}", {"payload": "[0-9a-f]{64}"}
        envelope = (Answer("BlobReply", Content(JSON, BlobReply)),)
        take = Operation(
            name="keep_private",
            summary="Hand an envelope to a keeper that the chain names.",
            body=Content(OCTETS, bytes),
            answers=envelope,
        )
        deliver = Operation(
            name="fetch_private",
            summary="Fetch an envelope as a member that the chain lets open it.",
            body=Content(JSON, FetchRequest),
            answers=envelope,
        )
        purge = Operation(
            name="purge_private",
            summary="Have a keeper sign that it holds an envelope no more.",
            answers=(Answer("PurgeReply", Content(JSON, PurgeReply)),),
        )
        return [
            Route("PUT", place, self._take, take, payload),
            Route("POST", place, self._deliver, deliver, payload),
            Route("POST", place + "/purge", self._state_purge, purge, payload),
        ]

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Purge what the chain orders and copy what we should keep, while the server runs."""
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self._sweep_always())
            yield
            task.cancel()

    async def sweep(self) -> int:
        """Look at the next envelopes and delete those that are to be purged; gives how many."""
        count = 0
        if not self._to_sweep:
            self._to_sweep.extend(await asyncio.to_thread(self._blobs.digests))
        for _ in range(min(SWEEP_COUNT_MAX, len(self._to_sweep))):
            identity = self._to_sweep.popleft()
            if _status(await self._envelopes.entry(identity)) in PURGED:
                await self._envelopes.remove(identity)
                log.info("private.purged", payload=identity.hex())
                count += 1
        return count

    async def _sweep_always(self) -> None:
        while True:
            try:
                await self.sweep()
                if self._copies is not None:
                    await self._copies.look()
            except (InvalidInput, Unavailable) as error:
                log.warning("private.sweep_failed", error=error.message)
            await asyncio.sleep(SWEEP_S)

    async def _take(self, request: web.Request) -> web.Response:
        require(SUBMIT)
        identity = bytes.fromhex(request.match_info["payload"])
        entry = await self._envelopes.entry(identity)
        keepers = entry.get("keepers")
        if _status(entry) != "STORED" or not isinstance(keepers, list):
            raise _unknown(identity)
        if self._key.public not in keepers:
            raise InvalidInput(Code.ROLE_DENIED, "this node is no keeper of the payload")
        envelope = await read_body(request)
        if len(envelope) > ENVELOPE_BYTES_MAX:
            raise InvalidInput(Code.TOO_LARGE, f"an envelope has at most {ENVELOPE_BYTES_MAX}")
        if digest(Domain.BLOB, envelope) != identity:
            raise InvalidInput(Code.DIGEST_MISMATCH, "the envelope is not what the chain names")
        if not await self._envelopes.keep(identity, envelope):
            raise _unknown(identity)
        return _json(BlobReply(digest=to_hex(identity), size_bytes=len(envelope), blob=None))

    async def _deliver(self, request: web.Request) -> web.Response:
        identity = bytes.fromhex(request.match_info["payload"])
        try:
            asked = msgspec.json.decode(await read_body(request), type=FetchRequest)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise InvalidInput(Code.BAD_REQUEST, f"request: {error}") from None
        account = from_hex(asked.account)
        if abs(asked.time_ms - self._now_ms()) > CLOCK_SKEW_MS:
            raise InvalidInput(Code.EXPIRED, "the request is older than a minute", hint="sign anew")
        message = fetch_message(
            self._node.genesis.chain_id, self._key.public, identity, asked.time_ms
        )
        verify(account, message, from_hex(asked.signature))
        if not await self._may_fetch(identity, account):
            log.warning("private.refused", payload=identity.hex(), account=account.hex())
            raise InvalidInput(
                Code.ROLE_DENIED,
                "the chain does not let this account fetch the payload",
                hint=f"call {CONTRACT}.open first, as a member of a reading organisation",
            )
        envelope = await asyncio.to_thread(self._blobs.get, identity)
        log.info("private.delivered", payload=identity.hex(), account=account.hex())
        return _json(
            BlobReply(digest=to_hex(identity), size_bytes=len(envelope), blob=to_hex(envelope))
        )

    async def _state_purge(self, request: web.Request) -> web.Response:
        identity = bytes.fromhex(request.match_info["payload"])
        if _status(await self._envelopes.entry(identity)) not in PURGED:
            raise InvalidInput(Code.NOT_FOUND, "the chain orders no purge of this payload")
        await self._envelopes.remove(identity)
        message = purge_message(self._node.genesis.chain_id, identity)
        return _json(PurgeReply(to_hex(self._key.public), to_hex(self._key.sign(message))))

    async def _may_fetch(self, identity: bytes, account: bytes) -> bool:
        arguments = encode_arguments({"payload": identity, "account": account})
        answer = await self._node.call(CONTRACT, "may_fetch", arguments, None)
        return answer.ok and decode_value(answer.result) is True


def _status(entry: dict[str, Value]) -> str:
    status = entry.get("status")
    return status if isinstance(status, str) else ""


def _unknown(identity: bytes) -> InvalidInput:
    assert len(identity) == DIGEST_BYTES
    return InvalidInput(
        Code.NOT_FOUND,
        f"the chain has no stored payload {identity.hex()[:16]}",
        hint=f"call {CONTRACT}.store first",
    )


def _json(reply: msgspec.Struct) -> web.Response:
    return web.Response(body=_encoder.encode(reply), content_type="application/json")

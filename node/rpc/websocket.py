"""The method table over one WebSocket, with event subscriptions: what SSE and POST do, on one line.

A client sends JSON-RPC requests; `subscribe` and `unsubscribe` are two methods more. Events come as
notifications `event`; a subscription that ends says so with `end`, its cursor and the reason.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from contextlib import aclosing
from typing import Annotated, Literal

import msgspec
from aiohttp import WSMsgType, web

from andon.core.errors import AndonError, Code, InvalidInput, Unavailable
from andon.core.rpc_schema import ErrorReply, EventReply, Schema
from node.facade import Cursor, NodeFacade
from node.rpc import jsonrpc, render, streams
from node.rpc.failures import describe
from node.rpc.limits import BODY_BYTES_MAX
from node.rpc.methods import parse_params

SUBSCRIPTIONS_MAX = 8
"""For one connection; more filters are more connections, which are counted."""

HEARTBEAT_S = 15.0
_encoder = msgspec.json.Encoder()
Charge = Callable[[web.Request, int], None]


class SubscribeParams(Schema, frozen=True):
    """Follow events after `cursor` (empty: from now on)."""

    cursor: str = ""
    contract: str = ""
    name: str = ""


class UnsubscribeParams(Schema, frozen=True):
    """End a subscription."""

    subscription: Annotated[int, msgspec.Meta(ge=1)]


class _Subscribed(msgspec.Struct, frozen=True):
    subscription: int
    cursor: str


class _Answer(msgspec.Struct, frozen=True):
    id: jsonrpc.Id
    result: _Subscribed
    jsonrpc: str = "2.0"


class _Refusal(msgspec.Struct, frozen=True):
    id: jsonrpc.Id
    error: ErrorReply
    jsonrpc: str = "2.0"


class _EventNote(msgspec.Struct, frozen=True):
    subscription: int
    event: EventReply


class _EndNote(msgspec.Struct, frozen=True):
    subscription: int
    cursor: str
    error: ErrorReply


class _Note(msgspec.Struct, frozen=True):
    method: Literal["event", "end"]
    params: _EventNote | _EndNote
    jsonrpc: str = "2.0"


class Session:
    """One connection: it answers requests in order and pumps its subscriptions beside them."""

    def __init__(
        self, node: NodeFacade, request: web.Request, charge: Charge, write_timeout_s: float
    ) -> None:
        self._write_timeout_s = write_timeout_s
        self._node = node
        self._request = request
        self._charge = charge
        # Compression would let a small frame cost much time and memory, as on the other faces.
        self._socket = web.WebSocketResponse(
            heartbeat=HEARTBEAT_S, max_msg_size=BODY_BYTES_MAX, compress=False
        )
        self._sending = asyncio.Lock()
        self._pumps: dict[int, asyncio.Task[None]] = {}
        self._last = 0

    async def run(self) -> web.WebSocketResponse:
        """Serve until the client leaves or stops to read."""
        await self._socket.prepare(self._request)
        try:
            async with asyncio.TaskGroup() as group:
                async for message in self._socket:
                    if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                        break
                    data = message.data
                    await self._answer(group, data.encode() if isinstance(data, str) else data)
                for pump in self._pumps.values():
                    pump.cancel()
        except* (ConnectionError, TimeoutError):
            await self._end_slowly()
        return self._socket

    async def _answer(self, group: asyncio.TaskGroup, body: bytes) -> None:
        try:
            self._charge(self._request, jsonrpc.batch_size(body))
        except AndonError as error:
            await self._send(_encoder.encode(_Refusal(None, describe(error))))
            return
        try:
            request = msgspec.json.decode(body, type=jsonrpc.Request)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            request = None  # a batch, or garbage: the common path says what is wrong
        if request is None or request.method not in ("subscribe", "unsubscribe"):
            answer = await jsonrpc.answer(self._node, body)
            if answer:
                await self._send(answer)
            return
        identity = None if isinstance(request.id, msgspec.UnsetType) else request.id
        try:
            done = self._change(group, request)
        except AndonError as error:
            await self._send(_encoder.encode(_Refusal(identity, describe(error))))
        else:
            await self._send(_encoder.encode(_Answer(identity, done)))

    def _change(self, group: asyncio.TaskGroup, request: jsonrpc.Request) -> _Subscribed:
        if request.method == "unsubscribe":
            number = parse_params(
                UnsubscribeParams, bytes(request.params), strict=True
            ).subscription
            pump = self._pumps.pop(number, None)
            if pump is None:
                raise InvalidInput(Code.NOT_FOUND, f"there is no subscription {number}")
            pump.cancel()
            return _Subscribed(number, "")
        params = parse_params(SubscribeParams, bytes(request.params), strict=True)
        if len(self._pumps) >= SUBSCRIPTIONS_MAX:
            raise Unavailable(
                Code.TOO_MANY, f"a connection has at most {SUBSCRIPTIONS_MAX} subscriptions"
            )
        after = streams.parse_cursor(params.cursor) or streams.now_cursor(self._node)
        self._last += 1
        wanted = streams.Filter(params.contract, params.name)
        self._pumps[self._last] = group.create_task(self._pump(self._last, after, wanted))
        return _Subscribed(self._last, render.cursor_text(after))

    async def _pump(self, number: int, after: Cursor, wanted: streams.Filter) -> None:
        last = after
        try:
            async with aclosing(self._node.events(after)) as events:
                async for answer in events:
                    if wanted.matches(answer):
                        event = render.event(answer.cursor, answer.transaction_id, answer.event)
                        await self._send(_encoder.encode(_Note("event", _EventNote(number, event))))
                    last = answer.cursor
        except AndonError as error:
            self._pumps.pop(number, None)
            note = _EndNote(number, render.cursor_text(last), describe(error))
            await self._send(_encoder.encode(_Note("end", note)))

    async def _send(self, data: bytes) -> None:
        async with self._sending, asyncio.timeout(self._write_timeout_s):
            await self._socket.send_str(data.decode())

    async def _end_slowly(self) -> None:
        """Close a connection whose client does not read; every event it has carries its cursor."""
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(streams.FAREWELL_S):
                await self._socket.close(code=1013, message=b"too slow: go on after your cursor")

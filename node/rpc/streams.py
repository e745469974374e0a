"""Event streams: cursors, filters, a bounded collect and server-sent events.

A stream follows the durable event log of the node, never a bus: a slow client falls behind in
the log and loses nothing. What a stream ends with always tells the cursor to resume from.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from functools import lru_cache

import msgspec
from aiohttp import web

from andon.core.errors import AndonError, Code, InvalidInput, Unavailable
from node.facade import Cursor, EventAnswer, NodeFacade
from node.rpc import render
from node.rpc.failures import describe

HEARTBEAT_S = 15.0
"""Proxies cut silent connections after 30 s and more."""

WRITE_TIMEOUT_S = 20.0
"""A client that takes no bytes for so long is disconnected; its cursor stays good."""

FAREWELL_S = 0.2
"""How long a slow client's connection may take to be told its cursor."""

LINGER_S = 60.0
"""How long bytes that a slow client has not taken stay in memory after its stream ended."""

FIRST_EVENT_WAIT_MS = 20
"""How long `collect` waits for stored events even when told not to wait for new ones."""

TRANSACTIONS_BELOW = 2**31
"""More than any block holds: a cursor behind all events of its height."""

EXPIRY_CHECK_S = 0.05
"""How long a stream waits for its first event before it opens, to notice an expired cursor."""

RENDERED_MAX = 1024
RENDERED_BYTES_MAX = 4096
"""Events of up to so many bytes whose wire form is remembered: many streams send the same one."""

_CURSOR = re.compile(r"([0-9]{1,19})-([0-9]{1,10})-([0-9]{1,9})\Z", re.ASCII)
_encoder = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Filter:
    """Which events to show; empty text matches all."""

    contract: str = ""
    name: str = ""

    def matches(self, answer: EventAnswer) -> bool:
        """Tell whether an event is wanted."""
        event = answer.event
        return self.contract in ("", event.contract) and self.name in ("", event.name)


def parse_cursor(text: str) -> Cursor | None:
    """Read a cursor; empty means from now on.

    Raises:
        InvalidInput: BAD_REQUEST.
    """
    if not text:
        return None
    match = _CURSOR.match(text)
    if match is None:
        raise InvalidInput(
            Code.BAD_REQUEST,
            f"{text[:40]!r} is not a cursor",
            hint="a cursor is height-transaction-event, as every event carries; 0-0-0 is the start",
        )
    return Cursor(int(match[1]), int(match[2]), int(match[3]))


def now_cursor(node: NodeFacade) -> Cursor:
    """Cursor of everything that is final now: what follows it is new."""
    return Cursor(node.status().height, TRANSACTIONS_BELOW, 0)


async def collect(
    node: NodeFacade, after: Cursor, wanted: Filter, limit: int, wait_ms: int
) -> tuple[list[EventAnswer], Cursor]:
    """Gather up to `limit` wanted events, waiting at most `wait_ms` for the first.

    Returns the events and the cursor to go on from.
    """
    found: list[EventAnswer] = []
    last = after
    deadline = asyncio.get_running_loop().time() + max(wait_ms, FIRST_EVENT_WAIT_MS) / 1000
    async with aclosing(_generator(node.events(after))) as events:
        try:
            async with asyncio.timeout_at(deadline) as limit_of_time:
                async for answer in events:
                    last = answer.cursor
                    if not wanted.matches(answer):
                        continue
                    if not found:
                        # What is there already comes at once; do not sit out the long wait.
                        now = asyncio.get_running_loop().time()
                        limit_of_time.reschedule(now + FIRST_EVENT_WAIT_MS / 1000)
                    found.append(answer)
                    if len(found) >= limit:
                        break
        except TimeoutError:
            pass
    return found, last


async def serve(
    node: NodeFacade,
    request: web.Request,
    after: Cursor,
    wanted: Filter,
    write_timeout_s: float = WRITE_TIMEOUT_S,
) -> web.StreamResponse:
    """Answer a request with server-sent events until the client leaves or the log expires.

    A client that takes no bytes for `write_timeout_s` gets SLOW_READER with its cursor as the
    last message: whatever it reads later ends with where to go on.
    """
    response = web.StreamResponse(
        headers={
            "Content-Type": "text/event-stream; charset=utf-8",
            "Cache-Control": "no-store",
            "X-Accel-Buffering": "no",
        }
    )
    async with aclosing(_Ahead(node.events(after))) as ahead:
        await asyncio.wait({ahead.event}, timeout=EXPIRY_CHECK_S)
        if ahead.event.done() and ahead.event.exception() is not None:
            ahead.event.result()  # an expired cursor is an answer of its own, 410, no stream
        await response.prepare(request)
        await response.write(b"retry: 1000\n: open\n\n")
        pump = _Pump(response, wanted, after, write_timeout_s)
        try:
            await pump.run(ahead)
        except AndonError as error:
            body = _encoder.encode(describe(error))
            await response.write(b"event: error\ndata: " + body + b"\n\n")
        except TimeoutError:
            await _farewell(request, response, pump.last)
        except ConnectionError:
            pass
    return response


async def _farewell(request: web.Request, response: web.StreamResponse, last: Cursor) -> None:
    """Queue the cursor behind what the client has not read, then close without waiting for it."""
    cursor = render.cursor_text(last)
    body = _encoder.encode(describe(slow_reader(cursor)))
    message = b"id: %s\nevent: error\ndata: %s\n\n" % (cursor.encode(), body)
    with contextlib.suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(FAREWELL_S):
            await response.write(message)
    if request.transport is not None:
        request.transport.close()  # what is queued is still sent, if the client reads on
        asyncio.get_running_loop().call_later(LINGER_S, request.transport.abort)


def slow_reader(cursor: str) -> Unavailable:
    """Say to a client that did not keep up where it can go on."""
    return Unavailable(
        Code.SLOW_READER,
        "the stream ended because its bytes were not taken",
        hint=f"go on with cursor {cursor}; nothing is lost",
        cursor=cursor,
    )


class _Ahead:
    """One event of a stream is always asked for; `event` is done once it is there."""

    def __init__(self, events: AsyncIterator[EventAnswer]) -> None:
        self._events = _generator(events)
        self.event = self._ask()

    def take(self) -> EventAnswer | None:
        """Take the event that is there and ask for the next; None at the end."""
        found = self.event.result()
        self.event = self._ask()
        return found

    async def aclose(self) -> None:
        """Stop asking, then close the stream."""
        self.event.cancel()
        await asyncio.gather(self.event, return_exceptions=True)
        await self._events.aclose()

    def _ask(self) -> asyncio.Future[EventAnswer | None]:
        return asyncio.ensure_future(anext(self._events, None))  # noqa: TID251 - closed by aclose


@dataclass(slots=True)
class _Pump:
    """Writes a stream; `last` is the cursor of the last event that was handed over."""

    response: web.StreamResponse
    wanted: Filter
    last: Cursor
    write_timeout_s: float

    async def run(self, ahead: _Ahead) -> None:
        """Write events as they come, and a heartbeat when none does."""
        while True:
            done, _ = await asyncio.wait({ahead.event}, timeout=HEARTBEAT_S)
            if not done:
                await self._write(b": beat\n\n")
                continue
            answer = ahead.take()
            if answer is None:
                return
            self.last = answer.cursor
            if self.wanted.matches(answer):
                await self._write(sse_message(answer))

    async def _write(self, data: bytes) -> None:
        async with asyncio.timeout(self.write_timeout_s):
            await self.response.write(data)


def sse_message(answer: EventAnswer) -> bytes:
    """Write one event in the wire form of server-sent events; its id is the cursor."""
    is_small = len(answer.event.fields) <= RENDERED_BYTES_MAX
    return _remembered(answer) if is_small else _sse_message(answer)


def _sse_message(answer: EventAnswer) -> bytes:
    reply = render.event(answer.cursor, answer.transaction_id, answer.event)
    return b"id: %s\nevent: chain\ndata: %s\n\n" % (
        reply.cursor.encode(),
        _encoder.encode(reply),
    )


_remembered = lru_cache(RENDERED_MAX)(_sse_message)


async def _generator(events: AsyncIterator[EventAnswer]) -> AsyncGenerator[EventAnswer, None]:
    try:
        async for answer in events:
            yield answer
    finally:
        if isinstance(events, AsyncGenerator):
            await events.aclose()

"""Follow the event log of a network over server-sent events: reconnects, resumes, hides no gap."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import msgspec

from andon.client.results import Event, event_of
from andon.client.transport import Transport, error_of, problem_error
from andon.core.errors import AndonError, Code, InvalidInput
from andon.core.rpc_schema import ErrorReply, EventReply, EventsParams, EventsReply

SILENCE_MAX_S = 45.0
"""Three missed heartbeats: the connection is dead."""

RETRY_MIN_S = 0.2
RETRY_MAX_S = 5.0
LINE_BYTES_MAX = 8 * 1024 * 1024


async def follow_events(
    transport: Transport, cursor: str, contract: str, name: str
) -> AsyncIterator[Event]:
    """Yield events after `cursor` for ever; each carries the cursor to resume from.

    Raises:
        Unavailable: CURSOR_EXPIRED. InvalidInput: the node refuses the cursor or filter.
    """
    if not cursor:
        page = await transport.ask("events", EventsParams(limit=1), EventsReply)
        cursor = page.cursor
    pause_s = RETRY_MIN_S
    while True:
        try:
            async for event in _one_connection(transport, cursor, contract, name):
                cursor, pause_s = event.cursor, RETRY_MIN_S
                yield event
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            pass
        transport.fail_over()
        await asyncio.sleep(pause_s)
        pause_s = min(RETRY_MAX_S, pause_s * 2)


async def _one_connection(
    transport: Transport, cursor: str, contract: str, name: str
) -> AsyncIterator[Event]:
    params = {"contract": contract, "name": name}
    timeout = aiohttp.ClientTimeout(sock_connect=3.0, sock_read=SILENCE_MAX_S)
    async with transport.session().get(
        transport.endpoint + "/v1/events",
        params={key: value for key, value in params.items() if value},
        headers={"Last-Event-ID": cursor, "Accept": "text/event-stream"},
        timeout=timeout,
        read_bufsize=LINE_BYTES_MAX,
    ) as response:
        if response.status != 200:
            _refuse(await response.read())
        kind = ""
        async for line in response.content:
            if line.startswith(b"event: "):
                kind = line[7:].strip().decode()
            elif line.startswith(b"data: "):
                if kind == "error":
                    _end(error_of(msgspec.json.decode(line[6:], type=ErrorReply)))
                yield event_of(msgspec.json.decode(line[6:], type=EventReply))


def _end(error: AndonError) -> None:
    # We were too slow: the events so far carry their cursors, so a new connection goes on.
    if error.code is Code.SLOW_READER:
        raise aiohttp.ClientConnectionError(str(error))
    raise error


def _refuse(body: bytes) -> None:
    error = problem_error(body)
    if isinstance(error, InvalidInput) or error.code is Code.CURSOR_EXPIRED:
        raise error
    raise aiohttp.ClientConnectionError(str(error))

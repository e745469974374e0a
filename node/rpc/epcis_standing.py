"""Named queries and their subscriptions: what fits is sent as it is recorded.

A subscription is a stream of server-sent events whose ids are the numbers of events, so whoever
reconnects with `Last-Event-ID` misses nothing and gets nothing twice. Names and subscriptions are
kept in one file. A node calls out to nobody: `andon sink` delivers to web hooks.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import msgspec
import structlog
from aiohttp import web

from andon.client.factory.epcis import event_text
from andon.core.errors import Code, InvalidInput, Unavailable
from node.rpc import epcis_operations as operations
from node.rpc.access import SUBMIT, require
from node.rpc.bodies import read_body
from node.rpc.epcis_operations import NamedQuery, SubscriptionTerms
from node.rpc.epcis_query import NAME_CHARACTERS_MAX, Event, Query, query_of
from node.rpc.route import Route
from node.rpc.slots import waiting
from node.storage.durable import replace_file

QUERIES_MAX = 64
SUBSCRIPTIONS_MAX = 256
STREAMS_MAX = 64
FILE_BYTES_MAX = 4 * 1024 * 1024
LOOK_S = 0.5
HEARTBEAT_S = 15.0
WRITE_TIMEOUT_S = 20.0
_NAME = re.compile(r"[A-Za-z0-9._~-]{1,100}\Z")
_NUMBER = re.compile(r"[0-9]{1,15}\Z")

T = TypeVar("T")
log = structlog.get_logger(__name__)
_encoder = msgspec.json.Encoder()
Scan = Callable[[Query, int], Awaitable[tuple[list[Event], int]]]
"""Events that fit behind a number, and the number up to which was looked."""


class Subscription(msgspec.Struct, frozen=True):
    """One standing query; `after` is the number of the last event before it."""

    id: str
    query: str
    after: int
    created_ms: int


class _File(msgspec.Struct, frozen=True):
    queries: dict[str, dict[str, str]]
    subscriptions: list[Subscription]


class Standing:
    """Named queries, subscriptions and their streams."""

    def __init__(self, scan: Scan, last: Callable[[], Awaitable[int]], file: Path | None) -> None:
        self._scan = scan
        self._last = last
        self._file = file
        self._queries: dict[str, dict[str, str]] = {}
        self._subscriptions: dict[str, Subscription] = {}
        self._streams = 0
        self._load()

    def routes(self) -> list[Route]:
        """Queries and subscriptions, as in the REST binding."""
        queries, one = "/epcis/queries", "/epcis/queries/{name}"
        subscriptions, stream = one + "/subscriptions", one + "/subscriptions/{id}"
        return [
            Route("POST", queries, self._create, operations.CREATE_QUERY),
            Route("GET", queries, self._list, operations.LIST_QUERIES),
            Route("GET", one, self._show, operations.SHOW_QUERY),
            Route("DELETE", one, self._delete, operations.DELETE_QUERY),
            Route("POST", subscriptions, self._subscribe, operations.SUBSCRIBE),
            Route("GET", subscriptions, self._subscriptions_of, operations.LIST_SUBSCRIPTIONS),
            Route("GET", stream, self._stream, operations.STREAM),
            Route("DELETE", stream, self._unsubscribe, operations.UNSUBSCRIBE),
        ]

    def parameters(self, name: str) -> dict[str, str]:
        """Parameters of a named query. Raises InvalidInput NOT_FOUND."""
        if name not in self._queries:
            raise InvalidInput(Code.NOT_FOUND, f"there is no query {name[:100]!r}")
        return self._queries[name]

    async def _create(self, request: web.Request) -> web.StreamResponse:
        require(SUBMIT)
        wanted = _decode(await read_body(request), NamedQuery)
        if not _NAME.match(wanted.name):
            raise InvalidInput(Code.BAD_REQUEST, "a name has 1 to 100 letters, digits and ._~-")
        if wanted.name in self._queries:
            raise InvalidInput(Code.DUPLICATE, f"query {wanted.name!r} exists; delete it first")
        if len(self._queries) >= QUERIES_MAX:
            raise InvalidInput(Code.TOO_MANY, f"a node keeps at most {QUERIES_MAX} queries")
        plain = {name[:NAME_CHARACTERS_MAX]: _flat(item) for name, item in wanted.query.items()}
        query_of(plain)  # Refused now rather than at every use.
        self._queries[wanted.name] = plain
        await self._save()
        return _made(f"/epcis/queries/{wanted.name}")

    async def _list(self, request: web.Request) -> web.StreamResponse:
        del request
        return _json([{"name": name, "query": item} for name, item in self._queries.items()])

    async def _show(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        return _json({"name": name, "query": self.parameters(name)})

    async def _delete(self, request: web.Request) -> web.StreamResponse:
        require(SUBMIT)
        name = request.match_info["name"]
        self.parameters(name)
        del self._queries[name]
        for one in [one for one in self._subscriptions.values() if one.query == name]:
            del self._subscriptions[one.id]
        await self._save()
        return web.Response(status=204)

    async def _subscribe(self, request: web.Request) -> web.StreamResponse:
        require(SUBMIT)
        name = request.match_info["name"]
        self.parameters(name)
        terms = _decode(await read_body(request) or b"{}", SubscriptionTerms)
        if terms.dest or not terms.stream:
            raise InvalidInput(
                Code.BAD_REQUEST,
                "a node calls nobody: subscriptions are streams",
                hint="read the Location with Accept: text/event-stream; `andon sink` has web hooks",
            )
        if terms.initialRecordTime:
            raise InvalidInput(
                Code.BAD_REQUEST, "say from where on with `after`, the number of an event"
            )
        if len(self._subscriptions) >= SUBSCRIPTIONS_MAX:
            raise InvalidInput(Code.TOO_MANY, f"at most {SUBSCRIPTIONS_MAX} subscriptions")
        after = await self._last() if terms.after is None else terms.after
        found = Subscription(
            secrets.token_hex(16), name, max(0, after), time.time_ns() // 1_000_000
        )
        self._subscriptions[found.id] = found
        await self._save()
        return _made(f"/epcis/queries/{name}/subscriptions/{found.id}")

    async def _subscriptions_of(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        self.parameters(name)
        return _json([_shown(one) for one in self._subscriptions.values() if one.query == name])

    async def _unsubscribe(self, request: web.Request) -> web.StreamResponse:
        require(SUBMIT)
        found = self._subscription(request)
        del self._subscriptions[found.id]
        await self._save()
        return web.Response(status=204)

    def _subscription(self, request: web.Request) -> Subscription:
        found = self._subscriptions.get(request.match_info["id"])
        if found is None or found.query != request.match_info["name"]:
            raise InvalidInput(Code.NOT_FOUND, "there is no such subscription")
        return found

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        found = self._subscription(request)
        if "text/event-stream" not in request.headers.get("Accept", ""):
            return _json(_shown(found))
        if self._streams >= STREAMS_MAX:
            raise Unavailable(Code.RATE_LIMITED, f"a node has at most {STREAMS_MAX} such streams")
        resumed = request.headers.get("Last-Event-ID", "")
        after = int(resumed) if _NUMBER.match(resumed) else found.after
        response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream; charset=utf-8",
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",
            }
        )
        self._streams += 1
        try:
            await response.prepare(request)
            with waiting():
                await self._pump(response, found, after)
        except (ConnectionError, TimeoutError):
            log.info("epcis.reader_left", subscription=found.id)
        finally:
            self._streams -= 1
        return response

    async def _pump(self, response: web.StreamResponse, found: Subscription, after: int) -> None:
        """Send what fits until the reader leaves or the subscription is deleted."""
        query = query_of(self.parameters(found.query))
        await _write(response, b"retry: 1000\n: open\n\n")
        quiet_since = time.monotonic()
        while found.id in self._subscriptions:
            events, looked = await self._scan(query, after)
            for event in events:
                number = str(event["number"]).encode()
                data = event_text(event)
                await _write(response, b"id: " + number + b"\ndata: " + data + b"\n\n")
            if events:
                quiet_since = time.monotonic()
            if looked > after:
                after = looked
                continue
            if time.monotonic() - quiet_since >= HEARTBEAT_S:
                quiet_since = time.monotonic()
                await _write(response, b": alive\n\n")
            await asyncio.sleep(LOOK_S)

    def _load(self) -> None:
        if self._file is None or not self._file.exists():
            return
        try:
            kept = msgspec.json.decode(self._file.read_bytes()[:FILE_BYTES_MAX], type=_File)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            # Standing queries are a convenience; a node starts without them.
            log.warning("epcis.queries_unreadable", file=str(self._file), reason=str(error))
            return
        self._queries = dict(list(kept.queries.items())[:QUERIES_MAX])
        for one in kept.subscriptions[:SUBSCRIPTIONS_MAX]:
            self._subscriptions[one.id] = one

    async def _save(self) -> None:
        if self._file is not None:
            kept = _File(dict(self._queries), list(self._subscriptions.values()))
            await asyncio.to_thread(_replace, self._file, _encoder.encode(kept))


def _replace(file: Path, data: bytes) -> None:
    try:
        replace_file(file, data)
    except OSError as error:
        raise Unavailable(
            Code.STORAGE_FULL, f"queries cannot be kept: {error.strerror}", hint="free space"
        ) from None


def _flat(item: str | list[str] | int) -> str:
    return "|".join(item) if isinstance(item, list) else str(item)


def _shown(one: Subscription) -> dict[str, object]:
    return {
        "subscriptionID": one.id,
        "queryName": one.query,
        "after": one.after,
        "createdAt": one.created_ms,
        "stream": True,
    }


def _decode(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidInput(Code.BAD_REQUEST, f"body: {error}") from None


async def _write(response: web.StreamResponse, data: bytes) -> None:
    async with asyncio.timeout(WRITE_TIMEOUT_S):
        await response.write(data)


def _made(location: str) -> web.Response:
    return web.Response(status=201, headers={"Location": location})


def _json(found: object) -> web.Response:
    return web.Response(
        body=_encoder.encode(found),
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )

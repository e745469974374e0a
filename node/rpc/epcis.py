"""The EPCIS face: capture and query in the shape of the EPCIS 2.0 REST binding.

A node holds no keys of members, so whoever captures signs: the document carries the signed
transaction under `andon:transaction`, and the node takes it only if its calls are exactly what the
document says. Queries read the events of one contract from the last final state.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path

import msgspec
from aiohttp import web

from andon.client.factory.epcis import CONTEXT, KINDS, TRANSACTION, capture_calls, document
from andon.client.factory.gs1 import path_of
from andon.core.codec import Value, decode_value, encode_arguments
from andon.core.errors import Code, InvalidInput
from andon.core.json_value import from_hex, to_hex
from andon.core.state_key import state_key
from andon.core.transaction import parse_transaction
from node.facade import NodeFacade, Wait
from node.rpc import epcis_operations as operations
from node.rpc.access import SUBMIT, require
from node.rpc.bodies import read_body
from node.rpc.epcis_operations import COLLECTIONS
from node.rpc.epcis_query import PAGING, Event, Query, query_of
from node.rpc.epcis_standing import Standing
from node.rpc.route import Route

CONTRACT = "supply"
PAGE_MAX = 64
PAGE_DEFAULT = 30
SCAN_MAX = 1024
"""Events that one query looks at; the next page goes on where it stopped."""

CAPTURE_TIMEOUT_MS = 10_000

_encoder = msgspec.json.Encoder()
ReadBody = Callable[[web.Request], Awaitable[bytes]]


class Epcis:
    """Routes under /epcis; an extension of the RPC server."""

    def __init__(
        self, node: NodeFacade, folder: Path | None = None, contract: str = CONTRACT
    ) -> None:
        self._node = node
        self._contract = contract
        file = None if folder is None else folder / "epcis-queries.json"
        self._standing = Standing(self._behind, self._last, file)

    def routes(self) -> list[Route]:
        """Capture and its jobs, events, collections of them, queries and subscriptions."""
        item, query = "/epcis/epcs/{epc}/events", "/epcis/queries/{name}/events"
        return [
            Route("POST", "/epcis/capture", self._capture, operations.CAPTURE),
            Route("GET", "/epcis/capture/{id}", self._job, operations.JOB),
            Route("GET", "/epcis/events", self._events, operations.EVENTS),
            Route("GET", "/epcis/events/{id}", self._event, operations.EVENT, {"id": ".+"}),
            Route("GET", item, self._events, operations.EVENTS_OF_ITEM, {"epc": ".+"}),
            Route("GET", "/epcis/eventTypes", self._kinds, operations.KINDS),
            *(
                Route(
                    "GET",
                    f"/epcis/{name}/{{word}}/events",
                    self._events,
                    operations.events_of_collection(name),
                    {"word": ".+"},
                )
                for name in COLLECTIONS
            ),
            Route("GET", query, self._events, operations.EVENTS_OF_QUERY),
            *self._standing.routes(),
        ]

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Nothing runs beside the server."""
        yield

    async def _capture(self, request: web.Request) -> web.StreamResponse:
        require(SUBMIT)
        raw = capture_transaction(await read_body(request), self._contract)
        done = await self._node.submit(raw, Wait.ACCEPTED, CAPTURE_TIMEOUT_MS)
        location = f"/epcis/capture/{to_hex(done.transaction_id)}"
        return web.Response(status=202, headers={"Location": location, **_VERSIONS})

    async def _job(self, request: web.Request) -> web.StreamResponse:
        identity = from_hex(request.match_info["id"])
        found = await self._node.transaction(identity)
        job: dict[str, object] = {"captureID": to_hex(identity), "running": found.block is None}
        if found.block is not None:
            assert found.index is not None, "a transaction in a block has a place"
            failure = found.block.receipts[found.index].failure
            job["success"] = failure is None
            job["errors"] = (
                [] if failure is None else [{"type": failure.code, "title": failure.message}]
            )
        return _json(job)

    async def _kinds(self, request: web.Request) -> web.StreamResponse:
        del request
        return _json({"@context": [CONTEXT], "@set": list(KINDS)})

    async def _event(self, request: web.Request) -> web.StreamResponse:
        identity = request.match_info["id"]
        found = await self._view("event", {"identity": identity})
        if not isinstance(found, dict):
            raise InvalidInput(Code.NOT_FOUND, f"no event {identity[:80]!r} is recorded")
        return _answer([found], self._node.status().time_ms)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        wanted = query_of(self._parameters(request))
        per_page = min(PAGE_MAX, _number(request.query.get("perPage"), PAGE_DEFAULT, "perPage"))
        after = _number(request.query.get("nextPageToken"), 0, "nextPageToken")
        item = request.match_info.get("epc")
        events, token = await self._scan(
            wanted, per_page, after, None if item is None else path_of(item)
        )
        headers = {}
        if token is not None:
            plain = {name: value for name, value in request.query.items() if name not in PAGING}
            link = request.url.relative().with_query(
                {**plain, "perPage": str(per_page), "nextPageToken": str(token)}
            )
            headers["Link"] = f'<{link}>; rel="next"'
        return _answer(events, self._node.status().time_ms, headers)

    def _parameters(self, request: web.Request) -> dict[str, str]:
        """What was asked: parameters, those of a named query, the word of a collection."""
        given = dict(request.query.items())
        if "name" in request.match_info:
            given.update(self._standing.parameters(request.match_info["name"]))
        if "word" in request.match_info:
            given[COLLECTIONS[request.path.split("/")[2]]] = request.match_info["word"]
        return given

    async def _behind(self, wanted: Query, after: int) -> tuple[list[Event], int]:
        """Events with numbers above `after` that fit, and the number up to which was looked."""
        rows = await self._view("events_from", {"after": after, "count": PAGE_MAX})
        part = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
        return [row for row in part if wanted.fits(row)], after + len(part)

    async def _last(self) -> int:
        """Number of the last event that is recorded."""
        found = await self._node.state(state_key(self._contract, "last"))
        number = 0 if found.value is None else decode_value(found.value)
        return number if isinstance(number, int) else 0

    async def _scan(
        self, wanted: Query, per_page: int, after: int, item: str | None
    ) -> tuple[list[Event], int | None]:
        """Events of one page, and where the next begins; None at the end."""
        found: list[Event] = []
        looked = 0
        while looked < SCAN_MAX:
            count = min(PAGE_MAX, SCAN_MAX - looked)
            args: dict[str, Value] = {"after": after, "count": count}
            if item is not None:
                args["name"] = item
            rows = await self._view("events_from" if item is None else "events_of", args)
            part = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
            for row in part:
                if len(found) >= per_page:
                    return found, after
                after += 1
                looked += 1
                if wanted.fits(row):
                    found.append(row)
            if len(part) < count:
                return found, None
        return found, after

    async def _view(self, method: str, args: Mapping[str, Value]) -> Value:
        answer = await self._node.call(self._contract, method, encode_arguments(args), None)
        if not answer.ok:
            failure = answer.failure
            code = (
                Code.NO_CONTRACT
                if failure and failure.code == "E_NO_CONTRACT"
                else Code.CONTRACT_FAILED
            )
            raise InvalidInput(
                code,
                f"{self._contract}.{method} failed: {failure.code if failure else ''}",
                hint=f"is the standard contract deployed as {self._contract}?",
            )
        return decode_value(answer.result)


def capture_transaction(body: bytes, contract: str) -> bytes:
    """The signed transaction of a capture, after checking that it says what the document says.

    Raises:
        InvalidInput: MALFORMED, BAD_REQUEST if there is none or it says something else.
    """
    calls = capture_calls(body, contract)
    raw = json.loads(body).get(TRANSACTION)
    if not isinstance(raw, str):
        raise InvalidInput(
            Code.BAD_REQUEST,
            f"the document has no {TRANSACTION!r}: a node does not sign for its members",
            hint="andon.client.factory.capture signs a document",
        )
    transaction = parse_transaction(from_hex(raw))
    if transaction.body.calls != calls:
        raise InvalidInput(
            Code.BAD_REQUEST,
            "the signed calls are not what the document says",
            hint="sign capture_calls(document) of andon.client.factory.epcis",
        )
    return transaction.raw


def _number(text: str | None, default: int, name: str) -> int:
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise InvalidInput(Code.BAD_REQUEST, f"{name} is a whole number, not {text[:20]!r}")
    return int(text)


_VERSIONS = {"GS1-EPCIS-Version": "2.0.0", "GS1-CBV-Version": "2.0.0"}


def _answer(
    events: list[Event], time_ms: int, headers: Mapping[str, str] | None = None
) -> web.Response:
    return web.Response(
        body=document(events, time_ms, query="SimpleEventQuery"),
        content_type="application/ld+json",
        headers={**_VERSIONS, "Cache-Control": "no-store", **(headers or {})},
    )


def _json(found: Mapping[str, object]) -> web.Response:
    return web.Response(
        body=_encoder.encode(found), content_type="application/json", headers=_VERSIONS
    )

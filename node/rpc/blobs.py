"""Blobs as bytes over HTTP: whole if they are small, else in parts that resume after a break.

`PUT /v1/blob` stores a body. A larger blob is named before it comes:
`PUT /v1/blob/{digest}?offset=N` appends a part, `GET /v1/blob/{digest}/here` says how much is
here, `POST /v1/blob/{digest}/complete` checks the whole. `GET /v1/blob/{digest}/bytes?offset=N`
gives a part. A node holds no more of a blob in memory than one part.
"""

from __future__ import annotations

import msgspec
from aiohttp import web

from andon.core.errors import Code, InvalidInput
from andon.core.hashing import DIGEST_BYTES
from andon.core.json_value import from_hex, to_hex
from andon.core.rpc_schema import BlobReply
from node.facade import NodeFacade
from node.rpc.access import SUBMIT, require
from node.rpc.bodies import body_deadline
from node.rpc.limits import BLOB_PART_BYTES_MAX, BLOB_REQUEST_BYTES_MAX
from node.rpc.route import JSON, OCTETS, WHOLE, Answer, Content, Operation, Parameter, Route

TOTAL_HEADER = "X-Andon-Total"
OFFSET = Parameter(name="offset", text="bytes before the part", schema=WHOLE)
_encoder = msgspec.json.Encoder()


class Blobs:
    """The routes."""

    def __init__(self, node: NodeFacade) -> None:
        self._node = node

    def routes(self) -> list[Route]:
        """Routes to add."""
        one = "/v1/blob/{digest}"
        reply = (Answer("BlobReply", Content(JSON, BlobReply)),)
        put = Operation(
            name="put_blob",
            summary=f"Store a blob of at most {BLOB_REQUEST_BYTES_MAX} bytes.",
            body=Content(OCTETS, bytes),
            answers=reply,
        )
        append = Operation(
            name="append_blob",
            summary=f"Append a part of at most {BLOB_PART_BYTES_MAX} bytes to a blob.",
            parameters=(OFFSET,),
            body=Content(OCTETS, bytes),
            answers=reply,
        )
        here = Operation(
            name="blob_here", summary="How much of a blob is here, whole or not.", answers=reply
        )
        complete = Operation(
            name="complete_blob", summary="Keep what was appended if it is the blob.", answers=reply
        )
        part = Operation(
            name="blob_bytes",
            summary=f"A part of a blob from an offset on; {TOTAL_HEADER} tells the whole size.",
            parameters=(OFFSET,),
            answers=(Answer("bytes", Content(OCTETS, bytes)),),
        )
        return [
            Route("PUT", "/v1/blob", self._put, put),
            Route("PUT", one, self._append, append),
            Route("GET", one + "/here", self._here, here),
            Route("POST", one + "/complete", self._complete, complete),
            Route("GET", one + "/bytes", self._bytes, part),
        ]

    async def _put(self, request: web.Request) -> web.StreamResponse:
        require(SUBMIT)
        blob = await _body(request, BLOB_REQUEST_BYTES_MAX)
        return _reply(await self._node.publish_blob(blob), len(blob))

    async def _append(self, request: web.Request) -> web.StreamResponse:
        require(SUBMIT)
        identity, offset = _digest(request), _offset(request)
        part = await _body(request, BLOB_PART_BYTES_MAX)
        return _reply(identity, await self._node.append_blob(identity, offset, part))

    async def _here(self, request: web.Request) -> web.StreamResponse:
        identity = _digest(request)
        return _reply(identity, await self._node.blob_size(identity))

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        require(SUBMIT)
        identity = _digest(request)
        return _reply(identity, await self._node.complete_blob(identity))

    async def _bytes(self, request: web.Request) -> web.StreamResponse:
        identity, offset = _digest(request), _offset(request)
        total, part = await self._node.blob_part(identity, offset, BLOB_PART_BYTES_MAX)
        return web.Response(
            body=part,
            content_type="application/octet-stream",
            headers={TOTAL_HEADER: str(total)},
        )


async def _body(request: web.Request, bytes_max: int) -> bytes:
    body = bytearray()
    async with body_deadline():
        async for chunk in request.content.iter_chunked(1 << 16):
            body += chunk
            if len(body) > bytes_max:
                raise InvalidInput(
                    Code.TOO_LARGE,
                    f"more than {bytes_max} bytes at once",
                    hint="send the blob in parts",
                )
    return bytes(body)


def _digest(request: web.Request) -> bytes:
    data = from_hex(request.match_info["digest"])
    if len(data) != DIGEST_BYTES:
        raise InvalidInput(Code.BAD_REQUEST, f"a digest has {DIGEST_BYTES} bytes")
    return data


def _offset(request: web.Request) -> int:
    text = request.query.get("offset", "0")
    if not text.isdecimal() or len(text) > 18:
        raise InvalidInput(Code.BAD_REQUEST, "an offset is a number of bytes")
    return int(text)


def _reply(identity: bytes, size: int) -> web.Response:
    reply = BlobReply(digest=to_hex(identity), size_bytes=size, blob=None)
    return web.Response(body=_encoder.encode(reply), content_type="application/json")

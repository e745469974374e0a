"""JSON-RPC 2.0 over the method table: bytes in, bytes out, whatever the bytes are."""

from __future__ import annotations

import msgspec
import structlog

from andon.core.errors import AndonError, Code, InvalidInput, Unavailable
from andon.core.rpc_schema import ErrorReply, Reply
from node.facade import NodeFacade
from node.rpc.failures import (
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    describe,
    protocol_error,
)
from node.rpc.limits import BATCH_MAX
from node.rpc.methods import METHODS, Method

log = structlog.get_logger(__name__)
_encoder = msgspec.json.Encoder()
Id = int | str | None


class Request(msgspec.Struct, frozen=True):
    """One request; a missing id makes a notification, which gets no answer."""

    method: str
    jsonrpc: str = ""
    params: msgspec.Raw = msgspec.Raw(b"{}")
    id: Id | msgspec.UnsetType = msgspec.UNSET


class _Result(msgspec.Struct, frozen=True):
    result: Reply
    id: Id
    jsonrpc: str = "2.0"


class _Error(msgspec.Struct, frozen=True):
    error: ErrorReply
    id: Id
    jsonrpc: str = "2.0"


_requests = msgspec.json.Decoder(Request)
_raw_list = msgspec.json.Decoder(list[msgspec.Raw])


async def answer(node: NodeFacade, body: bytes) -> bytes:
    """Answer a request or a batch; empty bytes if there were only notifications."""
    if body.lstrip()[:1] != b"[":
        return await _answer_one(node, body)
    try:
        batch = _raw_list.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return _parse_error(str(error))
    if not 1 <= len(batch) <= BATCH_MAX:
        return _failed(
            protocol_error(
                INVALID_REQUEST,
                "INVALID_REQUEST",
                f"a batch has 1 to {BATCH_MAX} requests, this one {len(batch)}",
                "split the batch",
            ),
            None,
        )
    answers = [await _answer_one(node, bytes(item)) for item in batch]
    shown = [item for item in answers if item]
    return b"[" + b",".join(shown) + b"]" if shown else b""


def batch_size(body: bytes) -> int:
    """Estimate how many requests a body holds, for rate limits; at least 1."""
    return min(BATCH_MAX, max(1, body.count(b'"method"')))


async def _answer_one(node: NodeFacade, body: bytes) -> bytes:
    try:
        request = _requests.decode(body)
    except (UnicodeDecodeError, RecursionError) as error:
        return _parse_error(str(error))
    except msgspec.ValidationError as error:
        return _failed(
            protocol_error(
                INVALID_REQUEST,
                "INVALID_REQUEST",
                f"not a request: {error}",
                'send {"jsonrpc": "2.0", "id": 1, "method": "status", "params": {}}',
            ),
            None,
        )
    except msgspec.MsgspecError as error:
        return _parse_error(str(error))
    identity: Id = None if isinstance(request.id, msgspec.UnsetType) else request.id
    method = METHODS.get(request.method)
    if method is None:
        names = ", ".join(sorted(METHODS))
        reply = protocol_error(
            METHOD_NOT_FOUND,
            "METHOD_NOT_FOUND",
            f"there is no method {request.method[:40]!r}",
            f"methods are {names}",
        )
        return _failed(reply, identity)
    try:
        result = await run_method(node, method, _params(method, request.params), strict=True)
    except AndonError as error:
        return _failed(describe(error), identity)
    if isinstance(request.id, msgspec.UnsetType):
        return b""
    return _encoder.encode(_Result(result=result, id=identity))


async def run_method(node: NodeFacade, method: Method, document: bytes, *, strict: bool) -> Reply:
    """Run a method; whatever goes wrong comes out as a typed error.

    Raises:
        AndonError: the method's own, or INTERNAL for a bug, which is logged here.
    """
    try:
        return await method.run(node, document, strict)
    except (AndonError, ConnectionError):
        raise
    except Exception:
        log.exception("rpc.bug", method=method.name)
        raise Unavailable(
            Code.INTERNAL, "the node failed to answer", hint="the node's log has the cause"
        ) from None


def _params(method: Method, raw: msgspec.Raw) -> bytes:
    data = bytes(raw)
    if data.lstrip()[:1] != b"[":
        return data
    try:
        values = _raw_list.decode(data)
    except msgspec.MsgspecError as error:
        raise InvalidInput(Code.BAD_REQUEST, f"parameters: {error}") from None
    names = method.params.__struct_fields__
    if len(values) > len(names):
        raise InvalidInput(Code.BAD_REQUEST, f"{method.name} takes at most {len(names)} parameters")
    return _encoder.encode(dict(zip(names, values, strict=False)))


def _failed(reply: ErrorReply, identity: Id) -> bytes:
    return _encoder.encode(_Error(error=reply, id=identity))


def _parse_error(reason: str) -> bytes:
    return _failed(
        protocol_error(PARSE_ERROR, "PARSE_ERROR", f"not JSON: {reason}", "send a JSON object"),
        None,
    )

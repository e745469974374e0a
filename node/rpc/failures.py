"""Errors as every face shows them: typed, with code, fault and hint, never a traceback."""

from __future__ import annotations

import msgspec

from andon.core.errors import AndonError, Code, Fault
from andon.core.json_value import Json, to_hex
from andon.core.rpc_schema import ErrorReply, Reply

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
DOC_BASE = "docs/errors.md#"

_STATUS = {
    Code.NOT_FOUND: 404,
    Code.HEIGHT_UNKNOWN: 404,
    Code.NO_CONTRACT: 404,
    Code.NO_METHOD: 404,
    Code.CURSOR_EXPIRED: 410,
    Code.CONFIRMATION_TIMEOUT: 504,
    Code.RATE_LIMITED: 429,
    Code.TOO_LARGE: 413,
    Code.BAD_SIGNATURE: 403,
    Code.NOT_A_MEMBER: 403,
    Code.ROLE_DENIED: 403,
    Code.UNAUTHENTICATED: 401,
    Code.FOREIGN_SITE: 403,
    Code.DUPLICATE: 409,
}
_BY_FAULT = {
    Fault.PEER: 400,
    Fault.CALLER: 500,
    Fault.ENVIRONMENT: 503,
    Fault.DISK: 500,
}


def describe(error: AndonError) -> ErrorReply:
    """Render an error; `data` has fault, hint, doc and the error's own fields."""
    data: dict[str, Json] = {name: _plain(value) for name, value in error.fields.items()}
    if "transaction_id" in data:
        data["hash"] = data.pop("transaction_id")
    data["fault"] = error.fault.value
    data["hint"] = error.hint
    data["doc"] = DOC_BASE + error.code.name.lower()
    return ErrorReply(
        code=error.code.value,
        name=error.code.name,
        message=error.message,
        data=msgspec.Raw(msgspec.json.encode(data)),
    )


def http_status(error: AndonError) -> int:
    """HTTP status of an error."""
    return _STATUS.get(error.code, _BY_FAULT[error.fault])


def protocol_error(code: int, name: str, message: str, hint: str) -> ErrorReply:
    """Build an error of JSON-RPC itself."""
    data = {"fault": Fault.PEER.value, "hint": hint}
    return ErrorReply(
        code=code, name=name, message=message, data=msgspec.Raw(msgspec.json.encode(data))
    )


class Problem(Reply, frozen=True):
    """A typed error over REST (RFC 9457): `title` is the code's name, `data` has fault and hint."""

    type: str
    title: str
    status: int
    detail: str
    code: int
    data: msgspec.Raw


def problem(reply: ErrorReply, status: int) -> bytes:
    """Render as application/problem+json."""
    document = Problem(
        type=DOC_BASE + reply.name.lower(),
        title=reply.name,
        status=status,
        detail=reply.message,
        code=reply.code,
        data=reply.data,
    )
    return msgspec.json.encode(document)


def _plain(value: object) -> Json:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, bytes):
        return to_hex(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value)

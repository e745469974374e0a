"""REST twins of the method table under /v1, with problem+json errors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

from andon.core.errors import Code, InvalidInput
from andon.core.json_text import read_json
from node.facade import NodeFacade
from node.rpc.jsonrpc import run_method
from node.rpc.methods import TABLE, Method
from node.rpc.route import JSON, Answer, Content, Handler, Operation, Parameter, Route

_encoder = msgspec.json.Encoder()
IMMUTABLE = "public, max-age=31536000, immutable"
REF = "#/components/schemas/{name}"


def routes(node: NodeFacade, read_body: Callable[[web.Request], Awaitable[bytes]]) -> list[Route]:
    """Build one route a method."""
    return [
        Route(
            method.verb, "/v1" + method.path, _handler(node, method, read_body), _operation(method)
        )
        for method in TABLE
    ]


def _operation(method: Method) -> Operation:
    is_get = method.verb == "GET"
    return Operation(
        name=method.name,
        summary=(method.params.__doc__ or "").splitlines()[0],
        answers=(Answer(method.result.__name__, Content(JSON, method.result)),),
        parameters=_parameters(method) if is_get else (),
        body=None if is_get else Content(JSON, method.params),
    )


def _parameters(method: Method) -> tuple[Parameter, ...]:
    _, components = msgspec.json.schema_components([method.params], ref_template=REF)
    properties = components[method.params.__name__].get("properties", {})
    return tuple(Parameter(name=name, schema=schema) for name, schema in properties.items())


def _handler(
    node: NodeFacade, method: Method, read_body: Callable[[web.Request], Awaitable[bytes]]
) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        if method.verb == "GET":
            document, strict = query_document(method, request), False
        else:
            document, strict = await read_body(request) or b"{}", True
        reply = await run_method(node, method, document, strict=strict)
        headers = {"Cache-Control": IMMUTABLE if method.is_immutable else "no-store"}
        return web.Response(
            body=_encoder.encode(reply), content_type="application/json", headers=headers
        )

    return handle


def query_document(method: Method, request: web.Request) -> bytes:
    """Gather path and query parameters into the JSON object that the method takes.

    Raises:
        InvalidInput: BAD_REQUEST for a parameter given twice.
    """
    given: dict[str, str] = dict(request.match_info)
    for name, value in request.query.items():
        if name in given:
            raise InvalidInput(Code.BAD_REQUEST, f"parameter {name[:40]!r} is given twice")
        given[name] = value
    raw_fields = {
        field.name for field in msgspec.structs.fields(method.params) if "Raw" in str(field.type)
    }
    return _encoder.encode(
        {name: _raw(text) if name in raw_fields else text for name, text in given.items()}
    )


def _raw(text: str) -> msgspec.Raw | str:
    # ?key=M1 means the text M1; ?key=7 and ?key={"$bytes":..} are JSON.
    try:
        read_json(text.encode())
    except InvalidInput:
        return text
    return msgspec.Raw(text.encode())

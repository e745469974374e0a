"""The OpenAPI 3.1 document of the REST face, made from the method table."""

from __future__ import annotations

import re
from functools import cache

import msgspec

from andon.core.rpc_schema import EventReply, HealthReply
from node.rpc.failures import Problem
from node.rpc.methods import TABLE, Method

REF = "#/components/schemas/{name}"
Node = dict[str, object]
FAILURE: Node = {
    "description": "a typed error",
    "content": {"application/problem+json": {"schema": {"$ref": REF.format(name="Problem")}}},
}


@cache
def openapi_document() -> bytes:
    """Render the document once."""
    kinds = {kind for method in TABLE for kind in (method.params, method.result)}
    ordered = sorted(kinds, key=lambda kind: kind.__name__)
    _, components = msgspec.json.schema_components(
        [*ordered, Problem, EventReply, HealthReply], ref_template=REF
    )
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "Andon node",
            "version": "1",
            "description": "REST twins of the JSON-RPC methods at /rpc. Integers beyond 2**53 are "
            "decimal text, bytes are 0x hex, open values are tagged JSON.",
        },
        "paths": {**_paths(), **_other_paths()},
        "components": {
            "schemas": components,
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer"},
                "password": {"type": "http", "scheme": "basic"},
            },
        },
        # Only nodes with a list of keys or a client CA ask for one.
        "security": [{}, {"key": []}, {"password": []}],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=1)


def _paths() -> Node:
    paths: dict[str, Node] = {}
    for method in TABLE:
        paths.setdefault("/v1" + method.path, {})[method.verb.lower()] = _operation(method)
    return dict(paths)


def _operation(method: Method) -> Node:
    summary = (method.params.__doc__ or "").splitlines()[0]
    operation: Node = {
        "operationId": method.name,
        "summary": summary,
        "responses": {
            "200": _content("application/json", method.result.__name__),
            "default": FAILURE,
        },
    }
    if method.verb == "GET":
        operation["parameters"] = _parameters(method)
    else:
        operation["requestBody"] = {
            "required": True,
            **_content("application/json", method.params.__name__, description=None),
        }
    return operation


def _content(media: str, schema: str, description: str | None = "") -> Node:
    content: Node = {"content": {media: {"schema": {"$ref": REF.format(name=schema)}}}}
    if description is not None:
        content["description"] = description or schema
    return content


def _parameters(method: Method) -> list[Node]:
    in_path = re.findall(r"\{(\w+)\}", method.path)
    _, components = msgspec.json.schema_components([method.params], ref_template=REF)
    properties = components[method.params.__name__].get("properties", {})
    return [
        {
            "name": name,
            "in": "path" if name in in_path else "query",
            "required": name in in_path,
            "schema": schema,
        }
        for name, schema in properties.items()
    ]


def _other_paths() -> Node:
    plain = {
        "200": {
            "description": "Prometheus exposition",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        },
        "default": FAILURE,
    }
    stream = {
        "operationId": "event_stream",
        "summary": "Server-sent events after a cursor; resume with Last-Event-ID.",
        "parameters": [
            {"name": name, "in": "query", "required": False, "schema": {"type": "string"}}
            for name in ("cursor", "contract", "name")
        ],
        "responses": {
            "200": {
                "description": "stream of EventReply",
                "content": {"text/event-stream": {"schema": {"type": "string"}}},
            },
            "410": FAILURE,
            "default": FAILURE,
        },
    }
    socket = {
        "operationId": "websocket",
        "summary": "WebSocket: JSON-RPC requests, and subscribe and unsubscribe for events.",
        "responses": {"101": {"description": "switching protocols"}, "default": FAILURE},
    }
    return {
        "/v1/events": {"get": stream},
        "/v1/ws": {"get": socket},
        "/metrics": {"get": {"operationId": "metrics", "responses": plain}},
        "/health/{probe}": {
            "get": {
                "operationId": "health",
                "parameters": [
                    {
                        "name": "probe",
                        "in": "path",
                        "required": True,
                        "schema": {"enum": ["live", "ready", "startup"]},
                    }
                ],
                "responses": {
                    "200": _content("application/json", "HealthReply"),
                    "503": _content("application/json", "HealthReply"),
                    "default": FAILURE,
                },
            }
        },
    }

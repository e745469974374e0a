"""One route of the RPC port with what the OpenAPI document says of it, so that neither lacks one.

Every face gives its routes as this record; the server serves them and `node.rpc.openapi` describes
them. A route without an operation is a page for people.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import web

from node.rpc.failures import Problem

JSON = "application/json"
PROBLEM = "application/problem+json"
OCTETS = "application/octet-stream"
EVENT_STREAM = "text/event-stream"

Node = dict[str, object]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
TEXT: Node = {"type": "string"}
WHOLE: Node = {"type": "integer", "minimum": 0}


@dataclass(frozen=True, slots=True)
class Content:
    """A body: `kind` is a type that msgspec describes; bytes are taken and given as they are."""

    media: str
    kind: object = object
    is_required: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """What comes when nothing is wrong; without content there is no body."""

    text: str
    content: Content | None = None
    other: Content | None = None
    """What comes instead for who accepts it."""
    status: int = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A parameter of the query, of a header or of the path."""

    name: str
    place: str = "query"
    text: str = ""
    schema: Mapping[str, object] = field(default_factory=lambda: TEXT)
    is_required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What a client has to know of a route; parameters of the path come from the path."""

    name: str
    summary: str
    answers: tuple[Answer, ...]
    parameters: tuple[Parameter, ...] = ()
    body: Content | None = None
    failure: Content = Content(PROBLEM, Problem)
    """How errors come."""


@dataclass(frozen=True, slots=True)
class Route:
    """A verb at a path, `{name}` for its fields; `patterns` say what a field may be."""

    verb: str
    path: str
    handler: Handler
    operation: Operation | None
    patterns: Mapping[str, str] = field(default_factory=dict)

    def definition(self) -> web.RouteDef:
        """As the server's router takes it."""
        path = self.path
        for name, pattern in self.patterns.items():
            path = path.replace("{" + name + "}", "{" + name + ":" + pattern + "}")
        return web.route(self.verb, path, self.handler)

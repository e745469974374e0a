"""The OpenAPI 3.1 document of a node, made from the routes that it serves."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import msgspec

from andon.core.rpc_schema import EventReply, HealthReply
from node.rpc.failures import Problem
from node.rpc.methods import TABLE
from node.rpc.route import TEXT, Answer, Content, Node, Operation, Parameter, Route

REF = "#/components/schemas/{name}"
ALWAYS = (Problem, EventReply, HealthReply, *(method.params for method in TABLE))
"""Types that clients meet beside bodies: in streams, probes, and as parameters of methods."""
BINARY: Node = {"type": "string", "format": "binary"}


def openapi_document(routes: Iterable[Route]) -> bytes:
    """Render the document of some routes; pages for people are left out."""
    described = [(route, route.operation) for route in routes if route.operation is not None]
    schemas = _Schemas(operation for _, operation in described)
    paths: dict[str, Node] = {}
    for route, operation in described:
        paths.setdefault(route.path, {})[route.verb.lower()] = _operation(route, operation, schemas)
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "Andon node",
            "version": "1",
            "description": "REST twins of the JSON-RPC methods at /rpc, and what has no twin; "
            "integers beyond 2**53 are decimal text, bytes 0x hex, open values tagged JSON.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer"},
                "password": {"type": "http", "scheme": "basic"},
            },
        },
        # Only nodes with a list of keys or a client CA ask for one.
        "security": [{}, {"key": []}, {"password": []}],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=1)


class _Schemas:
    """The schema of every body, those of records by name among the components."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        kinds: list[object] = list(ALWAYS)
        for operation in operations:
            kinds += [content.kind for content in _contents(operation)]
        # A type may be unhashable (a parametrised alias of one that is not), so no set.
        self._kinds = [kind for at, kind in enumerate(kinds) if kind not in kinds[:at]]
        schemas, components = msgspec.json.schema_components(
            [kind for kind in self._kinds if kind not in (bytes, object)], ref_template=REF
        )
        rest = iter(schemas)
        plain: dict[object, Node] = {bytes: BINARY, object: {}}
        self._schemas = [plain[kind] if kind in plain else next(rest) for kind in self._kinds]
        self.components = dict(sorted(components.items()))

    def of(self, content: Content) -> Node:
        """Schema of a body."""
        return self._schemas[self._kinds.index(content.kind)]


def _contents(operation: Operation) -> Iterator[Content]:
    for answer in operation.answers:
        yield from _contents_of(answer)
    if operation.body is not None:
        yield operation.body
    yield operation.failure


def _contents_of(answer: Answer) -> Iterator[Content]:
    yield from (content for content in (answer.content, answer.other) if content is not None)


def _operation(route: Route, operation: Operation, schemas: _Schemas) -> Node:
    found: Node = {"operationId": operation.name, "summary": operation.summary}
    parameters = _parameters(route, operation)
    if parameters:
        found["parameters"] = parameters
    if operation.body is not None:
        found["requestBody"] = {
            "required": operation.body.is_required,
            "content": {operation.body.media: {"schema": schemas.of(operation.body)}},
        }
    failure = operation.failure
    found["responses"] = {
        **{str(answer.status): _answer(answer, schemas) for answer in operation.answers},
        "default": {
            "description": "a typed error",
            "content": {failure.media: {"schema": schemas.of(failure)}},
        },
    }
    return found


def _answer(answer: Answer, schemas: _Schemas) -> Node:
    found: Node = {"description": answer.text}
    contents = {item.media: {"schema": schemas.of(item)} for item in _contents_of(answer)}
    if contents:
        found["content"] = contents
    return found


def _parameters(route: Route, operation: Operation) -> list[Node]:
    given = {parameter.name: parameter for parameter in operation.parameters}
    in_path = re.findall(r"\{(\w+)\}", route.path)
    found = [
        _parameter(given.get(name) or Parameter(name=name), "path", route.patterns.get(name))
        for name in in_path
    ]
    return found + [
        _parameter(parameter, parameter.place, None)
        for parameter in operation.parameters
        if parameter.name not in in_path
    ]


def _parameter(parameter: Parameter, place: str, pattern: str | None) -> Node:
    schema = dict(parameter.schema)
    if pattern is not None and schema == TEXT:
        schema["pattern"] = f"^{pattern}$"
    found: Node = {
        "name": parameter.name,
        "in": place,
        "required": place == "path" or parameter.is_required,
        "schema": schema,
    }
    if parameter.text:
        found["description"] = parameter.text
    return found

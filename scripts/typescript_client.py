"""Write the TypeScript client from the OpenAPI document of the node.

`python -m scripts.typescript_client` writes `andon/client/typescript/`: an ES module that runs in
Node and browsers as it is, and its declarations for TypeScript. No build step, no dependency.
What does not follow from the document stands in `scripts/typescript/`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import msgspec

from node.rpc.bodies import read_body
from node.rpc.openapi import openapi_document
from node.rpc.rest import routes
from node.testing.memory_node import MemoryNode

ROOT = Path(__file__).resolve().parent.parent
TEMPLATES = ROOT / "scripts" / "typescript"
FOLDER = "andon/client/typescript"
REMAKE = "python -m scripts.typescript_client"
Node = dict[str, object]


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """A parameter of an operation."""

    name: str
    place: str = msgspec.field(name="in")
    required: bool
    schema: Node


class Media(msgspec.Struct, frozen=True):
    """A body of one media type."""

    schema: Node = {}


class Body(msgspec.Struct, frozen=True):
    """A request or response."""

    content: dict[str, Media] = {}


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One verb at one path."""

    name: str = msgspec.field(name="operationId")
    summary: str = ""
    parameters: list[Parameter] = []
    body: Body | None = msgspec.field(name="requestBody", default=None)
    responses: dict[str, Body] = {}


class Components(msgspec.Struct, frozen=True):
    """Named schemas."""

    schemas: dict[str, Node]


class Document(msgspec.Struct, frozen=True):
    """What is read of an OpenAPI document."""

    paths: dict[str, dict[str, Operation]]
    components: Components


def main() -> int:
    """Write the files."""
    for name, text in files().items():
        path = ROOT / FOLDER / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(f"typescript: wrote {FOLDER}/{name}")
    return 0


def files() -> dict[str, str]:
    """Text of every generated file by name."""
    # The methods of the table alone: the runtime has its own form of all others, or none.
    document = msgspec.json.decode(openapi_document(routes(MemoryNode(), read_body)), type=Document)
    operations = [
        (verb.upper(), path, operation)
        for path, verbs in document.paths.items()
        for verb, operation in verbs.items()
    ]
    head = f"// Written by `{REMAKE}` from the node's OpenAPI document. Do not edit it.\n"
    return {
        "andon.js": head + _template("andon.js").replace("  // METHODS", _methods(operations)),
        "andon.d.ts": head + _declarations(document.components.schemas, operations),
        "package.json": _template("package.json"),
    }


def _methods(operations: list[tuple[str, str, Operation]]) -> str:
    lines = []
    for verb, path, operation in operations:
        lines.append(f"  /** {operation.summary} */")
        lines.append(
            f"  {_camel(operation.name)}(params = {{}}, options = {{}}) "
            f'{{ return this.ask("{verb}", "{path}", params, options); }}\n'
        )
    return "\n".join(lines)


def _declarations(schemas: dict[str, Node], operations: list[tuple[str, str, Operation]]) -> str:
    named = [f"export interface {name} {_object(item)}\n" for name, item in sorted(schemas.items())]
    lines = []
    for _, _, operation in operations:
        result = operation.responses["200"].content["application/json"].schema
        lines.append(f"  /** {operation.summary} */")
        lines.append(
            f"  {_camel(operation.name)}({_given(operation)}, options?: AskOptions): "
            f"Promise<{_type(result)}>;"
        )
    text = _template("andon.d.ts").replace("// SCHEMAS\n", "\n".join(named))
    return text.replace("  // METHODS", "\n".join(lines))


def _template(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _given(operation: Operation) -> str:
    if operation.body is not None:
        return f"params: {_type(operation.body.content['application/json'].schema)}"
    fields = [
        f"{item.name}{'' if item.required else '?'}: {_type(item.schema)}"
        for item in operation.parameters
    ]
    is_needed = any(item.required for item in operation.parameters)
    return f"params{'' if is_needed else '?'}: {{ {'; '.join(fields)} }}"


def _object(schema: Node) -> str:
    properties, required = schema.get("properties"), schema.get("required")
    needed = required if isinstance(required, list) else []
    lines = ["{"]
    for name, item in (properties if isinstance(properties, dict) else {}).items():
        mark = "" if name in needed else "?"
        lines.append(f"  {name}{mark}: {_type(item)};")
    return "\n".join([*lines, "}"])


def _type(schema: Node) -> str:
    """A schema as a TypeScript type; what it does not say is `unknown`."""
    reference, choices, values = schema.get("$ref"), schema.get("anyOf"), schema.get("enum")
    if isinstance(reference, str):
        return reference.rpartition("/")[2]
    if isinstance(choices, list):
        return " | ".join(dict.fromkeys(_type(item) for item in choices))
    if isinstance(values, list):
        return " | ".join(msgspec.json.encode(value).decode() for value in values)
    kind, items = schema.get("type"), schema.get("items")
    if kind == "array" and isinstance(items, dict):
        return f"Array<{_type(items)}>"
    names = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean"}
    return "null" if kind == "null" else names.get(str(kind), "unknown")


def _camel(name: str) -> str:
    name = "events_page" if name == "events" else name  # `events` is the endless stream
    return re.sub(r"_(\w)", lambda match: match[1].upper(), name)


if __name__ == "__main__":
    sys.exit(main())

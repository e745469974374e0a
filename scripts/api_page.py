"""Write docs/api.md from the method table of the node's RPC.

`python -m scripts.api_page` writes the page; `make docs` refuses a page that is not what this would
write. Field types come from the JSON schema of the very structs that the server decodes with.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from andon.core.rpc_schema import ErrorReply, EventReply, HealthReply
from node.rpc.methods import TABLE, Method

ROOT = Path(__file__).resolve().parent.parent
PAGE = "docs/api.md"
REMAKE = "python -m scripts.api_page"
Node = dict[str, object]
# Results of a method stand in the method's section, whoever else contains them.
SECTIONS = {method.result.__name__: method.name for method in TABLE}

HEAD = f"""# RPC

Every node serves one table of methods through these faces on its RPC port.

- **JSON-RPC 2.0** at `POST /rpc`, for example
  `{{"jsonrpc": "2.0", "id": 1, "method": "status", "params": {{}}}}`. Several requests may stand in
  one list.
- **REST** under `/v1`, described by `/openapi.json`. Parameters are in the path, the query or a
  JSON body; errors are `application/problem+json`. The document also has all other paths that the
  port serves (blobs, batches, private payloads, EPCIS, streams, probes), save the explorer's pages.

Heights, times and gas are decimal text, because JSON has no 64-bit integers. Bytes are hex with
`0x`. Values of contracts are JSON; what JSON does not have is tagged.

Errors have a number, a name, a message and `data` with a hint; see [errors](errors.md). An answer
to `submit` always has the hash, also when the waiting time is over.

Other paths: `GET /v1/events` streams events (server-sent events; the id of each is its cursor, and
`Last-Event-ID` goes on after it; a cursor older than the log gets 410 with the oldest that is left,
a reader that is too slow `SLOW_READER` with its cursor), `GET /v1/ws` is a WebSocket for the same
requests, with `subscribe` and `unsubscribe` for events, `PUT /v1/blob` takes a blob as bytes. One
above 48 MiB (4 GiB at most) goes in parts of 8 MiB at most: `PUT /v1/blob/{{digest}}?offset=N`
appends, `GET /v1/blob/{{digest}}/here` says where to go on after a break,
`POST /v1/blob/{{digest}}/complete` checks the whole, `GET /v1/blob/{{digest}}/bytes?offset=N`
gives a part. `/metrics` is for Prometheus, `/health/live`, `/health/ready` and `/health/startup`
are probes.

This page is written by `{REMAKE}`. Do not edit it.
"""


def main() -> int:
    """Write the page."""
    (ROOT / PAGE).write_text(render(), encoding="utf-8")
    print(f"api: wrote {PAGE}, {len(TABLE)} methods")
    return 0


def findings(root: Path) -> Iterator[str]:
    """What is wrong with the page, for `make docs`."""
    page = root / PAGE
    if not page.exists() or page.read_text(encoding="utf-8") != render():
        yield f"{PAGE}:1: not what the method table gives; run {REMAKE}"


def render() -> str:
    """The whole page."""
    kinds = [kind for method in TABLE for kind in (method.params, method.result)]
    kinds += [ErrorReply, EventReply, HealthReply]
    _, types = msgspec.json.schema_components(kinds, ref_template="{name}")
    own = {kind.__name__ for method in TABLE for kind in (method.params, method.result)}
    parts = [HEAD, "## Methods\n"]
    parts += [part for method in TABLE for part in method_parts(method, types)]
    parts.append("## Types\n")
    for name in sorted(set(types) - own):
        parts.append(f"### {name}\n\n{summary(types[name])}\n\n{result_table(types[name])}")
    return "\n".join(parts)


def method_parts(method: Method, types: dict[str, Node]) -> list[str]:
    """Section of one method."""
    params, result = types[method.params.__name__], types[method.result.__name__]
    given = f"Parameters:\n\n{fields_table(params)}" if params.get("properties") else ""
    return [
        f"### `{method.name}`\n",
        f"{summary(params)} REST: `{method.verb} /v1{method.path}`.\n"
        if given
        else f"{summary(result)} REST: `{method.verb} /v1{method.path}`. No parameters.\n",
        *([given] if given else []),
        f"Result:\n\n{result_table(result)}",
    ]


def summary(schema: Node) -> str:
    """First line of a struct's docstring."""
    return str(schema.get("description", "")).splitlines()[0]


def result_table(schema: Node) -> str:
    """Fields of an answer; all are always there unless marked."""
    lines = fields_table(schema).splitlines()
    cells = [line.split(" | ") for line in lines[2:]]
    rows = [
        f"{name} | {kind}{'' if default.startswith('required') else ', may be absent'} |"
        for name, kind, default in cells
    ]
    return "\n".join(["| Field | Type |", "|---|---|", *rows]) + "\n"


def fields_table(schema: Node) -> str:
    """Fields of a struct as a table."""
    properties, required = schema.get("properties"), schema.get("required", [])
    assert isinstance(properties, dict)
    assert isinstance(required, list)
    lines = ["| Field | Type | Default |", "|---|---|---|"]
    for name, field in properties.items():
        default = "required" if name in required else "none"
        if "default" in field:
            default = f"`{msgspec.json.encode(field['default']).decode()}`"
        lines.append(f"| `{name}` | {type_text(field)} | {default} |")
    return "\n".join(lines) + "\n"


def type_text(field: object) -> str:
    """Type of a field in words."""
    assert isinstance(field, dict)
    if "$ref" in field:
        name = str(field["$ref"])
        return f"[{name}](#{SECTIONS.get(name, name.lower())})"
    if "anyOf" in field:
        return " or ".join(type_text(item) for item in field["anyOf"])
    if "enum" in field:
        return ", ".join(f"`{msgspec.json.encode(value).decode()}`" for value in field["enum"])
    kind = str(field.get("type", "any value"))
    if kind == "array":
        return f"list of {type_text(field.get('items', {}))}"
    if "description" in field:
        return str(field["description"])
    limits = [
        f"{word} {field[key]}"
        for key, word in (("minimum", "at least"), ("maximum", "at most"))
        if key in field
    ]
    words = {"string": "text", "boolean": "true or false", "null": "null", "object": "map"}
    return ", ".join([words.get(kind, kind), *limits])


if __name__ == "__main__":
    sys.exit(main())

"""Pages of contracts: list, interface, source, read-only calls."""

from __future__ import annotations

import json
from collections.abc import Mapping

from andon.core.codec import Value, decode_value, encode_arguments
from andon.core.errors import AndonError, Code, InvalidInput
from andon.core.json_value import from_hex, value_from_json
from andon.core.state_key import state_key
from contracts_py.engine import Engine
from node.explorer.html import Child, Markup, code, link, place, section, table, tag
from node.explorer.view import (
    TRANSACTION_HEAD,
    Desk,
    Page,
    transaction_cells,
    value_block,
    value_facts,
)

EVENT_ROWS = 20
CALL_ROWS = 20
ARGUMENT_CHARACTERS_MAX = 10_000

_engine = Engine()


async def contracts(desk: Desk) -> Page:
    """All contracts, those of the genesis first."""
    rows: list[list[Child]] = []
    for name, meta in (await desk.contracts()).items():
        source = meta.get("digest")
        rows.append(
            [
                link(place("contract", name), name),
                str(meta.get("version", "")),
                str(meta.get("organisation", "")) or "genesis",
                str(meta.get("height", "")),
                code(source.hex()[:16]) if isinstance(source, bytes) else "",
            ]
        )
    return Page("Contracts", table(["contract", "#version", "by", "#height", "source"], rows))


async def contract(desk: Desk, name: str, query: Mapping[str, str]) -> Page:
    """One contract: interface, views that can be called here, source, recent calls, events."""
    source = (await desk.node.state(state_key("contracts", "source", name))).value
    meta = (await desk.node.state(state_key("contracts", "meta", name))).value
    if source is None:
        raise InvalidInput(Code.NOT_FOUND, f"there is no contract {name[:40]!r}")
    text = decode_value(source)
    raw = text if isinstance(text, bytes) else str(text).encode()
    methods = _methods(raw)
    calls = [row for row in desk.recent.transactions if row.call.startswith(name + ".")]
    happened: list[list[Child]] = [
        [link(f"/tx/{row.transaction_id.hex()}", row.height), row.event.name]
        for row in desk.recent.events
        if row.event.contract == name
    ]
    views = [_form(name, item, query) for item in methods if item["kind"] == "view"]
    body: list[Child] = [
        await _answer(desk, name, methods, query) if "method" in query else None,
        value_facts(meta) if meta is not None else None,
        section("Methods", _method_table(methods)),
        section("Read", views) if views else None,
        section("Source", tag("pre", raw.decode("utf-8", "replace"), class_="source")),
        section(
            "Recent calls",
            table(TRANSACTION_HEAD, [transaction_cells(row) for row in calls[:CALL_ROWS]]),
        ),
        section("Recent events", table(["#height", "event"], happened[:EVENT_ROWS])),
    ]
    return Page(f"Contract {name}", body)


def _methods(source: bytes) -> list[dict[str, Value]]:
    """Callable methods as the engine describes them; none for a source that it refuses now."""
    try:
        listed = _engine.check(source).abi()["methods"]
    except AndonError:
        return []
    return [_text_map(item) for item in listed] if isinstance(listed, list) else []


def _text_map(value: Value) -> dict[str, Value]:
    return {str(name): item for name, item in value.items()} if isinstance(value, dict) else {}


def _parameters(method: Mapping[str, Value]) -> list[dict[str, Value]]:
    listed = method.get("parameters")
    return [_text_map(item) for item in listed] if isinstance(listed, list) else []


def _method_table(methods: list[dict[str, Value]]) -> Markup:
    rows: list[list[Child]] = []
    for method in methods:
        roles = method.get("roles")
        given = ", ".join(f"{p['name']!s}: {p['type']!s}" for p in _parameters(method))
        rows.append(
            [
                str(method["name"]),
                str(method["kind"]),
                ", ".join(map(str, roles)) if isinstance(roles, list | tuple) else "",
                code(f"({given}) -> {method.get('returns')!s}"),
            ]
        )
    return table(["method", "kind", "roles", "signature"], rows)


def _form(name: str, method: Mapping[str, Value], query: Mapping[str, str]) -> Markup:
    chosen = query.get("method") == method["name"]
    fields: list[Child] = []
    for parameter in _parameters(method):
        label = str(parameter["name"])
        value = query.get("a." + label, "") if chosen else ""
        box = tag("input", type="text", name="a." + label, value=value)
        fields.append(tag("label", f"{label} ({parameter['type']!s}) ", box))
    return tag(
        "form",
        tag("input", type="hidden", name="method", value=str(method["name"])),
        fields,
        " ",
        tag("button", str(method["name"])),
        action=place("contract", name),
        class_="call",
    )


async def _answer(
    desk: Desk, name: str, methods: list[dict[str, Value]], query: Mapping[str, str]
) -> Markup:
    method = query["method"]
    if method not in [item["name"] for item in methods if item["kind"] == "view"]:
        raise InvalidInput(Code.NO_METHOD, f"{name}.{method[:40]} is no view")
    arguments = {
        field.removeprefix("a."): argument(text)
        for field, text in query.items()
        if field.startswith("a.") and text
    }
    outcome = await desk.node.call(name, method, encode_arguments(arguments), None)
    if outcome.failure is not None:
        shown: Child = tag("p", f"{outcome.failure.code}: {outcome.failure.message}", class_="bad")
    else:
        shown = value_block(outcome.result)
    return section(f"{name}.{method} at height {outcome.height}", shown)


def argument(text: str) -> Value:
    """Read what somebody typed: 0x hex, JSON, or else plain text.

    Raises:
        InvalidInput: TOO_LARGE.
    """
    if len(text) > ARGUMENT_CHARACTERS_MAX:
        raise InvalidInput(Code.TOO_LARGE, "the argument is too long for a form")
    if text.startswith("0x"):
        return from_hex(text)
    try:
        return value_from_json(json.loads(text))
    except (ValueError, RecursionError):
        return text

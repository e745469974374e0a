"""Pages of the supply chain: lots and serial numbers, their genealogy, recalls, suspicions."""

from __future__ import annotations

import re
from collections.abc import Mapping

from andon.core.codec import Value, decode_value, encode_arguments
from andon.core.errors import AndonError, Code, InvalidInput
from andon.core.state_key import state_key, state_prefix
from node.explorer.charts import Box, graph
from node.explorer.html import Child, Markup, code, facts, link, place, section, table, tag
from node.explorer.view import Desk, Page, plain, texts, time_text

SUPPLY, GENEALOGY, RECALL = "supply", "genealogy", "recall"
ITEMS_ON_PAGE = 50
RECALLS_MAX = 100
EVENTS_SHOWN = 50
TIME_MS_END = 253_402_300_800_000
"""The year 10,000, beyond which Python names no moments."""

ID_CHARACTERS_MAX = 128
KEYS = {8: "01", 12: "01", 13: "01", 14: "01", 18: "00"}
"""What a bare number of so many digits is: a GTIN (padded to 14) or an SSCC."""

_CURSOR = re.compile(r"([0-9a-f]{2}){1,480}\Z", re.ASCII)


async def lots(desk: Desk, query: Mapping[str, str]) -> Page:
    """Items by id, and recalls."""
    prefix = state_prefix(SUPPLY, "items")
    given = query.get("after", "")
    after = prefix + bytes.fromhex(given) if _CURSOR.match(given) else None
    found = await desk.node.entries(prefix, after, ITEMS_ON_PAGE)
    rows: list[list[Child]] = []
    for key, raw in found:
        name, item = decode_value(key[len(prefix) :]), texts(decode_value(raw))
        if isinstance(name, str) and item:
            rows.append([link(place("lot", name), name), *await _item_cells(desk, name, item)])
    more = None
    if len(found) == ITEMS_ON_PAGE:
        more = link(f"/lots?after={found[-1][0][len(prefix) :].hex()}", "more")
    head = ["item", "maker", "at", "place", "step", "state", "#events"]
    body: list[Child] = [
        section("Recalls", await _recalls(desk)),
        section("Items", table(head, rows), more),
    ]
    return Page("Lots and items", body)


async def _item_cells(desk: Desk, name: str, item: dict[str, Value]) -> list[Child]:
    recalled = (await desk.node.state(state_key(RECALL, "recalled", name))).value
    state: Child = plain(item.get("disposition"))
    if item.get("suspect"):
        state = tag("span", plain(item.get("suspect")), class_="bad")
    elif recalled is not None:
        number = plain(decode_value(recalled))
        state = link(f"/recall/{number}", f"recalled ({number})", class_="bad")
    return [
        plain(item.get("maker")),
        plain(item.get("org")),
        plain(item.get("place")),
        plain(item.get("step")),
        state,
        plain(item.get("events")),
    ]


async def _recalls(desk: Desk) -> Markup:
    prefix = state_prefix(RECALL, "recalls")
    rows: list[list[Child]] = []
    for key, raw in await desk.node.entries(prefix, None, RECALLS_MAX):
        number, one = decode_value(key[len(prefix) :]), texts(decode_value(raw))
        item, items, answered = plain(one.get("item")), one.get("items"), one.get("answered")
        rows.append(
            [
                link(f"/recall/{plain(number)}", plain(number)),
                link(place("lot", item), item),
                plain(one.get("reason")),
                plain(one.get("org")),
                len(items) if isinstance(items, list) else 0,
                len(answered) if isinstance(answered, dict) else 0,
            ]
        )
    return table(["#recall", "item", "reason", "by", "#items", "#answered"], rows[::-1])


async def lot(desk: Desk, name: str) -> Page:
    """One item: where it is, what it was made of, what was made of it, its events."""
    raw = None
    if len(name) <= ID_CHARACTERS_MAX:
        raw = (await desk.node.state(state_key(SUPPLY, "items", name))).value
    if raw is None:
        raise InvalidInput(Code.NOT_FOUND, f"no item {name[:40]!r} was ever seen")
    item = texts(decode_value(raw))
    suspect = plain(item.get("suspect"))
    stop = (await desk.node.state(state_key("quality", "lots", name))).value
    held = texts(decode_value(stop)) if stop is not None else {}
    recall = await _view(desk, RECALL, "recall_of", {"item": name})
    pairs: list[tuple[str, Child]] = [
        ("maker", plain(item.get("maker")) or "—"),
        ("with", plain(item.get("org"))),
        ("place", plain(item.get("place")) or "—"),
        ("step", plain(item.get("step")) or "—"),
        ("disposition", plain(item.get("disposition")) or "—"),
        ("held by", _item_link(plain(item.get("parent")))),
        ("last event", _moment(item.get("time_ms"))),
    ]
    alarms: list[Child] = []
    if suspect:
        alarms.append(tag("li", f"suspect: {suspect}, by event {plain(item.get('blamed'))}"))
    if held.get("status") in ("QUARANTINED", "SCRAPPED"):
        reason = plain(held.get("reason"))
        alarms.append(tag("li", f"{plain(held.get('status')).lower()}: {reason}"))
    if isinstance(recall, dict):
        alarms.append(tag("li", f"recalled: {plain(recall.get('reason'))}"))
    body: list[Child] = [
        tag("ul", alarms, class_="alarms", role="alert") if alarms else None,
        facts(pairs),
        section("Genealogy", await _genealogy(desk, name)),
        section("Where all that contains it is now", await _affected(desk, name)),
        section("Events", await _events(desk, name)),
    ]
    return Page(name, body, live=True)


async def recall(desk: Desk, number: str) -> Page:
    """One recall: every affected item, where it is and what its holder did."""
    raw = None
    if number.isdecimal() and len(number) < 19:
        raw = (await desk.node.state(state_key(RECALL, "recalls", int(number)))).value
    if raw is None:
        raise InvalidInput(Code.NOT_FOUND, f"there is no recall {number[:20]}")
    one = texts(decode_value(raw))
    answered, items = texts(one.get("answered")), one.get("items")
    rows: list[list[Child]] = []
    for name in items if isinstance(items, list) else []:
        if not isinstance(name, str):
            continue
        found = (await desk.node.state(state_key(SUPPLY, "items", name))).value
        item = texts(decode_value(found)) if found is not None else {}
        action = plain(answered.get(name)) if name in answered else ""
        rows.append(
            [
                _item_link(name),
                plain(item.get("org")),
                plain(item.get("place")),
                plain(item.get("disposition")),
                tag("span", action or "no answer yet", class_="ok" if action else "bad"),
            ]
        )
    pairs: list[tuple[str, Child]] = [
        ("item", _item_link(plain(one.get("item")))),
        ("reason", plain(one.get("reason"))),
        ("by", plain(one.get("org"))),
        ("announced at", link(f"/block/{plain(one.get('height'))}", plain(one.get("height")))),
        ("answered", f"{len(answered)} of {len(rows)}"),
        ("complete", "yes" if one.get("complete") is True else "no: the walk reached its bounds"),
    ]
    head = ["item", "holder", "place", "disposition", "answer"]
    return Page(f"Recall {number}", [facts(pairs), section("Items", table(head, rows))], live=True)


async def _genealogy(desk: Desk, name: str) -> Child:
    boxes: dict[str, Box] = {}
    edges: list[tuple[str, str]] = []
    is_complete = True
    for method in ("upstream", "downstream"):
        walked = texts(await _view(desk, GENEALOGY, method, {"item": name}))
        rows = walked.get("edges")
        is_complete = is_complete and walked.get("complete", True) is True
        for row in rows if isinstance(rows, list) else []:
            if isinstance(row, list) and len(row) == 5:
                source, target = plain(row[0]), plain(row[1])
                edges.append((source, target))
                for end in (source, target):
                    boxes[end] = Box(end, place("lot", end), "here" if end == name else "")
    if not edges:
        return tag("p", "Nothing is recorded of what it was made of.", class_="muted")
    note = None if is_complete else tag("p", "The walk reached its bounds.", class_="muted")
    return [graph(boxes, edges, f"genealogy of {name}"), note]


async def _affected(desk: Desk, name: str) -> Markup:
    found = texts(await _view(desk, RECALL, "affected", {"item": name}))
    listed = found.get("items")
    rows: list[list[Child]] = []
    for row in listed if isinstance(listed, list) else []:
        one = texts(row)
        shipped = one.get("is_shipped") is True
        rows.append(
            [
                plain(one.get("depth")),
                _item_link(plain(one.get("item"))),
                plain(one.get("org")),
                plain(one.get("place")),
                tag("span", "shipped" if shipped else "here", class_="bad" if shipped else "ok"),
            ]
        )
    return table(["#steps", "item", "with", "place", "whether shipped"], rows)


async def _events(desk: Desk, name: str) -> Markup:
    arguments: dict[str, Value] = {"name": name, "after": 0, "count": EVENTS_SHOWN}
    listed = await _view(desk, SUPPLY, "events_of", arguments)
    rows: list[list[Child]] = []
    for event in listed if isinstance(listed, list) else []:
        one = texts(event)
        wrong = tag("span", "declared in error", class_="bad") if one.get("error") else ""
        rows.append(
            [
                _moment(one.get("time_ms")),
                plain(one.get("kind")),
                plain(one.get("action")) if one.get("action") is not None else "",
                plain(one.get("step")) if one.get("step") is not None else "",
                plain(one.get("org")),
                link(f"/block/{plain(one.get('height'))}", plain(one.get("height"))),
                wrong,
            ]
        )
    return table(["time", "event", "action", "step", "by", "#height", ""], rows[::-1])


async def _view(desk: Desk, contract: str, method: str, arguments: dict[str, Value]) -> Value:
    """Result of a view; None where the contract is not there or refuses."""
    try:
        answer = await desk.node.call(contract, method, encode_arguments(arguments), None)
    except AndonError:
        return None
    return decode_value(answer.result) if answer.ok else None


def _item_link(name: str) -> Child:
    return link(place("lot", name), code(name)) if name else "—"


def _moment(value: Value) -> Child:
    if not isinstance(value, int) or not 0 < value < TIME_MS_END:
        return "—"
    return time_text(value)


async def find_item(desk: Desk, text: str) -> str | None:
    """Path of the item that a search means: an id as recorded, or the first of a GTIN or SSCC."""
    if len(text) > ID_CHARACTERS_MAX:
        return None
    if (await desk.node.state(state_key(SUPPLY, "items", text))).value is not None:
        return place("lot", text)
    kind = KEYS.get(len(text)) if text.isascii() and text.isdecimal() else None
    if kind is None:
        return None
    start = f"{kind}/{text.rjust(14, '0') if kind == '01' else text}".encode()
    prefix = state_prefix(SUPPLY, "items")
    for length in range(len(start), ID_CHARACTERS_MAX + 1):
        # A key is encoded text: its length, then its bytes; so equal lengths stand together.
        size = bytes([0xA0 | length]) if length < 32 else bytes([0xD9, length])
        found = await desk.node.entries(prefix + size + start, None, 1)
        if found:
            name = decode_value(found[0][0][len(prefix) :])
            return place("lot", str(name))
    return None

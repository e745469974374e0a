"""Pages of models: the registry, a model's card, lineage, attestations and drift."""

from __future__ import annotations

import math
from collections.abc import Sequence

from andon.core.codec import Value, decode_value
from andon.core.errors import AndonError, Code, InvalidInput
from andon.core.model import ModelManifest
from andon.core.package import open_parts
from andon.core.state_key import state_key, state_prefix
from node.explorer.charts import Box, Series, graph, lines
from node.explorer.html import Child, Markup, code, facts, link, place, section, table, tag
from node.explorer.svg import Point
from node.explorer.view import ENTRIES_MAX, Desk, Model, Page, plain

PACKAGES_KEPT_MAX = 64
CARD_CHARACTERS_MAX = 20_000
BINS = 10
DRIFT_MIN = 40
"""Fewer predictions than this say nothing about drift."""

DRIFT_WARN, DRIFT_ALARM = 0.1, 0.25
"""The usual reading of the population stability index."""

ANCESTORS_MAX = 6

_packages: dict[bytes, tuple[ModelManifest, str]] = {}
"""Manifest and card by blob digest; content addressed, so never stale."""


async def models(desk: Desk) -> Page:
    """The registry: every model with its status and aliases."""
    aliases = await aliases_of(desk)
    rows: list[list[Child]] = []
    for identity, model in (await desk.models()).items():
        fields = model.fields
        rows.append(
            [
                link(f"/model/{identity.hex()}", model.name),
                ", ".join(name for name, target in aliases.items() if target == identity),
                str(fields.get("status", "")),
                str(fields.get("class", "")),
                str(fields.get("gas", "")),
                code(identity.hex()[:16]),
            ]
        )
    return Page("Models", table(["model", "aliases", "status", "class", "#gas", "id"], rows))


async def model(desk: Desk, identity: bytes) -> Page:
    """One model: registry entry, who attested, card, lineage, drift of its outputs."""
    known = await desk.models()
    entry = known.get(identity)
    if entry is None:
        raise InvalidInput(Code.NOT_FOUND, f"the registry has no model {identity.hex()[:16]}")
    aliases = await aliases_of(desk)
    pairs: list[tuple[str, Child]] = [
        ("id", code(identity.hex())),
        ("aliases", ", ".join(n for n, target in aliases.items() if target == identity) or "none"),
    ]
    for name, value in entry.fields.items():
        shown: Child = code(value.hex()) if isinstance(value, bytes) else plain(value)
        pairs.append((name.replace("_", " "), shown))
    package = await _package(desk, entry)
    body: list[Child] = [
        facts(pairs),
        section("Attestations", await _attestations(desk, identity)),
        section("Lineage", await _lineage(desk, entry, known)),
        section("Drift of outputs", _drift(desk, entry)),
        section("Card", tag("pre", package[1][:CARD_CHARACTERS_MAX], class_="card"))
        if package and package[1]
        else None,
    ]
    return Page(entry.name, body)


async def _package(desk: Desk, entry: Model) -> tuple[ModelManifest, str] | None:
    """Manifest and card out of the package, if this node has it."""
    blob = entry.fields.get("blob")
    if not isinstance(blob, bytes):
        return None
    if blob not in _packages:
        try:
            parts, manifest = open_parts(await desk.node.blob(blob))
        except AndonError:  # not fetched yet, or not a package: the page does without
            return None
        while len(_packages) >= PACKAGES_KEPT_MAX:
            del _packages[next(iter(_packages))]
        _packages[blob] = manifest, parts.card
    return _packages[blob]


async def _attestations(desk: Desk, identity: bytes) -> Markup:
    organisations = await desk.organisations()
    rows: list[list[Child]] = []
    for item in desk.node.validators().validators:
        raw = (
            await desk.node.state(state_key("models", "attestations", (identity, item.key)))
        ).value
        if raw is None:
            word, style = "not yet", "muted"
        else:
            word, style = ("hold", "ok") if decode_value(raw) is True else ("refused", "bad")
        rows.append(
            [
                organisations.get(item.key, ""),
                code(item.key.hex()[:16]),
                tag("span", word, class_=style),
            ]
        )
    return table(["organisation", "key", "golden vectors"], rows)


async def _lineage(desk: Desk, entry: Model, known: dict[bytes, Model]) -> Child:
    """Parents and children of a model, and what it was trained on."""
    boxes: dict[str, Box] = {}
    edges: list[tuple[str, str]] = []
    parents: dict[bytes, bytes] = {}
    for identity, item in list(known.items())[:ENTRIES_MAX]:
        package = await _package(desk, item)
        if package is not None and package[0].parent:
            parents[identity] = package[0].parent
    _take(boxes, entry, "here")
    current = entry.id
    for _ in range(ANCESTORS_MAX):
        parent = parents.get(current)
        if parent is None:
            break
        _take(boxes, known.get(parent, Model(parent, {})), "")
        edges.append((parent.hex(), current.hex()))
        current = parent
    for child, parent in parents.items():
        if parent == entry.id:
            _take(boxes, known[child], "")
            edges.append((parent.hex(), child.hex()))
    package = await _package(desk, entry)
    training = package[0].training if package else ()
    for name, value in training:
        if name in ("data", "dataset", "run", "federated"):
            target = place("federated", value) if name in ("run", "federated") else "#lineage"
            boxes[name] = Box(f"{name}: {value}", target, "source")
            edges.append((name, entry.id.hex()))
    rows: list[list[Child]] = [[name, value] for name, value in training]
    drawing = graph(boxes, edges, f"lineage of {entry.name}")
    return tag("div", drawing, table(["training", "value"], rows), id="lineage")


def _take(boxes: dict[str, Box], model: Model, style: str) -> None:
    boxes[model.id.hex()] = Box(model.name, f"/model/{model.id.hex()}", style)


def _drift(desk: Desk, entry: Model) -> Child:
    """Recent outputs, and how far the later half is from the earlier one."""
    rows = [row for row in desk.recent.predictions if row.record.model_id == entry.id][::-1]
    if len(rows) < 2:
        return tag("p", "No recent predictions of this model.", class_="muted")
    values = [entry.value(row.record.output[0]) for row in rows]
    points = [
        Point(row.record.height, value, f"height {row.record.height}: {value:.2f}")
        for row, value in zip(rows, values, strict=True)
    ]
    step = max(1, len(points) // 400)
    half = len(values) // 2
    early, late = values[:half], values[half:]
    index = stability_index(early, late)
    words: list[tuple[str, Child]] = [
        ("predictions seen", len(values)),
        ("mean, earlier half and later half", f"{_mean(early):.3f}, {_mean(late):.3f}"),
        ("population stability index", _index_text(index, len(values))),
    ]
    return [
        facts(words),
        lines([Series("first output", points[::step])], [], f"recent outputs of {entry.name}"),
    ]


def _index_text(index: float, count: int) -> Child:
    if count < DRIFT_MIN:
        return tag("span", f"needs {DRIFT_MIN} predictions", class_="muted")
    word = "stable" if index < DRIFT_WARN else "moved" if index < DRIFT_ALARM else "drifted"
    return tag("span", f"{index:.3f}: {word}", class_="bad" if word == "drifted" else "ok")


def stability_index(early: Sequence[float], late: Sequence[float]) -> float:
    """Population stability index over ten bins of the joint range, counts smoothed by a half."""
    low, high = min(*early, *late), max(*early, *late)
    if high <= low:
        return 0.0

    def shares(values: Sequence[float]) -> list[float]:
        counts = [0.5] * BINS
        for value in values:
            counts[min(BINS - 1, int(BINS * (value - low) / (high - low)))] += 1
        return [count / sum(counts) for count in counts]

    pairs = zip(shares(early), shares(late), strict=True)
    return sum((b - a) * math.log(b / a) for a, b in pairs)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


async def aliases_of(desk: Desk) -> dict[str, bytes]:
    """Model id by alias."""
    prefix = state_prefix("models", "aliases")
    found: dict[str, bytes] = {}
    for key, raw in await desk.node.entries(prefix, None, ENTRIES_MAX):
        alias, target = _pair(key[len(prefix) :], raw)
        if isinstance(alias, str) and isinstance(target, bytes):
            found[alias] = target
    return found


def _pair(key: bytes, raw: bytes) -> tuple[Value, Value]:
    return decode_value(key), decode_value(raw)

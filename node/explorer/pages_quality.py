"""Pages of quality: verdicts and defects by lot, lots on hold, control charts with their limits."""

from __future__ import annotations

from collections import Counter

from andon.core.codec import Value, decode_value
from andon.core.errors import Code, InvalidInput
from andon.core.state_key import state_key, state_prefix
from node.explorer.charts import Series, lines
from node.explorer.html import Child, Markup, code, facts, link, place, section, table, tag
from node.explorer.svg import Point
from node.explorer.view import ENTRIES_MAX, Desk, Page, plain, texts

QUALITY, STAGES, SPC = "quality", "stages", "spc"
INSPECTIONS_SHOWN = 500
RESULTS_MAX = 1000
STOPPED = ("QUARANTINED", "SCRAPPED")
MILLI = 1000
"""Limits of charts are kept in thousandths of the unit measured."""


async def quality(desk: Desk) -> Page:
    """Rates of defects, lots that are stopped, charts out of control."""
    inspections = await _inspections(desk)
    defects: Counter[str] = Counter(plain(one.get("defect")) for one in inspections)
    verdicts: Counter[str] = Counter(plain(one.get("verdict")) for one in inspections)
    rates: list[list[Child]] = [
        [name, count, f"{100 * count / len(inspections):.1f} %"]
        for name, count in defects.most_common(ENTRIES_MAX)
    ]
    overridden = sum(1 for one in inspections if one.get("override") is not None)
    words = ", ".join(f"{count} {name}" for name, count in sorted(verdicts.items())) or "none"
    body: list[Child] = [
        facts([("last inspections", words), ("seen otherwise by inspectors", overridden)]),
        section("Defects", table(["class", "#images", "#rate"], rates)),
        section("Lots", await _lots(desk)),
        section("Control charts", await _charts(desk)),
    ]
    return Page("Quality", body, live=True)


async def _inspections(desk: Desk) -> list[dict[str, Value]]:
    raw = (await desk.node.state(state_key(QUALITY, "last"))).value
    last = decode_value(raw) if raw is not None else 0
    top = last if isinstance(last, int) else 0
    found: list[dict[str, Value]] = []
    # Keys are encoded numbers, whose bytes do not sort across lengths: read them one by one.
    for number in range(top, max(0, top - INSPECTIONS_SHOWN), -1):
        value = (await desk.node.state(state_key(QUALITY, "inspections", number))).value
        if value is not None:
            found.append(texts(decode_value(value)))
    return found


async def _lots(desk: Desk) -> Markup:
    """Stopped lots first."""
    prefix = state_prefix(QUALITY, "lots")
    rows: list[tuple[bool, list[Child]]] = []
    for key, raw in await desk.node.entries(prefix, None, ENTRIES_MAX):
        name, one = decode_value(key[len(prefix) :]), texts(decode_value(raw))
        counts, status, releases = (
            texts(one.get("counts")),
            plain(one.get("status")),
            one.get("releases"),
        )
        stopped = status in STOPPED
        rows.append(
            (
                not stopped,
                [
                    link(place("lot", plain(name)), plain(name)),
                    plain(one.get("org")),
                    tag("span", status, class_="bad" if stopped else "ok"),
                    plain(one.get("reason")),
                    *(plain(counts.get(verdict, 0)) for verdict in ("ACCEPT", "HOLD", "REJECT")),
                    ", ".join(map(str, releases)) if isinstance(releases, list) else "",
                ],
            )
        )
    head = ["lot", "maker", "state", "reason", "#accepted", "#held", "#rejected", "released by"]
    return table(head, [row for _, row in sorted(rows, key=lambda pair: pair[0])])


async def _charts(desk: Desk) -> Markup:
    prefix = state_prefix(SPC, "charts")
    rows: list[list[Child]] = []
    for key, raw in await desk.node.entries(prefix, None, ENTRIES_MAX):
        name, one = plain(decode_value(key[len(prefix) :])), texts(decode_value(raw))
        alarms = _integer(one.get("alarms"))
        rows.append(
            [
                link(place("quality", name), name),
                plain(one.get("kind")),
                plain(one.get("org")),
                _integer(one.get("count")),
                f"{_integer(one.get('centre')) / MILLI:.3f}",
                tag("span", alarms, class_="bad" if alarms else "ok"),
            ]
        )
    return table(["chart", "kind", "owner", "#subgroups", "#centre", "#alarms"], rows)


async def chart(desk: Desk, name: str) -> Page:
    """One control chart: what was measured, with centre line and limits."""
    raw = (await desk.node.state(state_key(SPC, "charts", name))).value
    if raw is None:
        raise InvalidInput(Code.NOT_FOUND, f"there is no chart {name[:40]!r}")
    one = texts(decode_value(raw))
    points = await _measured(desk, name)
    limits = _limits(one)
    pairs: list[tuple[str, Child]] = [
        ("kind", plain(one.get("kind"))),
        ("owner", plain(one.get("org"))),
        ("subgroups", f"{_integer(one.get('count'))} of {_integer(one.get('size'))} values"),
        ("centre", f"{_integer(one.get('centre')) / MILLI:.3f}"),
        ("sigma", f"{_integer(one.get('sigma')) / MILLI:.3f}"),
        ("alarms", plain(one.get("alarms"))),
        ("state of the sums", _sums(one)),
    ]
    if not limits:
        pairs.append(("limits", f"learned from {plain(one.get('learn'))} subgroups, not there yet"))
    series = [Series("measured at the stages", [point for _, point in points])]
    rows: list[list[Child]] = [
        [link(place("lot", lot), code(lot)), f"{point.y:g}", f"{point.x:.0f}"]
        for lot, point in points[::-1]
    ]
    body: list[Child] = [
        facts(pairs),
        section("Chart", lines(series, limits, f"control chart {name}")),
        section("Measurements", table(["lot", "#value", "#height"], rows[:ENTRIES_MAX])),
    ]
    return Page(f"Chart {name}", body, live=True)


def _limits(one: dict[str, Value]) -> list[tuple[str, float]]:
    """Centre and three sigma of single values, once they are learned."""
    centre, sigma = _integer(one.get("centre")), _integer(one.get("sigma"))
    if _integer(one.get("count")) < _integer(one.get("learn")) or sigma == 0:
        return []
    size = max(1, _integer(one.get("size")))
    three = 3 * sigma / size**0.5
    return [
        ("upper, 3 sigma", (centre + three) / MILLI),
        ("centre", centre / MILLI),
        ("lower, 3 sigma", (centre - three) / MILLI),
    ]


def _sums(one: dict[str, Value]) -> str:
    if one.get("kind") == "CUSUM":
        high, low = _integer(one.get("high")) / MILLI, _integer(one.get("low")) / MILLI
        decision = _integer(one.get("decision")) / MILLI
        return f"high {high:.2f}, low {low:.2f}, alarm at {decision:g} sigma"
    if one.get("kind") == "EWMA":
        return f"{_integer(one.get('z')) / MILLI:.3f}"
    return f"{_integer(one.get('run')):+d} in a row on one side"


async def _measured(desk: Desk, name: str) -> list[tuple[str, Point]]:
    """Lot and value of what stages observed with this chart, by height."""
    measures: set[tuple[str, str, str]] = set()
    prefix = state_prefix(STAGES, "routes")
    for key, raw in await desk.node.entries(prefix, None, ENTRIES_MAX):
        route, plan = plain(decode_value(key[len(prefix) :])), texts(decode_value(raw))
        stages = plan.get("stages")
        for stage in stages if isinstance(stages, list) else []:
            fields = texts(stage)
            for measure, chart_name in texts(fields.get("charts")).items():
                if chart_name == name:
                    measures.add((route, plain(fields.get("name")), measure))
    found: list[tuple[str, Point]] = []
    prefix = state_prefix(STAGES, "results")
    for key, raw in await desk.node.entries(prefix, None, RESULTS_MAX):
        pair, results = decode_value(key[len(prefix) :]), decode_value(raw)
        if isinstance(pair, tuple) and isinstance(results, list):
            lot, route = plain(pair[0]), plain(pair[1])
            found += [
                (lot, point) for row in results for point in _points(lot, route, row, measures)
            ]
    return sorted(found, key=lambda item: item[1].x)


def _points(lot: str, route: str, row: Value, measures: set[tuple[str, str, str]]) -> list[Point]:
    fields = texts(row)
    stage, height = plain(fields.get("stage")), _integer(fields.get("height"))
    return [
        Point(height, value, f"{lot}: {value} at height {height}")
        for measure, value in texts(fields.get("values")).items()
        if (route, stage, measure) in measures and isinstance(value, int)
    ]


def _integer(value: Value) -> int:
    return value if isinstance(value, int) else 0

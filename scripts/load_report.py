"""The report of `andon bench` as one HTML page: no script, nothing from elsewhere, readable later.

It shows what the JSON holds: conditions, each step with what was offered, accepted, refused and
final, latencies from when a transaction was due, and what each process of the network used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from node.explorer.html import Child, Markup, render, section, table, tag
from scripts.bench.load import Result
from scripts.bench.usage import Usage

SHARES = ("p50", "p95", "p99", "max")
WIDTH, HEIGHT, ROOM = 640, 240, 48
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color: #1b1f24; background: #fff; color-scheme: light dark; }
table { border-collapse: collapse; margin: .5rem 0 1rem; }
th, td { padding: .2rem .8rem; text-align: right; border-bottom: 1px solid #8884; }
th:first-child, td:first-child { text-align: left; }
svg text { font-size: 12px; fill: currentColor; }
.final { fill: none; stroke: #0b6bcb; stroke-width: 2; }
.grid { stroke: #8886; }
@media (prefers-color-scheme: dark) { body { color: #e6e8eb; background: #14171a; } }
"""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One rate that was offered, and what came of it."""

    offered_per_s: float
    offered: int
    accepted: int
    refused: dict[str, int]
    final: int
    final_per_s: float
    blocks: int
    accepted_ms: dict[str, float]
    final_ms: dict[str, float]
    cpu_s: dict[str, float] = {}
    """Processor seconds by process, of the local network in --home alone."""
    cpu_ms_per_final: float | None = None
    rss_mib: dict[str, float] = {}


def used(usage: Usage, result: Result) -> dict[str, object]:
    """What the local network's processes used, as fields of a step; none if none was seen."""
    final = len(result.committed)
    if not usage.cpu_s:
        return {}
    return {
        "cpu_s": {name: round(seconds, 2) for name, seconds in usage.cpu_s.items()},
        "cpu_ms_per_final": round(1000 * usage.cpu_total_s / final, 2) if final else None,
        "rss_mib": {name: round(size / 2**20, 1) for name, size in usage.rss_bytes.items()},
    }


def page(call: str, conditions: Mapping[str, str], steps: Sequence[Step]) -> str:
    """Write the page."""
    facts: list[list[Child]] = [[name, value] for name, value in conditions.items()]
    body = [
        tag("h1", f"Load: {call}"),
        tag("p", f"Written {datetime.now(UTC):%Y-%m-%d %H:%M} UTC by andon bench. Latency counts "
            "from when a transaction was due, not from when it was sent. Final calls may have "
            "failed in their contract."),
        section("Steps", _steps(steps)),
        section("Milliseconds from due to final", _chart(steps), _latencies(steps)),
        section("Processes", _processes(steps)),
        section("Measured on", table(["", ""], facts)),
    ]  # fmt: skip
    head = [tag("meta", charset="utf-8"), tag("title", f"andon bench {call}"), tag("style", STYLE)]
    return "<!doctype html>\n" + render(
        tag("html", tag("head", head), tag("body", body), lang="en")
    )


def _steps(steps: Sequence[Step]) -> Markup:
    names = ["offered /s", "offered", "accepted", "refused", "final", "final /s", "blocks"]
    return table(names, [
        [f"{step.offered_per_s:,.1f}", f"{step.offered:,}", f"{step.accepted:,}",
         ", ".join(f"{name} {count:,}" for name, count in step.refused.items()) or "0",
         f"{step.final:,}", f"{step.final_per_s:,.1f}", f"{step.blocks:,}"]
        for step in steps
    ])  # fmt: skip


def _latencies(steps: Sequence[Step]) -> Markup:
    return table(
        ["offered /s", "to", *SHARES],
        [
            [f"{step.offered_per_s:,.1f}", word, *(_number(found, share) for share in SHARES)]
            for step in steps
            for word, found in (("accepted", step.accepted_ms), ("final", step.final_ms))
        ],
    )


def _number(found: Mapping[str, float], share: str) -> str:
    return f"{found[share]:,.1f}" if share in found else "—"


def _processes(steps: Sequence[Step]) -> Child:
    if not any(step.cpu_s for step in steps):
        return tag("p", "Not seen: no process of a local network in --home was running.")
    rows: list[list[Child]] = []
    for step in steps:
        for name, seconds in step.cpu_s.items():
            memory = f"{step.rss_mib.get(name, 0.0):,.1f}"
            rows.append([f"{step.offered_per_s:,.1f}", name, f"{seconds:,.2f}", memory])
        if step.cpu_ms_per_final is not None:
            line = f"{step.cpu_ms_per_final:,.2f} ms for each that became final"
            rows.append([f"{step.offered_per_s:,.1f}", "all", line, ""])
    return table(["offered /s", "process", "processor s", "memory MiB"], rows)


def _chart(steps: Sequence[Step]) -> Child:
    """Draw p50, p95 and p99 over the offered rate; one step is a table's matter."""
    seen = [step for step in steps if step.final_ms]
    if len(seen) < 2:
        return None
    top = max(step.final_ms["p99"] for step in seen) or 1.0
    right = max(step.offered_per_s for step in seen)

    def place(rate: float, ms: float) -> str:
        x = ROOM + (WIDTH - 2 * ROOM) * rate / right
        return f"{x:.1f},{HEIGHT - ROOM / 2 - (HEIGHT - ROOM) * ms / top:.1f}"

    shapes: list[Child] = [
        tag("line", x1=ROOM, x2=WIDTH - ROOM, y1=y, y2=y, class_="grid")
        for y in (ROOM // 2, HEIGHT - ROOM // 2)
    ]
    shapes.append(tag("text", f"{top:,.0f}", x=2, y=ROOM // 2 + 4))
    shapes.append(tag("text", "0", x=2, y=HEIGHT - ROOM // 2))
    for share in ("p50", "p95", "p99"):
        points = [place(step.offered_per_s, step.final_ms[share]) for step in seen]
        x, y = points[-1].split(",")
        shapes.append(tag("polyline", points=" ".join(points), class_="final"))
        shapes.append(tag("text", share, x=f"{float(x) + 6:.1f}", y=y))
    for step in seen:
        x, _ = place(step.offered_per_s, 0).split(",")
        shapes.append(tag("text", f"{step.offered_per_s:,.0f}/s", x=x, y=HEIGHT - 4))
    title = tag("title", "Milliseconds from due to final by offered rate: p50, p95 and p99")
    return tag("svg", title, shapes, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", width=WIDTH)

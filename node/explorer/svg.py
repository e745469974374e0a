"""Charts as server-rendered SVG: sparkline, vote bar, life curve. Colours come from the sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from node.explorer.html import Markup, tag

WIDTH = 640
HEIGHT = 220
MARGIN = 36
TICKS = 4


@dataclass(frozen=True, slots=True)
class Point:
    """A value at a place; `label` is shown when pointed at."""

    x: float
    y: float
    label: str


def sparkline(values: Sequence[float], title: str) -> Markup:
    """Draw values as a small line from left to right."""
    if len(values) < 2:
        return tag("span", "—", class_="muted")
    top = max(values) or 1.0
    step = 160 / (len(values) - 1)
    points = " ".join(
        f"{index * step:.1f},{30 - 28 * value / top:.1f}" for index, value in enumerate(values)
    )
    return tag(
        "svg",
        tag("title", title),
        tag("polyline", points=points, class_="line"),
        viewBox="0 0 160 32",
        class_="spark",
        role="img",
    )


def vote_bar(parts: Sequence[tuple[str, int, bool]], total: int, quorum: int) -> Markup:
    """Draw who signed: (name, weight, signed) in order, with the quorum marked."""
    x, boxes = 0.0, []
    for name, weight, is_signed in sorted(parts, key=lambda part: not part[2]):
        width = 400 * weight / total
        word = "signed" if is_signed else "absent"
        boxes.append(
            tag(
                "rect",
                tag("title", f"{name}: weight {weight}, {word}"),
                x=f"{x + 1:.1f}",
                y=4,
                width=f"{max(1.0, width - 2):.1f}",
                height=20,
                rx=3,
                class_=word,
            )
        )
        x += width
    mark = 400 * quorum / total
    signed = sum(weight for _, weight, is_signed in parts if is_signed)
    return tag(
        "svg",
        tag("title", f"{signed} of {total} weight signed, quorum {quorum}"),
        boxes,
        tag("line", x1=f"{mark:.1f}", x2=f"{mark:.1f}", y1=0, y2=28, class_="mark"),
        viewBox="0 0 400 28",
        class_="votes",
        role="img",
    )


@dataclass(frozen=True, slots=True)
class Member:
    """One value among others; `is_out` marks it as outside the band."""

    name: str
    value: float
    is_out: bool


def spread_chart(members: Sequence[Member], band: tuple[float, float] | None, title: str) -> Markup:
    """Draw values as points on a line, with the band in which they agree."""
    if not members:
        return tag("p", "No value is revealed yet.", class_="muted")
    values: list[float] = [*(member.value for member in members), *(band or ())]
    low, high = min(values), max(values)
    room = (high - low or abs(high) or 1.0) * 0.1
    low, high = low - room, high + room

    span: float = high - low

    def across(value: float) -> float:
        return MARGIN + (WIDTH - 2 * MARGIN) * (value - low) / span

    shapes: list[Markup] = []
    if band is not None:
        left, right = across(band[0]), across(band[1])
        shapes.append(
            tag(
                "rect", x=f"{left:.1f}", y=10, width=f"{right - left:.1f}", height=60, class_="zone"
            )
        )
        shapes += [tag("text", f"{edge:.4g}", x=f"{across(edge) - 14:.1f}", y=86) for edge in band]
    shapes.append(tag("line", x1=MARGIN, x2=WIDTH - MARGIN, y1=40, y2=40, class_="grid"))
    for number, member in enumerate(members):
        label = tag("title", f"{member.name}: {member.value:.4f}")
        x, style = f"{across(member.value):.1f}", "out" if member.is_out else "line"
        # Values that agree lie on each other: they are spread a little, in the order of the names.
        y = 40 + 9 * ((number % 5) - 2)
        shapes.append(tag("circle", label, cx=x, cy=y, r=4, class_=style))
    return tag(
        "svg",
        tag("title", title),
        shapes,
        viewBox=f"0 0 {WIDTH} 96",
        class_="chart",
        role="img",
    )


def round_ticks(low: float, high: float) -> list[float]:
    """Give about five round values, evenly spaced, that hold all from `low` to `high`."""
    span = high - low or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(span / TICKS))
    step = next(n * power for n in (1, 2, 5, 10) if n * power >= span / TICKS * (1 - 1e-9))
    first = math.floor(low / step)
    count = max(1, math.ceil(high / step) - first)
    return [(first + number) * step for number in range(count + 1)]


def tick_text(value: float, step: float) -> str:
    """Write a tick with the digits that tell it from the next one, `step` away."""
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    return f"{value:,.{digits}f}"

"""Charts of several lines with their limits, and graphs of what came from what: SVG, no script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from node.explorer.html import Markup, link, tag
from node.explorer.svg import HEIGHT, MARGIN, WIDTH, Point, round_ticks, tick_text

LAYERS_MAX = 8
NODES_PER_LAYER_MAX = 12
BOX_WIDTH = 150
BOX_HEIGHT = 34
GAP_X = 50
GAP_Y = 14


@dataclass(frozen=True, slots=True)
class Series:
    """One line; `style` is the class of the sheet that colours it."""

    name: str
    points: Sequence[Point]
    style: str = "line"


def lines(
    series: Sequence[Series],
    limits: Sequence[tuple[str, float]],
    title: str,
    *,
    axis: str = "height",
    is_from_zero: bool = False,
) -> Markup:
    """Draw lines over one axis, with horizontal limits; the range fits what is drawn."""
    points = [point for one in series for point in one.points]
    if not points:
        return tag("p", "No values yet.", class_="muted")
    left, right = min(p.x for p in points), max(p.x for p in points)
    values = [*(p.y for p in points), *(limit for _, limit in limits)]
    if is_from_zero:
        values.append(0.0)
    ticks = round_ticks(min(values), max(values))
    low, high = ticks[0], ticks[-1]
    across, up = WIDTH - 2 * MARGIN, HEIGHT - 2 * MARGIN

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            MARGIN + across * (x - left) / (right - left or 1.0),
            HEIGHT - MARGIN - up * (y - low) / (high - low),
        )

    shapes: list[Markup] = []
    for value in ticks:
        y = place(left, value)[1]
        shapes.append(_rule(y, "grid"))
        shapes.append(tag("text", tick_text(value, ticks[1] - low), x=2, y=f"{y + 4:.1f}"))
    for name, limit in limits:
        y = place(left, limit)[1]
        shapes.append(_rule(y, "limit"))
        shapes.append(tag("text", name, x=MARGIN + 4, y=f"{y - 4:.1f}", class_="limit"))
    for number, one in enumerate(series):
        places = [place(point.x, point.y) for point in one.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        shapes.append(tag("polyline", points=path, class_=one.style))
        for (x, y), point in zip(places, one.points, strict=True):
            mark = tag("title", point.label)
            shapes.append(tag("circle", mark, cx=f"{x:.1f}", cy=f"{y:.1f}", r=3, class_=one.style))
        x = MARGIN + 8 + 150 * number
        shapes.append(tag("rect", x=x, y=8, width=12, height=4, class_=f"key {one.style}"))
        shapes.append(tag("text", one.name, x=x + 18, y=14))
    shapes.append(tag("text", f"{axis} {left:.0f}", x=MARGIN, y=HEIGHT - 10))
    shapes.append(tag("text", f"{right:.0f}", x=WIDTH - MARGIN, y=HEIGHT - 10, text_anchor="end"))
    view = f"0 0 {WIDTH} {HEIGHT}"
    return tag("svg", tag("title", title), shapes, viewBox=view, class_="chart", role="img")


def _rule(y: float, style: str) -> Markup:
    return tag("line", x1=MARGIN, x2=WIDTH - MARGIN, y1=f"{y:.1f}", y2=f"{y:.1f}", class_=style)


@dataclass(frozen=True, slots=True)
class Box:
    """A node of a graph; `style` is a class of the sheet."""

    name: str
    href: str
    style: str = ""


def graph(boxes: Mapping[str, Box], edges: Sequence[tuple[str, str]], title: str) -> Markup:
    """Draw a graph in layers from left to right: an edge leads from source to what came of it.

    At most `LAYERS_MAX` layers of `NODES_PER_LAYER_MAX` boxes; what is left out is counted.
    """
    layers = _layers(boxes, edges)
    places: dict[str, tuple[int, int]] = {}
    for column, layer in enumerate(layers[:LAYERS_MAX]):
        for row, name in enumerate(layer[:NODES_PER_LAYER_MAX]):
            places[name] = (column * (BOX_WIDTH + GAP_X), row * (BOX_HEIGHT + GAP_Y) + 2)
    if not places:
        return tag("p", "Nothing is known of where it came from.", class_="muted")
    shapes: list[Markup] = []
    for source, target in edges:
        if source in places and target in places:
            (x1, y1), (x2, y2) = places[source], places[target]
            middle, half = x2 - GAP_X / 2, BOX_HEIGHT / 2
            path = (
                f"M{x1 + BOX_WIDTH + 1} {y1 + half:.0f} C{middle:.0f} {y1 + half:.0f} "
                f"{middle:.0f} {y2 + half:.0f} {x2} {y2 + half:.0f}"
            )
            shapes.append(tag("path", d=path, class_="edge"))
    for name, (x, y) in places.items():
        shapes.append(_box(boxes[name], x, y))
    width = max(x for x, _ in places.values()) + BOX_WIDTH + 4
    height = max(y for _, y in places.values()) + BOX_HEIGHT + 4
    left_out = len(boxes) - len(places)
    svg = tag(
        "svg",
        tag("title", title),
        shapes,
        viewBox=f"-1 0 {width} {height}",
        width=width,
        height=height,
        class_="graph",
        role="group",
        aria_label=title,
    )
    note = tag("p", f"{left_out} more are not drawn.", class_="muted") if left_out else None
    return tag("div", svg, note, class_="scroll")


def _box(box: Box, x: int, y: int) -> Markup:
    # What tells one lot from another stands last: the first line is the last part of the name.
    start, _, last = box.name.rpartition("/")
    return link(
        box.href,
        [
            tag("title", box.name),
            tag(
                "rect",
                x=x,
                y=y,
                width=BOX_WIDTH,
                height=BOX_HEIGHT,
                rx=6,
                class_=f"box {box.style}".strip(),
            ),
            tag("text", _end(last, 18), x=x + 10, y=y + (15 if start else 21)),
            tag("text", _end(start, 22), x=x + 10, y=y + 28, class_="small") if start else None,
        ],
    )


def _end(text: str, characters: int) -> str:
    return text if len(text) <= characters else "…" + text[1 - characters :]


def _layers(boxes: Mapping[str, Box], edges: Sequence[tuple[str, str]]) -> list[list[str]]:
    """Names by their longest way from a source; a ring (which no honest chain has) stays put."""
    depth = dict.fromkeys(boxes, 0)
    for _ in range(min(len(boxes), LAYERS_MAX)):
        for source, target in edges:
            if source in depth and target in depth:
                depth[target] = min(LAYERS_MAX, max(depth[target], depth[source] + 1))
    layers: list[list[str]] = [[] for _ in range(LAYERS_MAX + 1)]
    for name in boxes:
        layers[depth[name]].append(name)
    return [layer for layer in layers if layer]

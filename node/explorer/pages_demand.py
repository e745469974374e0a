"""Pages of demand: forecasts of spare parts beside what came, and beside simple methods."""

from __future__ import annotations

from andon.core.codec import DEC_SCALE, Dec, Value, decode_value
from andon.core.errors import Code, InvalidInput
from andon.core.state_key import state_key, state_prefix
from node.explorer.charts import Series, lines
from node.explorer.html import Child, Markup, facts, link, place, section, table
from node.explorer.svg import Point
from node.explorer.view import ENTRIES_MAX, Desk, Page, plain, texts

MONTHS_SHOWN = 36
METHODS = {
    "model": "the certified model",
    "tsb": "TSB smoothing",
    "naive": "last month",
    "seasonal": "a year before",
}


async def demand(desk: Desk) -> Page:
    """All parts with the last month and the score of the model."""
    rows: list[list[Child]] = []
    for contract in await desk.holders("actuals"):
        prefix = state_prefix(contract, "parts")
        for key, raw in await desk.node.entries(prefix, None, ENTRIES_MAX):
            name, part = decode_value(key[len(prefix) :]), texts(decode_value(raw))
            if isinstance(name, str) and part:
                scores = texts(part.get("scores"))
                rows.append(
                    [
                        link(place("demand", name), name),
                        contract,
                        plain(part.get("org")),
                        plain(part.get("last")),
                        _mean_error(texts(scores.get("model"))),
                        _mean_error(texts(scores.get("naive"))),
                    ]
                )
    head = [
        "part",
        "contract",
        "owner",
        "#last month",
        "#error of the model",
        "#error of last month",
    ]
    return Page("Demand", table(head, rows), live=True)


async def part(desk: Desk, name: str) -> Page:
    """One part: forecast against actual, and how each method did."""
    for contract in await desk.holders("actuals"):
        raw = (await desk.node.state(state_key(contract, "parts", name))).value
        if raw is not None:
            return await _part_page(desk, contract, name, texts(decode_value(raw)))
    raise InvalidInput(Code.NOT_FOUND, f"no contract plans part {name[:40]!r}")


async def _part_page(desk: Desk, contract: str, name: str, found: dict[str, Value]) -> Page:
    last, first = found.get("last"), found.get("first")
    end = last if isinstance(last, int) else 0
    start = max(first if isinstance(first, int) else 0, end + 1 - MONTHS_SHOWN)
    actual: list[Point] = []
    series: dict[str, list[Point]] = {method: [] for method in METHODS}
    for month in range(start, end + 2):  # the month after the last may be forecast already
        came = await _read(desk, contract, "actuals", (name, month))
        if isinstance(came, int):
            actual.append(Point(month, came, f"month {month}: {came} came"))
        made = texts(await _read(desk, contract, "forecasts", (name, month)))
        for method in METHODS:
            value = _number(made.get(method))
            if value is not None:
                series[method].append(Point(month, value, f"month {month}: {value:.1f} forecast"))
    chart = lines(
        [Series("actual", actual), Series("forecast of the model", series["model"], "line2")],
        [],
        f"demand for {name}",
        axis="month",
    )
    pairs: list[tuple[str, Child]] = [
        ("contract", link(place("contract", contract), contract)),
        ("owner", plain(found.get("org"))),
        ("months", f"{start} to {end}"),
        (
            "next month",
            f"{series['model'][-1].y:.1f}" if _is_ahead(series, end) else "not forecast",
        ),
    ]
    body: list[Child] = [
        facts(pairs),
        section("Forecast against actual", chart),
        section("Methods", _methods(texts(found.get("scores")))),
    ]
    return Page(name, body, live=True)


def _is_ahead(series: dict[str, list[Point]], end: int) -> bool:
    return bool(series["model"]) and series["model"][-1].x > end


def _methods(scores: dict[str, Value]) -> Markup:
    rows: list[list[Child]] = []
    for method, words in METHODS.items():
        one = texts(scores.get(method))
        count, squared, bias = (
            one.get("count"),
            _number(one.get("squared")),
            _number(one.get("bias")),
        )
        if isinstance(count, int) and count > 0 and squared is not None and bias is not None:
            root = f"{(squared / count) ** 0.5:.2f}"
            rows.append([words, count, _mean_error(one), root, f"{bias / count:+.2f}"])
    return table(["method", "#months", "#mean error", "#root mean square", "#bias"], rows)


async def _read(desk: Desk, contract: str, variable: str, key: tuple[str, int]) -> Value:
    raw = (await desk.node.state(state_key(contract, variable, key))).value
    return None if raw is None else decode_value(raw)


def _mean_error(one: dict[str, Value]) -> str:
    count, absolute = one.get("count"), _number(one.get("absolute"))
    if not isinstance(count, int) or count == 0 or absolute is None:
        return "—"
    return f"{absolute / count:.2f}"


def _number(value: Value) -> float | None:
    if isinstance(value, Dec):
        return value.scaled / DEC_SCALE
    return float(value) if isinstance(value, int) else None

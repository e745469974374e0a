"""Pages of attested predictions: each member's value beside the tolerance, disputes, absence."""

from __future__ import annotations

from andon.core.codec import Value, decode_value
from andon.core.errors import Code, InvalidInput
from andon.core.state_key import state_key
from node.explorer.html import Child, Markup, code, facts, link, place, section, table, tag
from node.explorer.svg import Member, spread_chart
from node.explorer.view import Desk, Page, texts

CONTRACT = "predictions"
REQUESTS_SHOWN = 25
STYLES = {"SETTLED": "ok", "DISPUTED": "bad", "EXPIRED": "bad"}


async def attested_table(desk: Desk) -> Markup:
    """The last requests, newest first."""
    last, models = _integer(await _read(desk, "last")), await desk.models()
    rows: list[list[Child]] = []
    for number in range(last, max(0, last - REQUESTS_SHOWN), -1):
        one = texts(await _read(desk, "requests", number))
        identity = one.get("model")
        model = models.get(identity) if isinstance(identity, bytes) else None
        output = _first(one.get("output"))
        rows.append(
            [
                link(f"/attested/{number}", number),
                _status(one),
                f"{output * _scale(one):.3f}" if output is not None else "—",
                link(f"/model/{model.id.hex()}", model.name) if model else "",
                f"{_integer(one.get('revealed'))} of {_integer(one.get('total'))}",
                link(f"/block/{_integer(one.get('height'))}", _integer(one.get("height"))),
            ]
        )
    return table(["#request", "state", "#value", "model", "#weight revealed", "#asked at"], rows)


async def attested(desk: Desk, text: str) -> Page:
    """One request: what every member of the committee said, and what became of it."""
    number = int(text) if text.isdecimal() and len(text) < 19 else 0
    one = texts(await _read(desk, "requests", number))
    if not one:
        raise InvalidInput(Code.NOT_FOUND, f"there is no request {text[:20]}")
    scale, output = _scale(one), _first(one.get("output"))
    low, high, tolerance = _first(one.get("low")), _first(one.get("high")), one.get("tolerance")
    identity, digest = one.get("model"), one.get("input")
    contract = one.get("contract")
    pairs: list[tuple[str, Child]] = [
        ("state", _status(one)),
        ("value", tag("strong", f"{output * scale:.4f}") if output is not None else "none"),
        ("tolerance", f"± {_integer(tolerance) * scale:.4f}"),
        (
            "spread without the faulty third",
            f"{(high - low) * scale:.4f}" if low is not None and high is not None else "—",
        ),
        ("way", _way(one)),
    ]
    if isinstance(identity, bytes) and isinstance(digest, bytes):
        pairs.append(("model", link(f"/model/{identity.hex()}", code(identity.hex()[:16]))))
        pairs.append(("input digest", code(digest.hex())))
    if isinstance(contract, str):
        asker = link(place("contract", contract), contract) if contract else "an account"
        pairs.append(("asked by", asker))
    rows, marks = await _members(desk, number, one)
    band = None
    if output is not None:
        margin = _integer(tolerance) * scale
        band = (output * scale - margin, output * scale + margin)
    body: list[Child] = [
        _verdict(one),
        facts(pairs),
        section(
            "Values and the tolerance band", spread_chart(marks, band, "values of the members")
        ),
        section(
            "Committee",
            table(["organisation", "key", "#weight", "#value", "#away", "verdict"], rows),
        ),
    ]
    return Page(f"Attested prediction {number}", body, live=True)


def _verdict(one: dict[str, Value]) -> Markup | None:
    words = {
        "DISPUTED": "Disputed: even without a third of the weight the values are further apart "
        "than the tolerance. No value was given.",
        "EXPIRED": "Expired: less than two thirds of the weight revealed a value in time.",
    }
    text = words.get(str(one.get("phase")))
    return tag("ul", tag("li", text), class_="alarms", role="alert") if text else None


def _way(one: dict[str, Value]) -> str:
    asked, decided = _integer(one.get("height")), one.get("decided")
    if not isinstance(decided, int):
        deadline = _integer(one.get("deadline"))
        return f"asked at height {asked}, phase ends at {deadline}"
    return f"asked at height {asked}, decided at {decided}: {decided - asked} blocks"


async def _members(
    desk: Desk, number: int, one: dict[str, Value]
) -> tuple[list[list[Child]], list[Member]]:
    organisations = await desk.organisations()
    output, tolerance, scale = (
        _first(one.get("output")),
        _integer(one.get("tolerance")),
        _scale(one),
    )
    rows: list[list[Child]] = []
    marks: list[Member] = []
    members = one.get("members")
    for row in members if isinstance(members, list) else []:
        if not isinstance(row, list) or len(row) != 2 or not isinstance(row[0], bytes):
            continue
        key = row[0]
        value = _first(await _read(desk, "reveals", (number, key)))
        is_bound = await _read(desk, "commits", (number, key)) is not None
        verdict = _judge(value, output, tolerance, is_bound=is_bound)
        away = "" if value is None or output is None else f"{(value - output) * scale:+.4f}"
        name = organisations.get(key, key.hex()[:8])
        if value is not None:
            marks.append(Member(name, value * scale, verdict == "dissents"))
        rows.append(
            [
                name,
                code(key.hex()[:16]),
                _integer(row[1]),
                "—" if value is None else f"{value * scale:.4f}",
                away,
                tag("span", verdict, class_="bad" if verdict == "dissents" else "muted"),
            ]
        )
    return rows, marks


def _judge(value: int | None, output: int | None, tolerance: int, *, is_bound: bool) -> str:
    if value is None:
        return "committed, not revealed" if is_bound else "absent"
    if output is None:
        return "revealed"
    return "agrees" if abs(value - output) <= tolerance else "dissents"


async def _read(desk: Desk, variable: str, key: int | tuple[int, bytes] | None = None) -> Value:
    where = state_key(CONTRACT, variable) if key is None else state_key(CONTRACT, variable, key)
    raw = (await desk.node.state(where)).value
    return None if raw is None else decode_value(raw)


def _status(one: dict[str, Value]) -> Markup:
    word = str(one.get("phase"))
    return tag("span", word, class_=STYLES.get(word, "muted"))


def _scale(one: dict[str, Value]) -> float:
    num, den = _integer(one.get("scale_num")), _integer(one.get("scale_den"))
    return num / den if den > 0 else 1.0


def _first(value: Value) -> int | None:
    if isinstance(value, list) and value and isinstance(value[0], int):
        return value[0]
    return None


def _integer(value: Value) -> int:
    return value if isinstance(value, int) else 0

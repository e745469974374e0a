"""Pages of federated training: runs, their rounds, who took part, what privacy was spent."""

from __future__ import annotations

from andon.core.codec import Value, decode_value
from andon.core.errors import Code, InvalidInput
from andon.core.state_key import state_key, state_prefix
from node.explorer.charts import Series, lines
from node.explorer.html import Child, Markup, code, facts, link, place, section, table, tag
from node.explorer.svg import Point
from node.explorer.view import ENTRIES_MAX, Desk, Page, names_of, plain, texts

CONTRACT = "training"
CONDUCT = "conduct"
MICRO = 1_000_000
"""Privacy is counted in millionths of rho (zero-concentrated differential privacy)."""

PHASE_FIELDS = ("announced", "dealt", "committed", "frozen", "revealed")
ROUNDS_MAX = 200
SUMMARY_MAX = 5


async def runs(desk: Desk) -> Page:
    """All federated runs with where they stand."""
    prefix = state_prefix(CONTRACT, "runs")
    rows: list[list[Child]] = []
    for key, raw in await desk.node.entries(prefix, None, ENTRIES_MAX):
        name, run = decode_value(key[len(prefix) :]), texts(decode_value(raw))
        if isinstance(name, str) and run:
            rows.append(
                [
                    link(place("federated", name), name),
                    _status(run),
                    str(run.get("mode", "")),
                    _count(run.get("members")),
                    f"{plain(run.get('round'))} of {plain(run.get('rounds_max'))}",
                    _score(run.get("score")),
                ]
            )
    head = ["run", "status", "masking", "#members", "#round", "#score"]
    note = (
        "Plants train on their own data and commit fixed-point updates, masked unless the run says "
        "plain; every validator recomputes the aggregate and attests it."
    )
    return Page("Federated runs", [tag("p", note, class_="muted"), table(head, rows)], live=True)


async def summary(desk: Desk) -> Markup:
    """Runs that go on, in one line each."""
    prefix = state_prefix(CONTRACT, "runs")
    items: list[Child] = []
    for key, raw in await desk.node.entries(prefix, None, ENTRIES_MAX):
        name, run = decode_value(key[len(prefix) :]), texts(decode_value(raw))
        if isinstance(name, str) and run.get("status") == "RUNNING":
            where = f": round {plain(run.get('round'))} of {plain(run.get('rounds_max'))}"
            items.append(tag("li", link(place("federated", name), name), where))
    if not items:
        return tag("p", "No run goes on; ", link("/federated", "all runs"), class_="muted")
    return tag("ul", items[:SUMMARY_MAX])


async def run(desk: Desk, name: str) -> Page:
    """One run: its plan, rounds, members and their privacy budget."""
    raw = (await desk.node.state(state_key(CONTRACT, "runs", name))).value
    if raw is None:
        raise InvalidInput(Code.NOT_FOUND, f"there is no federated run {name[:40]!r}")
    plan = texts(decode_value(raw))
    rounds = await _rounds(desk, name, _integer(plan.get("round")))
    state = plan.get("state")
    pairs: list[tuple[str, Child]] = [
        ("status", _status(plan)),
        ("masking", str(plan.get("mode", ""))),
        ("round", f"{plain(plan.get('round'))} of {plain(plan.get('rounds_max'))}"),
        ("global score", _score(plan.get("score"))),
        ("elements of an update", f"{_integer(plan.get('elements')):,}"),
        ("failures in a row", str(plan.get("failures", ""))),
        ("state digest", code(state.hex()) if isinstance(state, bytes) else "—"),
        ("recipe", _pairs(plan.get("recipe"))),
    ]
    scores = [
        Point(number, score, f"round {number}: {score:,}")
        for number, item in reversed(rounds)
        if isinstance(score := texts(item.get("result")).get("score"), int)
    ]
    body: list[Child] = [
        facts(pairs),
        section(
            "Score of the global model",
            lines([Series("after the round", scores)], [], f"score of {name}", axis="round"),
        ),
        section("Rounds", _round_table(rounds)),
        section("Members", await _members(desk, name, plan)),
    ]
    return Page(name, body, live=True)


async def _rounds(desk: Desk, name: str, last: int) -> list[tuple[int, dict[str, Value]]]:
    found: list[tuple[int, dict[str, Value]]] = []
    for number in range(last, max(0, last - ROUNDS_MAX), -1):
        raw = (await desk.node.state(state_key(CONTRACT, "rounds", (name, number)))).value
        if raw is not None:
            found.append((number, texts(decode_value(raw))))
    return found


def _round_table(rounds: list[tuple[int, dict[str, Value]]]) -> Markup:
    rows: list[list[Child]] = []
    for number, item in rounds:
        result = texts(item.get("result"))
        height = _integer(item.get("height"))
        reason = str(item.get("reason", ""))
        rows.append(
            [
                number,
                _integer(item.get("attempt")),
                str(item.get("phase", "")) + (f": {reason}" if reason else ""),
                *(_count(item.get(field)) for field in PHASE_FIELDS),
                _score(result.get("score")),
                _count(result.get("flags")),
                _count(result.get("left_out")),
                link(f"/block/{height}", height),
            ]
        )
    head = ["#round", "#attempt", "phase", *(f"#{field}" for field in PHASE_FIELDS)]
    return table([*head, "#score", "#flagged", "#left out", "#entered at"], rows)


async def _members(desk: Desk, name: str, plan: dict[str, Value]) -> Markup:
    accounts = await names_of(desk)
    budget = _integer(plan.get("rho_budget"))
    rows: list[list[Child]] = []
    members = plan.get("members")
    for row in members if isinstance(members, list) else []:
        if not isinstance(row, list) or len(row) != 3 or not isinstance(row[0], bytes):
            continue
        account = row[0]
        spent = await _number(desk, state_key(CONDUCT, "spent", (name, account)))
        earned = await _number(desk, state_key(CONDUCT, "earned", (name, account)))
        raw = (await desk.node.state(state_key(CONDUCT, "suspended", account))).value
        word = tag("span", f"suspended: {decode_value(raw)!s}", class_="bad") if raw else "active"
        rows.append(
            [
                accounts.get(account, ""),
                code(account.hex()[:16]),
                str(row[1]),
                str(row[2]),
                f"{spent / MICRO:.3f} of {budget / MICRO:.3f}" if budget else "no budget",
                str(earned),
                word,
            ]
        )
    head = ["organisation", "account", "#group", "#weight", "#privacy (rho)", "#earned", "state"]
    return table(head, rows)


async def _number(desk: Desk, key: bytes) -> int:
    raw = (await desk.node.state(key)).value
    return _integer(None if raw is None else decode_value(raw))


def _status(run: dict[str, Value]) -> Markup:
    word = str(run.get("status", ""))
    return tag("span", word, class_="ok" if word == "RUNNING" else "muted")


def _score(value: Value) -> str:
    return f"{value:,}" if isinstance(value, int) else "—"


def _count(value: Value) -> int:
    return len(value) if isinstance(value, list | tuple) else 0


def _integer(value: Value) -> int:
    return value if isinstance(value, int) else 0


def _pairs(value: Value) -> str:
    return ", ".join(f"{name} {plain(item)}" for name, item in texts(value).items()) or "—"

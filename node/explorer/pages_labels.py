"""Pages of labels: requests open and closed, who labelled, how far inspectors are believed."""

from __future__ import annotations

from andon.core.codec import Value, decode_value, encode_value
from andon.core.errors import Code, InvalidInput
from andon.core.state_key import state_prefix
from node.explorer.html import Child, Markup, code, facts, link, place, section, table, tag
from node.explorer.view import ENTRIES_MAX, Desk, Model, Page, names_of, plain, texts

LABELS = "labels"
REQUESTS_SHOWN = 100
INSPECTORS_MAX = 1000
VERSIONS_SHOWN = 20
STATES = {
    "QUEUED": "waits to be sealed",
    "OUT": "out with inspectors",
    "LABELLED": "labelled",
    "DISPUTED": "disputed",
}


async def labels(desk: Desk) -> Page:
    """The datasets that inspectors label."""
    prefix = state_prefix(LABELS, "datasets")
    rows: list[list[Child]] = []
    for key, raw in await desk.node.entries(prefix, None, ENTRIES_MAX):
        name, plan = plain(decode_value(key[len(prefix) :])), texts(decode_value(raw))
        queued, waiting, done = (
            _integer(plan.get(word)) for word in ("queued", "open", "labelled")
        )
        rows.append(
            [
                link(place("labels", name), name),
                plain(plan.get("org")),
                plain(plan.get("model")),
                queued,
                waiting,
                done,
                queued - waiting - done,
                plain(plan.get("versions")),
            ]
        )
    head = ["dataset", "owner", "model", "#asked", "#open", "#labelled", "#disputed", "#versions"]
    return Page("Labels", table(head, rows), live=True)


async def dataset(desk: Desk, name: str) -> Page:
    """One dataset: its rules, requests, inspectors and versions."""
    plan = texts(await _value(desk, "datasets", name) if len(name) <= 64 else None)
    if not plan:
        raise InvalidInput(Code.NOT_FOUND, f"there is no dataset {name[:40]!r}")
    accounts = await names_of(desk)
    classes = _items(plan.get("classes"))
    known = {model.name: model for model in (await desk.models()).values()}
    reward = f"{plain(plan.get('reward'))} of {plain(plan.get('token'))} for each right answer"
    pairs: list[tuple[str, Child]] = [
        ("owner", _account(plan.get("owner"), {}, plain(plan.get("org")))),
        ("model", _model(plain(plan.get("model")), known)),
        ("classes", ", ".join(map(plain, classes))),
        ("quorum", f"two organisations, and {_part(plan.get('surety'))} sure"),
        ("reward", reward),
        ("fed by", ", ".join(map(plain, _items(plan.get("feeders"))))),
        ("open", plain(plan.get("open"))),
        ("labelled", plain(plan.get("labelled"))),
        ("digest so far", code(_hex(plan.get("digest")))),
    ]
    body: list[Child] = [
        facts(pairs),
        section("Requests", await _requests(desk, name, plan)),
        section("Inspectors", await _inspectors(desk, name, classes, accounts)),
        section("Versions", await _versions(desk, name, plan)),
    ]
    return Page(f"Labels of {name}", body, live=True)


async def _requests(desk: Desk, name: str, plan: dict[str, Value]) -> list[Child]:
    """The last requests: the open ones first, newest on top."""
    classes, top = _items(plan.get("classes")), _integer(plan.get("queued"))
    waiting: list[list[Child]] = []
    closed: list[list[Child]] = []
    for number in range(top, max(0, top - REQUESTS_SHOWN), -1):
        sample = await _value(desk, "queue", (name, number))
        if not isinstance(sample, bytes):
            continue
        found = texts(await _value(desk, "samples", (name, sample)))
        status = plain(found.get("status"))
        is_open = status in ("QUEUED", "OUT")
        style = "ok" if status == "LABELLED" else "bad" if status == "DISPUTED" else None
        (waiting if is_open else closed).append(
            [
                number,
                code(sample.hex()[:16]),
                plain(found.get("org")),
                plain(found.get("reason")),
                tag("span", STATES.get(status, status), class_=style),
                _answers(found, classes),
                plain(found.get("label")),
                _part(found.get("surety")) if found.get("surety") else "",
            ]
        )
    head = ["#request", "sample", "from", "reason", "state", "answers", "label", "#sure"]
    more = f"The last {REQUESTS_SHOWN} of {top} are shown." if top > REQUESTS_SHOWN else ""
    return [table(head, waiting + closed), tag("p", more, class_="muted") if more else None]


def _answers(found: dict[str, Value], classes: list[Value]) -> Child:
    """Who said what, by organisation; and who was asked and has said nothing."""
    said: list[str] = []
    heard: set[str] = set()
    for row in _items(found.get("answers")):
        parts = _items(row)
        if len(parts) == 3 and isinstance(parts[2], int) and 0 <= parts[2] < len(classes):
            heard.add(plain(parts[1]))
            said.append(f"{plain(parts[1])}: {plain(classes[parts[2]])}")
    silent = sorted(org for org in texts(found.get("sealed")) if org not in heard)
    return ", ".join([*said, *(f"{org}: no answer" for org in silent)])


async def _inspectors(
    desk: Desk, name: str, classes: list[Value], accounts: dict[bytes, str]
) -> Markup:
    """Reliability by class: how often one says it where it is true, as the answers so far tell."""
    prefix = state_prefix(LABELS, "confusion")
    rows: list[list[Child]] = []
    for key, raw in await desk.node.entries(prefix, None, INSPECTORS_MAX):
        pair, counts = decode_value(key[len(prefix) :]), _items(decode_value(raw))
        if not isinstance(pair, tuple) or len(pair) != 2 or pair[0] != name:
            continue
        owed = await _value(desk, "earned", pair)
        shares: list[Child] = [_share(counts, place) for place in range(len(classes))]
        rows.append([_account(pair[1], accounts), *shares, _integer(owed)])
    head = ["inspector", *(f"#{plain(item)}" for item in classes), "#owed"]
    return table(head, rows)


def _share(counts: list[Value], place: int) -> str:
    row: list[int] = []
    if place < len(counts):
        row = [_integer(item) for item in _items(counts[place])]
    total = sum(row)
    return f"{100 * row[place] / total:.0f} %" if place < len(row) and total else ""


async def _versions(desk: Desk, name: str, plan: dict[str, Value]) -> Markup:
    top = _integer(plan.get("versions"))
    rows: list[list[Child]] = []
    for number in range(top, max(0, top - VERSIONS_SHOWN), -1):
        found = texts(await _value(desk, "versions", (name, number)))
        height = _integer(found.get("height"))
        rows.append(
            [
                number,
                _integer(found.get("count")),
                link(f"/block/{height}", height),
                code(_hex(found.get("digest"))),
            ]
        )
    return table(["#version", "#labels", "#height", "digest that a training run names"], rows)


async def _value(desk: Desk, variable: str, key: str | tuple[Value, ...]) -> Value:
    raw = (await desk.node.state(state_prefix(LABELS, variable) + encode_value(key))).value
    return None if raw is None else decode_value(raw)


def _model(alias: str, known: dict[str, Model]) -> Child:
    model = known.get(alias)
    return alias if model is None else link(f"/model/{model.id.hex()}", alias)


def _account(value: Value, accounts: dict[bytes, str], known: str = "") -> Child:
    if not isinstance(value, bytes):
        return known
    return [accounts.get(value, known), " ", code(value.hex()[:12])]


def _part(value: Value) -> str:
    return f"{_integer(value) / 10:.1f} %"


def _hex(value: Value) -> str:
    return value.hex() if isinstance(value, bytes) else ""


def _items(value: Value) -> list[Value]:
    return value if isinstance(value, list) else []


def _integer(value: Value) -> int:
    return value if isinstance(value, int) else 0

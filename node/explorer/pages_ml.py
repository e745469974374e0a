"""Pages of predictions and of the machines that they are about."""

from __future__ import annotations

from andon.core.codec import DEC_SCALE, Dec, Value, decode_value
from andon.core.errors import Code, InvalidInput
from andon.core.json_value import dec_to_text
from andon.core.state_key import state_key, state_prefix
from node.explorer.charts import Series, lines
from node.explorer.html import Child, Markup, code, facts, link, place, section, table, tag
from node.explorer.pages_attested import attested_table
from node.explorer.recent import PredictionRow
from node.explorer.svg import Point, sparkline
from node.explorer.view import (
    ENTRIES_MAX,
    ROWS,
    Desk,
    Model,
    Page,
    names_of,
    plain,
    prediction_table,
    texts,
    time_text,
    value_facts,
    value_line,
    votes,
)
from node.facade import BlockAnswer
from node.rpc.proofs import voters_of

ORDERS_MAX = 1000


async def predictions(desk: Desk) -> Page:
    """Recent predictions."""
    body: list[Child] = [
        section("Exact", await prediction_table(desk, 2 * ROWS)),
        section("Attested", await attested_table(desk)),
    ]
    return Page("Predictions", body, live=True)


async def prediction(desk: Desk, identity: bytes) -> Page:
    """One prediction: value, votes by organisation, model, input digest, proof."""
    answer = await desk.node.prediction(identity)
    record, header = answer.record, answer.block.final.block.header
    validators, organisations = desk.node.validators(header.epoch), await desk.organisations()
    model = (await desk.models()).get(record.model_id, Model(record.model_id, {}))
    values = ", ".join(f"{model.value(output):.2f}" for output in record.output[:16])
    pairs: list[tuple[str, Child]] = [
        ("value", tag("strong", values)),
        ("output as voted", ", ".join(str(output) for output in record.output[:64])),
        ("model", link(f"/model/{record.model_id.hex()}", model.name)),
        ("class", _kind(record.kind)),
        ("votes", await votes(desk, answer.block, validators, organisations)),
        ("input digest", code(record.input_digest.hex())),
        ("contract", link(place("contract", record.contract), record.contract)),
        ("asked by", link(f"/tx/{record.transaction_id.hex()}", code("transaction"))),
        ("block", link(f"/block/{header.height}", header.height)),
        ("time", time_text(header.time_ms)),
        ("proof", link(f"/proof/prediction/{record.id.hex()}", "download for andon verify")),
    ]
    body: list[Child] = [
        facts(pairs),
        section("Voters", await _voters(desk, answer.block, values)),
        section("From reading to record", await _latency(desk, answer.block)),
    ]
    return Page(f"Prediction {record.id.hex()[:12]}", body)


def _kind(kind: str) -> str:
    if kind == "exact":
        return "exact: a validator votes only if its own output equals this one, tolerance 0"
    return f"{kind}: the weighted median of a committee, within the model's tolerance"


async def _voters(desk: Desk, block: BlockAnswer, values: str) -> Markup:
    """Each validator with the value that its vote stands for."""
    header = block.final.block.header
    validators, organisations = desk.node.validators(header.epoch), await desk.organisations()
    signed = await voters_of(desk.node, block, validators)
    mismatch = desk.node.status().mismatch
    rows: list[list[Child]] = []
    for item in validators.validators:
        is_signed = item.key in signed
        is_own = item.key == desk.node.status().validator_key
        word, value = ("agrees", values) if is_signed else ("no vote seen", "—")
        if is_own and mismatch is not None and mismatch.height == header.height:
            word, value = "disagrees", str(mismatch.computed)
        rows.append(
            [
                organisations.get(item.key, ""),
                code(item.key.hex()[:16]),
                item.weight,
                value,
                tag("span", word, class_="ok" if is_signed else "muted"),
                "proposed the block" if item.key == header.proposer else "",
            ]
        )
    return table(["organisation", "key", "#weight", "#value", "verdict", ""], rows)


async def _latency(desk: Desk, block: BlockAnswer) -> Markup:
    """What the chain's own clock says of the way of a prediction."""
    header = block.final.block.header
    carrier = block.final.path[-1] if block.final.path else header
    rows: list[list[Child]] = []
    if header.height > 1:
        before = (await desk.node.block(header.height - 1)).final.block.header.time_ms
        rows.append(["after the block before", f"{header.time_ms - before} ms"])
    rows.append(["certified at height", carrier.height])
    later = [row.time_ms for row in desk.recent.blocks if row.height == carrier.height + 1]
    if later:
        rows.append(["next block, its votes known to all", f"{later[0] - header.time_ms} ms later"])
    return table(["step", "#by the clocks of the leaders"], rows)


async def machines(desk: Desk) -> Page:
    """Machines with their last prediction."""
    models = await desk.models()
    rows: list[list[Child]] = []
    for name, history in reversed(desk.recent.machines.items()):
        last = history[-1]
        model = models.get(last.record.model_id, Model(last.record.model_id, {}))
        values = [max(0.0, model.value(row.record.output[0])) for row in history]
        rows.append(
            [
                link(place("machine", name), name),
                f"{model.value(last.record.output[0]):.1f}",
                len(history),
                sparkline(values[-60:], f"last predictions of {name}"),
                link(f"/prediction/{last.record.id.hex()}", f"height {last.record.height}"),
            ]
        )
    head = ["machine", "#last prediction", "#predictions", "course", "last at"]
    body: list[Child] = [
        table(head, rows[:ENTRIES_MAX]),
        section("Not heard of lately", await _quiet(desk)),
    ]
    return Page("Machines", body, live=True)


async def _quiet(desk: Desk) -> Markup:
    """Machines in the state of contracts that no recent block tells of."""
    rows: list[list[Child]] = []
    for contract in await desk.holders("machines"):
        prefix = state_prefix(contract, "machines")
        for key, raw in await desk.node.entries(prefix, None, ENTRIES_MAX):
            name, fields = decode_value(key[len(prefix) :]), texts(decode_value(raw))
            if isinstance(name, str) and fields and name not in desk.recent.machines:
                rows.append(
                    [
                        link(place("machine", name), name),
                        contract,
                        plain(fields.get("rul")),
                        plain(fields.get("state")),
                        plain(fields.get("height")),
                    ]
                )
    return table(["machine", "contract", "#last value", "state", "#height"], rows)


async def machine(desk: Desk, name: str) -> Page:
    """One machine: life curve, state in every contract that knows it, events."""
    history = list(desk.recent.machines.get(name, ()))
    models = await desk.models()
    points = []
    for row in history:
        model = models.get(row.record.model_id, Model(row.record.model_id, {}))
        value = max(0.0, model.value(row.record.output[0]))
        points.append(Point(row.record.height, value, f"height {row.record.height}: {value:.1f}"))
    known = await desk.holders("machines")
    states: list[Child] = []
    limits: list[tuple[str, float]] = []
    for contract in sorted({*known, *(row.record.contract for row in history)}):
        raw = (await desk.node.state(state_key(contract, "machines", name))).value
        if raw is not None:
            states.append(section(f"State in {contract}", value_facts(raw)))
        limits += await _limits(desk, contract)
    happened: list[list[Child]] = []
    for seen in desk.recent.events:
        fields = decode_value(seen.event.fields)
        if isinstance(fields, dict) and fields.get("machine") == name:
            happened.append(
                [
                    link(f"/tx/{seen.transaction_id.hex()}", seen.height),
                    f"{seen.event.contract}.{seen.event.name}",
                    value_line(seen.event.fields),
                ]
            )
    if not history and not happened and not states:
        raise InvalidInput(Code.NOT_FOUND, f"nothing is known of machine {name[:40]!r}")
    series = Series("predicted remaining life", points)
    body: list[Child] = [
        lines([series], limits, f"predicted remaining life of {name}", is_from_zero=True),
        states,
        section("Work orders", await _orders(desk, name)),
        section("Events", table(["#height", "event", "fields"], happened[:ROWS])),
        section("Predictions", _machine_rows(history, models)),
    ]
    return Page(name, body, live=True)


async def _orders(desk: Desk, name: str) -> Markup:
    """Work orders of a machine, newest first."""
    accounts = await names_of(desk)
    rows: list[list[Child]] = []
    for contract in await desk.holders("orders"):
        prefix = state_prefix(contract, "orders")
        for key, raw in await desk.node.entries(prefix, None, ORDERS_MAX):
            number, fields = decode_value(key[len(prefix) :]), texts(decode_value(raw))
            if fields.get("machine") == name and isinstance(number, int):
                rows.append([number, *_order_cells(fields, accounts)])
    return table(["#order", "status", "#opened at", "by", "on closing"], rows[::-1])


def _order_cells(fields: dict[str, Value], accounts: dict[bytes, str]) -> list[Child]:
    by, failed, opened = fields.get("by"), fields.get("failed"), plain(fields.get("opened"))
    verdict = "—"
    if isinstance(failed, bool):
        verdict = "it was failing" if failed else "false alarm"
    return [
        plain(fields.get("status")),
        link(f"/block/{opened}", opened),
        accounts.get(by, by.hex()[:12]) if isinstance(by, bytes) else "",
        verdict,
    ]


async def _limits(desk: Desk, contract: str) -> list[tuple[str, float]]:
    """The alert limit of a contract: its variable `limit`, or that field of its `options`."""
    raw = (await desk.node.state(state_key(contract, "limit"))).value
    value = None if raw is None else decode_value(raw)
    if raw is None:
        options = (await desk.node.state(state_key(contract, "options"))).value
        value = texts(None if options is None else decode_value(options)).get("limit")
    if not isinstance(value, Dec):
        return []
    return [(f"alert below {dec_to_text(value)}", value.scaled / DEC_SCALE)]


def _machine_rows(history: list[PredictionRow], models: dict[bytes, Model]) -> Markup:
    rows: list[list[Child]] = []
    for row in reversed(history[-ROWS:]):
        model = models.get(row.record.model_id, Model(row.record.model_id, {}))
        rows.append(
            [
                row.record.height,
                time_text(row.time_ms),
                link(
                    f"/prediction/{row.record.id.hex()}",
                    f"{model.value(row.record.output[0]):.1f}",
                ),
                model.name,
            ]
        )
    return table(["#height", "time", "#value", "model"], rows)

"""Pages of predictions: predictions, machines, models."""

from __future__ import annotations

from andon.core.codec import DEC_SCALE, Dec, decode_value
from andon.core.errors import Code, InvalidInput
from andon.core.json_value import dec_to_text
from andon.core.state_key import state_key, state_prefix
from node.explorer.html import Child, Markup, code, facts, link, place, section, table, tag
from node.explorer.recent import PredictionRow
from node.explorer.svg import Point, curve, sparkline
from node.explorer.view import (
    ENTRIES_MAX,
    ROWS,
    Desk,
    Model,
    Page,
    plain,
    prediction_table,
    time_text,
    value_facts,
    value_line,
    votes,
)


async def predictions(desk: Desk) -> Page:
    """Recent predictions."""
    return Page("Predictions", await prediction_table(desk, 2 * ROWS), live=True)


async def prediction(desk: Desk, identity: bytes) -> Page:
    """One prediction: value, votes by organisation, model, input digest, proof."""
    answer = await desk.node.prediction(identity)
    record, header = answer.record, answer.block.final.block.header
    validators, organisations = desk.node.validators(header.epoch), await desk.organisations()
    model = (await desk.models()).get(record.model_id, Model(record.model_id, {}))
    values = ", ".join(f"{model.value(output):.2f}" for output in record.output[:16])
    signed = await votes(desk, answer.block, validators, organisations)
    pairs: list[tuple[str, Child]] = [
        ("value", tag("strong", values)),
        ("output as voted", ", ".join(str(output) for output in record.output[:64])),
        ("model", link(f"/model/{record.model_id.hex()}", model.name)),
        ("class", f"{record.kind}: every signer recomputed this output before it voted"),
        ("votes", signed),
        ("input digest", code(record.input_digest.hex())),
        ("contract", link(place("contract", record.contract), record.contract)),
        ("asked by", link(f"/tx/{record.transaction_id.hex()}", code("transaction"))),
        ("block", link(f"/block/{header.height}", header.height)),
        ("time", time_text(header.time_ms)),
        ("proof", link(f"/proof/prediction/{record.id.hex()}", "download for andon verify")),
    ]
    return Page(f"Prediction {record.id.hex()[:12]}", facts(pairs))


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
    return Page("Machines", table(head, rows[:ENTRIES_MAX]), live=True)


async def machine(desk: Desk, name: str) -> Page:
    """One machine: life curve, state in every contract that knows it, events."""
    history = list(desk.recent.machines.get(name, ()))
    models = await desk.models()
    points = []
    for row in history:
        model = models.get(row.record.model_id, Model(row.record.model_id, {}))
        value = max(0.0, model.value(row.record.output[0]))
        points.append(Point(row.record.height, value, f"height {row.record.height}: {value:.1f}"))
    states: list[Child] = []
    limits: list[tuple[str, float]] = []
    for contract in sorted({row.record.contract for row in history}):
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
    if not history and not happened:
        raise InvalidInput(Code.NOT_FOUND, f"no recent block tells of machine {name[:40]!r}")
    body: list[Child] = [
        curve(points, limits, f"predicted remaining life of {name}"),
        states,
        section("Events", table(["#height", "event", "fields"], happened[:ROWS])),
        section("Predictions", _machine_rows(history, models)),
    ]
    return Page(name, body, live=True)


async def _limits(desk: Desk, contract: str) -> list[tuple[str, float]]:
    """The alert limit of a contract that keeps one in the variable `limit`."""
    raw = (await desk.node.state(state_key(contract, "limit"))).value
    value = None if raw is None else decode_value(raw)
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
    """One model: what the registry says, who attested, its recent predictions."""
    entry = (await desk.models()).get(identity)
    if entry is None:
        raise InvalidInput(Code.NOT_FOUND, f"the registry has no model {identity.hex()[:16]}")
    aliases, organisations = await aliases_of(desk), await desk.organisations()
    prefix = state_prefix("models", "attestations")
    attested: list[list[Child]] = []
    for key, raw in await desk.node.entries(prefix, None, 10 * ENTRIES_MAX):
        pair, verdict = decode_value(key[len(prefix) :]), decode_value(raw)
        if isinstance(pair, tuple) and len(pair) == 2 and pair[0] == identity:
            signer = pair[1] if isinstance(pair[1], bytes) else b""
            word = tag("span", "conforms", class_="ok") if verdict is True else "refused"
            attested.append([organisations.get(signer, ""), code(signer.hex()[:16]), word])
    pairs: list[tuple[str, Child]] = [
        ("id", code(identity.hex())),
        ("aliases", ", ".join(n for n, target in aliases.items() if target == identity) or "none"),
    ]
    for name, value in entry.fields.items():
        shown: Child = code(value.hex()) if isinstance(value, bytes) else plain(value)
        pairs.append((name.replace("_", " "), shown))
    used = sum(1 for row in desk.recent.predictions if row.record.model_id == identity)
    pairs.append(("recent predictions", used))
    body: list[Child] = [
        facts(pairs),
        section("Attestations", table(["organisation", "key", "verdict"], attested)),
    ]
    return Page(entry.name, body)


async def aliases_of(desk: Desk) -> dict[str, bytes]:
    """Model id by alias."""
    prefix = state_prefix("models", "aliases")
    found: dict[str, bytes] = {}
    for key, raw in await desk.node.entries(prefix, None, ENTRIES_MAX):
        alias, target = decode_value(key[len(prefix) :]), decode_value(raw)
        if isinstance(alias, str) and isinstance(target, bytes):
            found[alias] = target
    return found

"""Pages of the chain: overview, blocks, transactions, validators."""

from __future__ import annotations

import itertools

from andon.core.block import Header
from andon.core.certificate import ValidatorSet
from andon.core.errors import InvalidInput
from andon.core.transaction import parse_transaction
from node.explorer import pages_fl
from node.explorer.changes import changes
from node.explorer.html import Child, Markup, code, facts, link, place, section, table, tag
from node.explorer.svg import sparkline
from node.explorer.view import (
    ENTRIES_MAX,
    ROWS,
    TRANSACTION_HEAD,
    Desk,
    Model,
    Page,
    event_list,
    outcome,
    prediction_table,
    time_text,
    transaction_cells,
    transaction_row,
    validator_text,
    value_block,
    value_line,
    votes,
)
from node.facade import BlockAnswer

STRIP_BLOCKS = 60
ROUTINE_EVENTS = frozenset({"Assessed"})
"""Events that come with every prediction: the list of predictions shows them already."""


async def overview(desk: Desk) -> Page:
    """Height, pace, validators, latest predictions and alarms."""
    status, ready = desk.node.status(), desk.node.health("ready")
    blocks = list(desk.recent.blocks)
    gaps = [a.time_ms - b.time_ms for a, b in itertools.pairwise(blocks)][:60]
    alarms: list[Child] = [
        tag("li", f"{check.name}: {check.detail}") for check in ready.checks if not check.is_ok
    ]
    if status.mismatch is not None:
        alarms.append(
            tag(
                "li",
                f"prediction mismatch at height {status.mismatch.height}: model ",
                code(status.mismatch.model_id.hex()[:16]),
                f", element {status.mismatch.element}, block says "
                f"{status.mismatch.expected}, this node computes {status.mismatch.computed}",
            )
        )
    current = desk.node.validators()
    linked = sum(1 for peer in status.peers if peer.connected)
    mean = f"{sum(gaps) / len(gaps):.0f} ms" if gaps else "—"
    away = len(current.validators) - linked - (status.validator_key is not None)
    body: list[Child] = [
        _lamp(is_ready=ready.is_ok and status.mismatch is None, away=away),
        tag("ul", alarms, class_="alarms", role="alert") if alarms else None,
        facts(
            [
                ("chain", status.chain_id),
                ("height", tag("strong", status.height)),
                ("last block", time_text(status.time_ms)),
                ("mean interval", mean),
                ("epoch / slot", f"{status.epoch} / {status.slot}"),
                (
                    "validators",
                    link(
                        "/validators",
                        f"{len(current.validators)}, quorum {current.quorum} of "
                        f"{current.total_weight}, {linked} linked",
                    ),
                ),
                ("waiting transactions", status.mempool_count),
                ("worker", f"{status.worker_state} {status.worker_detail}"),
                ("node", "ready" if ready.is_ok else "not ready"),
                ("intervals", sparkline(gaps[::-1], "block intervals, ms")),
            ]
        ),
        section("Latest predictions", await prediction_table(desk, 10)),
        section("Alarms and events of contracts", event_table(desk, 8)),
        section("Federated training", await pages_fl.summary(desk)),
        section("Latest blocks", block_table(desk, 8)),
    ]
    return Page("Overview", body, live=True)


def _lamp(*, is_ready: bool, away: int) -> Markup:
    """The lamp on the line: green, amber or red, and in words."""
    colour, text = "good", "All is well: this node is ready and linked to every validator."
    if not is_ready:
        colour, text = "bad", "Something is wrong with this node:"
    elif away > 0:
        plural = "validators are" if away > 1 else "validator is"
        colour, text = "warn", f"This node is ready; {away} {plural} not linked to it."
    return tag("p", tag("span", class_="lamp"), text, class_=f"lamp-line {colour}", role="status")


async def blocks(desk: Desk, before: int | None) -> Page:
    """List of blocks, newest first, by cursor."""
    top = desk.node.status().height
    start = top if before is None else min(before - 1, top)
    validators = desk.node.validators()
    rows: list[list[Child]] = []
    for height in range(start, max(start - ROWS, -1), -1):
        try:
            block = await desk.node.block(height)
        except InvalidInput:
            break
        rows.append(block_row(block.final.block.header, block, validators))
    older = start - ROWS + 1
    more = link(f"/blocks?before={older}", "older") if older > 0 else None
    head = ["#height", "time", "block", "proposer", "#transactions", "#predictions", "#signed"]
    return Page("Blocks", [table(head, rows), more], live=before is None)


async def block(desk: Desk, reference: int | bytes) -> Page:
    """One block: header, votes, transactions, predictions."""
    block = await desk.node.block(reference)
    header = block.final.block.header
    validators = desk.node.validators(header.epoch)
    organisations = await desk.organisations()
    parent: Child = code(header.parent.hex())
    if header.height > 0:
        parent = link(f"/block/{header.parent.hex()}", parent)
    pairs: list[tuple[str, Child]] = [
        ("hash", code(block.hash.hex())),
        ("parent", parent),
        ("time", time_text(header.time_ms)),
        ("epoch / slot", f"{header.epoch} / {header.slot}"),
        ("proposer", validator_text(header.proposer, organisations)),
        ("gas used", f"{header.gas_used:,}"),
        ("state root", code(header.state_root.hex())),
        ("receipts root", code(header.receipts_root.hex())),
        ("predictions root", code(header.predictions_root.hex())),
        ("final by", await votes(desk, block, validators, organisations)),
    ]
    raws = block.final.block.transactions
    transactions = [
        transaction_cells(transaction_row(raw, receipt, header.height))
        for raw, receipt in zip(raws, block.receipts, strict=False)
    ]
    models = await desk.models()
    predictions: list[list[Child]] = [
        [
            link(f"/prediction/{record.id.hex()}", code(record.id.hex()[:16])),
            models.get(record.model_id, Model(record.model_id, {})).name,
            ", ".join(str(value) for value in record.output[:8]),
        ]
        for record in block.predictions[:ENTRIES_MAX]
    ]
    nav = [
        link(f"/block/{header.height - 1}", "previous") if header.height else None,
        " ",
        link(f"/block/{header.height + 1}", "next")
        if header.height < desk.node.status().height
        else None,
    ]
    return Page(
        f"Block {header.height}",
        [
            facts(pairs),
            section("Transactions", table(TRANSACTION_HEAD, transactions[:ENTRIES_MAX])),
            section("Predictions", table(["prediction", "model", "#output"], predictions)),
            nav,
        ],
    )


async def transactions(desk: Desk) -> Page:
    """Recent transactions."""
    rows = [transaction_cells(row) for row in list(desk.recent.transactions)[: 2 * ROWS]]
    return Page("Transactions", table(TRANSACTION_HEAD, rows), live=True)


async def transaction(desk: Desk, identity: bytes) -> Page:
    """One transaction: calls, outcome, events, predictions, proofs."""
    answer = await desk.node.transaction(identity)
    body = parse_transaction(answer.raw).body
    organisations = await desk.accounts()
    pairs: list[tuple[str, Child]] = [
        ("hash", code(identity.hex())),
        ("sender", [code(body.sender.hex()[:16]), " ", organisations.get(body.sender, "")]),
        ("expires at", body.expires_height),
        ("gas limit", f"{body.gas_limit:,}"),
    ]
    calls: list[Child] = [
        tag(
            "li",
            link(place("contract", call.contract), f"{call.contract}.{call.method}"),
            value_block(call.args),
        )
        for call in body.calls
    ]
    rest: list[Child] = [section("Calls", tag("ol", calls))]
    if answer.block is None or answer.index is None:
        pairs.append(("state", "waiting in the pool of this node"))
    else:
        header = answer.block.final.block.header
        receipt = answer.block.receipts[answer.index]
        where = link(f"/block/{header.height}", f"block {header.height}")
        pairs += [
            ("state", [tag("span", "final", class_="ok"), " in ", where]),
            ("gas used", f"{receipt.gas_used:,}"),
            ("outcome", outcome(receipt)),
            ("proof", link(f"/proof/tx/{identity.hex()}", "receipt proof for andon verify")),
        ]
        rest += [
            section("Results", [value_block(result) for result in receipt.results]),
            section("Events", event_list(receipt)),
            await changes(desk, identity),
        ]
        mine = [r for r in answer.block.predictions if r.transaction_id == identity]
        rest.append(
            section(
                "Predictions",
                [
                    tag("p", link(f"/prediction/{r.id.hex()}", code(r.id.hex())))
                    for r in mine[:ENTRIES_MAX]
                ],
            )
            if mine
            else None
        )
    return Page(f"Transaction {identity.hex()[:12]}", [facts(pairs), rest])


async def validators(desk: Desk) -> Page:
    """Validators, their organisations, and who signed the last blocks."""
    current, organisations = desk.node.validators(), await desk.organisations()
    peers = {peer.validator_key: peer for peer in desk.node.status().peers}
    blocks = [row for row in list(desk.recent.blocks)[:STRIP_BLOCKS] if row.signers]
    rows: list[list[Child]] = []
    for index, item in enumerate(current.validators):
        peer = peers.get(item.key)
        signed = [index in row.signers for row in blocks]
        strip = tag(
            "svg",
            tag("title", f"signed {sum(signed)} of the last {len(signed)} blocks"),
            [
                tag(
                    "rect",
                    x=4 * place,
                    y=0,
                    width=3,
                    height=14,
                    class_="signed" if is_signed else "absent",
                )
                for place, is_signed in enumerate(reversed(signed))
            ],
            viewBox=f"0 0 {4 * STRIP_BLOCKS} 14",
            class_="strip",
            role="img",
        )
        rows.append(
            [
                organisations.get(item.key, ""),
                code(item.key.hex()[:16]),
                item.weight,
                strip,
                f"{sum(signed)}/{len(signed)}",
                "this node" if peer is None else "connected" if peer.connected else "away",
            ]
        )
    note = (
        f"Quorum {current.quorum} of {current.total_weight}. A certificate holds the first "
        "signatures that reach the quorum, so a healthy validator may be missing from it."
    )
    head = ["organisation", "key", "#weight", "last blocks", "#in certificates", "link"]
    return Page("Validators", [table(head, rows), tag("p", note, class_="muted")], live=True)


def event_table(desk: Desk, count: int) -> Markup:
    """The last events that are no plain record of a prediction, from memory."""
    rows: list[list[Child]] = [
        [
            link(f"/tx/{row.transaction_id.hex()}", row.height),
            f"{row.event.contract}.{row.event.name}",
            value_line(row.event.fields),
        ]
        for row in desk.recent.events
        if row.event.name not in ROUTINE_EVENTS
    ]
    return table(["#height", "event", "fields"], rows[:count])


def block_table(desk: Desk, count: int) -> Markup:
    """The last blocks, from memory."""
    rows: list[list[Child]] = [
        [
            link(f"/block/{row.height}", row.height),
            time_text(row.time_ms),
            row.transactions,
            row.predictions,
            len(row.signers),
        ]
        for row in list(desk.recent.blocks)[:count]
    ]
    return table(["#height", "time", "#transactions", "#predictions", "#signed"], rows)


def block_row(header: Header, block: BlockAnswer, validators: ValidatorSet) -> list[Child]:
    """One line of the list of blocks."""
    signers = len(block.final.certificate.signers)
    return [
        link(f"/block/{header.height}", header.height),
        time_text(header.time_ms),
        code(block.hash.hex()[:16]),
        code(header.proposer.hex()[:12]),
        len(block.receipts),
        len(block.predictions),
        f"{signers}/{len(validators.validators)}",
    ]

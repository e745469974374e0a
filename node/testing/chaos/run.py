"""One run: start a network, load it, play the plan, ask for progress, stop, check the disks."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from andon.core.errors import AndonError
from andon.core.genesis import genesis_from_json
from andon.core.rpc_schema import StatusReply
from andon.core.transaction import Call, make_call
from node.testing.chaos.acts import PACKAGES, Act, Deed, published, weights_after
from node.testing.chaos.audit import NodeChain, audit_predictions, read_chain
from node.testing.chaos.checkers import Decided, check, check_decided
from node.testing.chaos.load import Load, add_one
from node.testing.chaos.log import EventLog
from node.testing.chaos.plan import ChaosPlan
from node.testing.chaos.player import Player
from node.testing.chaos.soak import Life, Sample, check_lives, lives, watch
from node.testing.chaos.steward import Steward, load_package
from node.testing.local_net import LocalNet, NetPlan

PROGRESS_BLOCKS = 5
PROGRESS_S = 25.0
"""All nodes must have gone on so far, so soon after the last fault."""
SUBMIT_MS = 10_000
SETTLE_S = 15.0
AUDIT_S = 300.0
EVENTS_FILE = "events.jsonl"
PLAN_FILE = "plan.json"
LOG_LINES_MAX = 5


@dataclass(slots=True)
class Report:
    """What one run showed; no `findings` means that everything held."""

    findings: list[str] = field(default_factory=list)
    height: int = 0
    acknowledged: int = 0
    acknowledged_in_faults: int = 0
    attempted: int = 0
    kills: int = 0
    acts: int = 0
    predictions: int = 0
    """Of the chain, all of them recomputed and found equal."""
    lives: list[Life] = field(default_factory=list)
    """Memory and open files of the processes, where the plan has them sampled."""
    healed_s: float = 0.0
    """From the end of faults and acts until all nodes had gone on."""
    took_s: float = 0.0


async def run_plan(plan: ChaosPlan, home: Path) -> Report:
    """Run a plan in an empty folder; nodes' homes, events and the plan stay there."""
    began_s = time.monotonic()
    report = Report()
    with EventLog(home / EVENTS_FILE) as log:
        document = msgspec.json.format(msgspec.json.encode(plan), indent=1)
        (home / PLAN_FILE).write_bytes(document + b"\n")
        net = LocalNet(
            NetPlan(
                home=home / "net",
                validators=plan.validators,
                observers=plan.observers,
                seed=plan.seed,
                worker_backend="cpu" if plan.has_models else "none",
                faults={plan.liar: "wrong-output"} if plan.liar else {},
                log_level="info" if plan.sample_ms else "debug",
            )
        )
        load = Load(net, log, plan.seed)
        steward = Steward(load)
        has_started = False
        try:
            async with net:
                has_started = True
                log.write("network.started", nodes=net.names)
                await _drive(plan, steward, report)
        except AndonError as error:
            report.findings.append(f"{error.code.name}: {error.message}")
        if has_started:  # a network that never ran has no chains to fit together
            await _examine(plan, steward, report)
        report.acknowledged = len(load.acknowledged)
        report.attempted = len(load.attempted)
        report.took_s = time.monotonic() - began_s
        for finding in report.findings:
            log.write("finding.made", text=finding)
        log.write("run.ended", findings=len(report.findings), took_ms=int(1000 * report.took_s))
    return report


async def _examine(plan: ChaosPlan, steward: Steward, report: Report) -> None:
    """Compare what the disks hold with what clients were told and organisations decided."""
    load, net = steward.load, steward.load.net
    report.acts = len(steward.done)
    try:
        chains = [read_chain(name, net.home(name).data / "chain") for name in net.names]
    except AndonError as error:
        report.findings.append(f"{error.code.name}: {error.message}")
    else:
        accounts = [
            item for item in net.manifest.accounts if item.roles[0] in ("operator", "admin")
        ]
        senders = {bytes.fromhex(item.public) for item in accounts}
        report.findings += check(chains, load.acknowledged, load.attempted, senders)
        report.height = max(chain.height for chain in chains)
        if steward.has_done(plan.acts):
            report.findings += _undecided(plan, steward, chains)
        if plan.has_models:
            await _recompute(plan, steward, report)
    report.findings += _logged(net)


def _undecided(plan: ChaosPlan, steward: Steward, chains: list[NodeChain]) -> list[str]:
    """What is not as decided in the chains of those that take part."""
    weights = weights_after(plan.names, steward.done)
    keys = {
        node.name: bytes.fromhex(node.validator_key) for node in steward.load.net.manifest.nodes
    }
    decided = Decided(
        weights=tuple(sorted((keys[name], weight) for name, weight in weights.items())),
        serving=load_package(steward.serving).identity if steward.serving else b"",
    )
    taking_part = [chain for chain in chains if chain.name in steward.taking_part]
    return [finding for chain in taking_part for finding in check_decided(chain, decided)]


async def _recompute(plan: ChaosPlan, steward: Steward, report: Report) -> None:
    """Every prediction of the chain is what this machine computes."""
    net = steward.load.net
    genesis = genesis_from_json((net.plan.home / "genesis.json").read_bytes())
    name = next(name for name in steward.members if name != plan.liar)
    try:
        result = await audit_predictions(genesis, net.home(name), _audit_s(plan))
    except AndonError as error:
        report.findings.append(f"audit of {name}: {error.code.name}: {error.message}")
        return
    report.predictions = result.predictions
    if result.difference is not None:
        report.findings.append(f"{name} holds a prediction that is wrong: {result.difference}")
    elif not result.is_complete:
        report.findings.append(f"audit of {name} came to {result.reached} of {result.last}")


def _audit_s(plan: ChaosPlan) -> float:
    """A chain is executed again faster than it grew."""
    return AUDIT_S + plan.faults_ms / 1000


async def _drive(plan: ChaosPlan, steward: Steward, report: Report) -> None:
    load, net = steward.load, steward.load.net
    await load.deploy()
    if plan.liar and not published(plan.acts):
        await steward.do(Act(deed=Deed.ACTIVATE, at_ms=0, package=PACKAGES[0]))
    sizes = {name: load_package(name).manifest.input_bytes for name in PACKAGES}

    def assess(count: int) -> Call:
        if not steward.serving:
            return add_one(count)
        width = sizes[steward.serving]
        window = bytes((count * 7 + index * 13 + plan.seed) % 100 for index in range(width))
        return make_call("maintenance", "assess", {"machine": "m-1", "window": window})

    player = Player(net, plan, load.log)
    async with asyncio.TaskGroup() as group:
        clients = [
            group.create_task(load.run(number, assess if number == 1 else add_one))
            for number in range(1, plan.clients + 1)
        ]
        acting = group.create_task(_act(plan, steward, report))
        samples: list[Sample] = []
        if plan.sample_ms:
            clients.append(group.create_task(watch(net, plan.sample_ms, load.log, samples)))
        try:
            await player.play()
            report.acknowledged_in_faults = len(load.acknowledged)
            report.kills = player.kills
            await acting
            await _progress(steward, report)
        finally:
            for task in (*clients, acting):
                task.cancel()
    report.lives = lives(samples)
    report.findings += check_lives(report.lives)
    await _settle(steward, report)
    if plan.liar:
        await _expose(plan, net, report)


async def _act(plan: ChaosPlan, steward: Steward, report: Report) -> None:
    try:
        await steward.run(plan.acts)
    except AndonError as error:
        report.findings.append(error.message)


async def _progress(steward: Steward, report: Report) -> None:
    """All nodes reach new heights, and each takes a transaction; what does not is a finding.

    Those that were voted out stand where they were, as they should, but must not have ended.
    """
    load, net, names = steward.load, steward.load.net, steward.taking_part
    healed_s = time.monotonic()
    target = await net.height() + PROGRESS_BLOCKS
    try:
        await net.wait_height(target, PROGRESS_S, names)
    except AndonError as error:
        report.findings.append(f"no progress to height {target} after the faults: {error.message}")
        return
    report.healed_s = time.monotonic() - healed_s
    load.log.write("network.progressed", height=target, took_ms=int(1000 * report.healed_s))
    done = await asyncio.gather(*(load.submit_once(name, SUBMIT_MS) for name in names))
    report.findings += [
        f"{name} did not make a transaction final within {SUBMIT_MS} ms after the faults"
        for name, is_final in zip(names, done, strict=True)
        if not is_final
    ]
    report.findings += [
        f"{name} ended by itself: see {net.home(name).logs}"
        for name in net.names
        if not net.is_alive(name)
    ]


async def _settle(steward: Steward, report: Report) -> None:
    """Every node gets every acknowledged transaction, now that no new ones come."""
    promised = max((item.height for item in steward.load.acknowledged), default=0)
    try:
        await steward.load.net.wait_height(promised, SETTLE_S, steward.taking_part)
    except AndonError as error:
        report.findings.append(f"not all nodes reached height {promised}: {error.message}")


async def _expose(plan: ChaosPlan, net: LocalNet, report: Report) -> None:
    """Only the liar disagrees with what is final on predictions.

    Others disagree with a block that it proposes, until an honest one with the same input is final.
    """
    honest = [name for name in net.names if name != plan.liar]

    def agree(statuses: dict[str, StatusReply]) -> bool:
        return all(status.mismatch is None for status in statuses.values())

    try:
        await net.wait(agree, SETTLE_S, honest)
    except AndonError:
        for name, status in (await net.statuses(honest)).items():
            if status.mismatch is not None:
                report.findings.append(f"{name} reports a mismatch though its worker is honest")


def _logged(net: LocalNet) -> list[str]:
    """Tracebacks that nodes printed: a node must never fail in a way that it does not name."""
    found = []
    for name in net.names:
        for path in sorted(net.home(name).logs.glob("*.log")):
            count = path.read_text(encoding="utf-8", errors="replace").count("Traceback")
            if count and path.name != "worker.log":
                found.append(f"{name}: {count} tracebacks in {path}")
    return found[:LOG_LINES_MAX]

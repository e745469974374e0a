"""One run: start a network, load it, play the plan, ask for progress, stop, check the disks."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from andon.client.models import Models, manifest_of_blob
from andon.core.errors import AndonError
from andon.core.transaction import Call, make_call
from node.checkout import CHECKOUT
from node.testing.chaos.audit import read_chain
from node.testing.chaos.checkers import check
from node.testing.chaos.load import Load, add_one
from node.testing.chaos.log import EventLog
from node.testing.chaos.plan import ChaosPlan
from node.testing.chaos.player import Player
from node.testing.local_net import LocalNet, NetPlan

PROGRESS_BLOCKS = 5
PROGRESS_S = 25.0
"""All nodes must have gone on so far, so soon after the last fault."""
SUBMIT_MS = 10_000
SETTLE_S = 15.0
MODEL_S = 40
EVENTS_FILE = "events.jsonl"
PLAN_FILE = "plan.json"
PACKAGE = CHECKOUT / "models" / "packages" / "rul-demo" / "package.blob"
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
    healed_s: float = 0.0
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
                worker_backend="cpu" if plan.liar else "none",
                faults={plan.liar: "wrong-output"} if plan.liar else {},
            )
        )
        load = Load(net, log, plan.seed)
        has_started = False
        try:
            async with net:
                has_started = True
                log.write("network.started", nodes=net.names)
                await _drive(plan, net, load, report)
        except AndonError as error:
            report.findings.append(f"{error.code.name}: {error.message}")
        if has_started:  # a network that never ran has no chains to fit together
            _examine(net, load, report)
        report.acknowledged = len(load.acknowledged)
        report.attempted = len(load.attempted)
        report.took_s = time.monotonic() - began_s
        for finding in report.findings:
            log.write("finding.made", text=finding)
        log.write("run.ended", findings=len(report.findings), took_ms=int(1000 * report.took_s))
    return report


def _examine(net: LocalNet, load: Load, report: Report) -> None:
    """Compare what the disks hold with what clients were told."""
    try:
        chains = [read_chain(name, net.home(name).data / "chain") for name in net.names]
    except AndonError as error:
        report.findings.append(f"{error.code.name}: {error.message}")
    else:
        organisations = range(1, net.plan.validators + 1)
        senders = {net.key(f"org-{number}-operator").public for number in organisations}
        report.findings += check(chains, load.acknowledged, load.attempted, senders)
        report.height = max(chain.height for chain in chains)
    report.findings += _logged(net)


async def _drive(plan: ChaosPlan, net: LocalNet, load: Load, report: Report) -> None:
    await load.deploy()
    windows = await _activate(net) if plan.liar else 0

    def assess(count: int) -> Call:
        window = bytes((count * 7 + index * 13 + plan.seed) % 100 for index in range(windows))
        return make_call("maintenance", "assess", {"machine": "m-1", "window": window})

    player = Player(net, plan, load.log)
    async with asyncio.TaskGroup() as group:
        clients = [
            group.create_task(load.run(number, assess if windows and number == 1 else add_one))
            for number in range(1, plan.clients + 1)
        ]
        try:
            await player.play()
            report.acknowledged_in_faults = len(load.acknowledged)
            report.kills = player.kills
            await _progress(net, load, report)
        finally:
            for client in clients:
                client.cancel()
    await _settle(net, load, report)
    if plan.liar:
        await _expose(plan, net, report)


async def _progress(net: LocalNet, load: Load, report: Report) -> None:
    """All nodes reach new heights, and each takes a transaction; what does not is a finding."""
    healed_s = time.monotonic()
    target = await net.height() + PROGRESS_BLOCKS
    try:
        await net.wait_height(target, PROGRESS_S)
    except AndonError as error:
        report.findings.append(f"no progress to height {target} after the faults: {error.message}")
        return
    report.healed_s = time.monotonic() - healed_s
    load.log.write("network.progressed", height=target, took_ms=int(1000 * report.healed_s))
    done = await asyncio.gather(*(load.submit_once(name, SUBMIT_MS) for name in net.names))
    report.findings += [
        f"{name} did not make a transaction final within {SUBMIT_MS} ms after the faults"
        for name, is_final in zip(net.names, done, strict=True)
        if not is_final
    ]
    report.findings += [
        f"{name} ended by itself: see {net.home(name).logs}"
        for name in net.names
        if not net.is_alive(name)
    ]


async def _settle(net: LocalNet, load: Load, report: Report) -> None:
    """Every node gets every acknowledged transaction, now that no new ones come."""
    promised = max((item.height for item in load.acknowledged), default=0)
    try:
        await net.wait_height(promised, SETTLE_S)
    except AndonError as error:
        report.findings.append(f"not all nodes reached height {promised}: {error.message}")


async def _activate(net: LocalNet) -> int:
    """Publish the demo model and wait until the validators have attested; its input size."""
    blob = await asyncio.to_thread(PACKAGE.read_bytes)
    manifest = manifest_of_blob(blob)
    async with net.client() as client:
        registry = Models(client, net.key("org-1-modeler"))
        identity = await registry.publish(blob, manifest)
        await registry.wait_active(identity, MODEL_S)
        await registry.set_alias("turbofan-rul", identity)
    return manifest.input_bytes


async def _expose(plan: ChaosPlan, net: LocalNet, report: Report) -> None:
    """Only the liar disagrees with the others on predictions."""
    for name, status in (await net.statuses()).items():
        if name != plan.liar and status.mismatch is not None:
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

"""Kill gateway, broker and node again and again while messages arrive; then count on chain.

`make gateway-kill` sends 100,000 messages through a real Mosquitto and kills the gateway with
SIGKILL 20 times; `--broker-kills` and `--node-kills` do the same to its neighbours, and start them
again when the gateway has said why it waits. At the end every message is counted on chain once,
none is missing and none is there twice; the journal holds each exactly once and gives the digests
that are on chain.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from andon.client import AsyncClient
from andon.core.codec import Value
from andon.core.errors import AndonError, Unavailable
from andon.gateway.config import MetricsTable, OutboxTable
from andon.gateway.metrics import ask
from andon.gateway.outbox import Outbox
from andon.gateway.watch import CHAIN, part_of
from node.checkout import CHECKOUT
from node.testing.broker import Broker, find_mosquitto
from node.testing.local_net import LocalNet, NetPlan, free_ports
from scripts.bench.conditions import conditions
from scripts.gateway_plant import MACHINES, Publisher, payload, topic

CLIENT_ID = "gateway-1"
WAIT_S = 600.0
QUIET_MS = 2_000
START_S = 60.0
REASON_S = 60.0
LEAST_LIFE_S = 0.8
GATEWAY = (sys.executable, "-m", "andon.cli.main", "gateway", "run")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Size of a campaign; `kills` are of the gateway, `up_s` is the range between two kills."""

    messages: int
    kills: int = 0
    broker_kills: int = 0
    node_kills: int = 0
    seed: int
    rate_per_s: int = 1500
    up_s: tuple[float, float] = (0.3, 3.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was found."""

    messages: int
    kills: int
    published_again: int
    on_chain: int
    windows: int
    late: int
    redelivered: int
    journal_missing: int
    journal_twice: int
    digests_wrong: int
    reasons: tuple[str, ...]
    """What the gateway said while its broker or its node was dead."""
    seconds: float

    @property
    def is_exact(self) -> bool:
        """True if nothing was lost or counted twice."""
        return (
            self.on_chain == self.messages
            and self.journal_missing == self.journal_twice == self.digests_wrong == 0
        )


def config(port: int, node: str, count: int, metrics: int = 0) -> str:
    """The gateway's file."""
    return f"""
[metrics]
port = {metrics}

[chain]
nodes = ["{node}"]
key = "gateway.key"

[outbox]
journal_max = {count * 2}

[[streams]]
name = "presses"
row_ms = 100
stride = 10
lateness_ms = 500
idle_ms = {QUIET_MS}
[streams.channels.temperature]
[streams.channels.vibration]

[[mqtt]]
port = {port}
client_id = "{CLIENT_ID}"
"""


async def run(plan: Plan, folder: Path) -> Report:
    """Run one campaign in a folder."""
    started = time.monotonic()
    async with (
        LocalNet(NetPlan(home=folder / "net", validators=1, seed=plan.seed)) as net,
        Broker(folder / "broker", plan.seed + 1) as broker,
    ):
        home = folder / "gateway"
        home.mkdir()
        entry = next(a for a in net.manifest.accounts if a.name == "org-1-operator")
        shutil.copy(net.plan.home / entry.key_file, home / "gateway.key")
        node = net.node("node-1").rpc
        metrics = free_ports(1, plan.seed + 2)
        (home / "gw.toml").write_text(config(broker.port, node, plan.messages, metrics))
        process = Gateway(home)
        try:
            await process.first_session()
            publisher = Publisher(broker.port, plan.messages, plan.rate_per_s)
            publishing = threading.Thread(target=publisher.run)
            publishing.start()
            await process.start()
            victims = Victims(process, broker, net, MetricsTable(port=metrics))
            reasons = await victims.kill_all(plan)
            await asyncio.to_thread(publishing.join)
            gateway = net.key("org-1-operator").public
            async with net.client() as client:
                await _until_counted(client, gateway, plan.messages, process)
                await process.end()
                found = await _report(client, gateway, plan, home, started)
                return replace(found, published_again=publisher.again, reasons=reasons)
        finally:
            await process.end()  # also after a failure: it would go on without its neighbours


@dataclass(frozen=True, slots=True)
class Victims:
    """What may be killed, and the gateway's face that tells what it waits for."""

    gateway: Gateway
    broker: Broker
    net: LocalNet
    face: MetricsTable

    async def kill_all(self, plan: Plan) -> tuple[str, ...]:
        """Kill in a drawn order; gives what the gateway said each time it had to wait."""
        chance = random.Random(plan.seed)  # noqa: S311 - a repeatable campaign
        order = ["gateway"] * plan.kills
        order += ["broker"] * plan.broker_kills + ["node"] * plan.node_kills
        chance.shuffle(order)
        reasons = []
        for victim in order:
            await asyncio.sleep(LEAST_LIFE_S + chance.uniform(*plan.up_s))
            match victim:
                case "gateway":
                    await self.gateway.kill()
                    await self.gateway.start()
                case "broker":
                    await self._reason(part_of(CLIENT_ID), works=True)
                    await self.broker.kill()
                    reasons.append(await self._reason(part_of(CLIENT_ID), works=False))
                    await self.broker.start()
                case _:
                    await self.net.kill("node-1")
                    reasons.append(await self._reason(CHAIN, works=False))
                    await self.net.start("node-1")
        return tuple(reasons)

    async def _reason(self, part: str, *, works: bool) -> str:
        """Wait until a part works, or until it says what it waits for."""
        async with asyncio.timeout(REASON_S):
            while True:
                self.gateway.check()
                with contextlib.suppress(Unavailable):  # it has not begun to serve
                    found = {item.part: item for item in (await ask(self.face, 5)).parts}
                    if part in found and found[part].works == works:
                        return found[part].reason
                await asyncio.sleep(0.05)


class Gateway:
    """The gateway of a folder as a process of its own."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._process: asyncio.subprocess.Process | None = None

    async def first_session(self) -> None:
        """Let the broker know the session before anything is published."""
        await self.start()
        async with asyncio.timeout(START_S):
            while "subscribed" not in (self._home / "gateway.log").read_text():
                self.check()
                await asyncio.sleep(0.1)
        await self.end()

    async def start(self) -> None:
        """Start the gateway."""
        with (self._home / "gateway.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *GATEWAY, str(self._home / "gw.toml"), cwd=CHECKOUT, stdout=log, stderr=log
            )

    def check(self) -> None:
        """Fail with its log if the gateway ended by itself."""
        if self._process is not None and self._process.returncode is not None:
            log = (self._home / "gateway.log").read_text()[-2000:]
            raise RuntimeError(f"the gateway ended by itself:\n{log}")

    async def end(self) -> None:
        """SIGTERM."""
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()

    async def kill(self) -> None:
        """SIGKILL; it has to be alive until then."""
        self.check()
        assert self._process is not None
        self._process.kill()
        await self._process.wait()


def publish(port: int, count: int, rate_per_s: int = 0) -> None:
    """Publish all messages at QoS 1 and wait for the broker's acknowledgements."""
    Publisher(port, count, rate_per_s).run()


async def _lines(client: AsyncClient, gateway: bytes) -> dict[str, dict[str, int | bytes]]:
    found: dict[str, dict[str, int | bytes]] = {}
    for number in range(MACHINES):
        machine = f"press-{number}"
        entry: Value = await client.state("telemetry", "lines", (gateway, machine))
        if isinstance(entry, dict):
            found[machine] = {
                str(name): item for name, item in entry.items() if isinstance(item, int | bytes)
            }
    return found


def _total(lines: dict[str, dict[str, int | bytes]], name: str) -> int:
    return sum(value for line in lines.values() if isinstance(value := line[name], int))


async def _until_counted(
    client: AsyncClient, gateway: bytes, messages: int, process: Gateway
) -> None:
    deadline = time.monotonic() + WAIT_S
    while True:
        process.check()
        with contextlib.suppress(AndonError):  # a node that was killed is not up yet
            if _total(await _lines(client, gateway), "count") >= messages:
                break
        if time.monotonic() > deadline:
            return
        await asyncio.sleep(0.5)
    await asyncio.sleep(QUIET_MS / 1000 + 1)  # what is there twice would still come


async def _report(
    client: AsyncClient, gateway: bytes, plan: Plan, home: Path, started: float
) -> Report:
    lines = await _lines(client, gateway)
    with Outbox(home / "gateway.outbox", OutboxTable()) as outbox:
        kept = list(outbox.journal())
        counters = outbox.counters()
    seen = Counter((item.topic, item.payload) for item in kept)
    expected = {(topic(number), payload(number)) for number in range(plan.messages)}
    digests = {f"press-{number}": bytes(32) for number in range(MACHINES)}
    for item in kept:
        machine = item.topic.split("/")[1]
        digests[machine] = hashlib.sha256(digests[machine] + item.identity).digest()
    return Report(
        messages=plan.messages,
        kills=plan.kills + plan.broker_kills + plan.node_kills,
        published_again=0,
        on_chain=_total(lines, "count"),
        windows=_total(lines, "windows"),
        late=_total(lines, "late"),
        redelivered=counters["duplicates"],
        journal_missing=len(expected - set(seen)),
        journal_twice=sum(count - 1 for count in seen.values()),
        digests_wrong=sum(lines[name]["digest"] != chained for name, chained in digests.items()),
        reasons=(),
        seconds=time.monotonic() - started,
    )


def main() -> int:
    """Run from the command line; 0 if nothing was lost or doubled."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--broker-kills", type=int, default=0)
    parser.add_argument("--node-kills", type=int, default=0)
    parser.add_argument("--rate", type=int, default=1500, help="messages a second; kills need time")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if find_mosquitto() is None:
        print("gateway campaign: mosquitto is not installed (apt-get install mosquitto)")
        return 1
    for name, value in conditions().items():
        print(f"{name:16} {value}")
    plan = Plan(
        messages=options.messages,
        kills=options.kills,
        broker_kills=options.broker_kills,
        node_kills=options.node_kills,
        seed=options.seed,
        rate_per_s=options.rate,
    )
    with tempfile.TemporaryDirectory() as folder:
        report = asyncio.run(run(plan, Path(folder)))
    for name in report.__dataclass_fields__:
        print(f"{name:16} {getattr(report, name)}")
    print("nothing lost, nothing twice" if report.is_exact else "NOT EXACT")
    return 0 if report.is_exact else 1


if __name__ == "__main__":
    sys.exit(main())

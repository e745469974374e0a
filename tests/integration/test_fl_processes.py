"""Plants as real processes, killed with SIGKILL in the middle of a round and started again."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from andon.client.federated import CONTRACTS, TrainingLedger
from andon.core.codec import Value
from andon.core.genesis import genesis_from_json
from andon.core.keys import PrivateKey
from andon.core.transaction import make_call
from contracts_py.library import source
from models.federated.command import Terms, create_run
from models.federated.service import run_validator
from node.checkout import CHECKOUT
from node.keystore import load_key
from node.testing.local_net import LocalNet
from node.testing.pytest_plugin import OpenNet

pytestmark = [pytest.mark.integration, pytest.mark.slow]

RUN = "killed"
ROUNDS = 2
PLANTS = (1, 2, 3)
WAIT_S = 300.0
"""An overloaded machine takes long."""


@dataclass(slots=True)
class PlantProcess:
    """`andon fl run` of one plant, and `andon fl resume` after a kill."""

    home: Path
    number: int
    verb: str = "run"
    process: asyncio.subprocess.Process | None = None
    logs: list[Path] = field(default_factory=list)

    @property
    def trained(self) -> Path:
        return self.home / f"trained-{self.number}"

    def said(self) -> str:
        """All that its processes have printed."""
        return "".join(log.read_text(encoding="utf-8") for log in self.logs)

    async def start(self) -> None:
        """Start it as a user does."""
        self.logs.append(self.home / f"plant-{self.number}-{len(self.logs)}.log")
        arguments = ["fl", self.verb, RUN, "--train", "tests.integration.plants:train"]
        place = ["--from", f"org-{self.number}-operator", "--home", str(self.home)]
        environment = {
            **os.environ,
            "PYTHONPATH": str(CHECKOUT),
            "PLANT": str(self.number),
            "TRAINED": str(self.trained),
        }
        with self.logs[-1].open("w", encoding="utf-8") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "andon.cli.main", *arguments, *place,
                cwd=CHECKOUT, env=environment, stdout=log, stderr=log,
            )  # fmt: skip

    async def killed_after(self, words: str) -> None:
        """Kill it with SIGKILL once it has said the words, and start it again."""
        assert self.process is not None
        deadline = time.monotonic() + WAIT_S
        while words not in self.said():
            assert time.monotonic() < deadline, self.said()
            assert self.process.returncode is None, self.said()
            await asyncio.sleep(0.02)
        self.process.send_signal(signal.SIGKILL)
        assert await self.process.wait() == -signal.SIGKILL
        self.verb = "resume"
        await self.start()

    async def ended(self) -> None:
        """Wait until it has ended by itself, well."""
        assert self.process is not None
        async with asyncio.timeout(WAIT_S):
            assert await self.process.wait() == 0, self.said()
        assert self.said().rstrip().endswith("the run has ended")


@asynccontextmanager
async def opened(net: LocalNet) -> AsyncIterator[TrainingLedger]:
    """A network with the contracts and a run; its validators attest."""
    genesis = genesis_from_json((net.plan.home / "genesis.json").read_bytes())
    urls = [net.node(name).rpc for name in net.names]

    def account(role: str) -> PrivateKey:
        return net.key(next(item.name for item in net.manifest.accounts if role in item.roles))

    async with net.client() as client:
        for name in CONTRACTS:
            words: dict[str, Value] = {"name": name, "source": source(name).decode(), "args": {}}
            call = make_call("contracts", "deploy", words)
            (await client.submit(call, key=account("deployer"))).require()
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        owner = await stack.enter_async_context(
            TrainingLedger(urls, account("modeler"), genesis=genesis)
        )
        members = [bytes(net.key(f"org-{number}-operator").public) for number in PLANTS]
        terms = Terms(rounds=ROUNDS, patience=300)
        await create_run(owner, RUN, members, "tests.integration.plants:initial", terms)
        for name in net.names:
            key = load_key(net.home(name).keys / "validator.key")
            ledger = await stack.enter_async_context(TrainingLedger(urls, key, genesis=genesis))
            group.create_task(run_validator(ledger, RUN, key.public, report=lambda text: None))
        yield owner


async def test_plants_killed_in_any_phase_come_back_and_every_update_counts_once(
    open_net: OpenNet,
) -> None:
    async with open_net(seed=97) as net:
        await net.wait_height(1, 60)
        plants = [PlantProcess(net.plan.home, number) for number in PLANTS]
        async with opened(net) as owner:
            for plant in plants:
                await plant.start()
            first, second, third = plants
            await asyncio.gather(
                # While it trains; with its update on disk and sent; with its shares dealt.
                first.killed_after("round 1: deal"),
                second.killed_after("round 1: commit"),
                third.killed_after("round 2: announce"),
            )
            for plant in plants:
                await plant.ended()
            rounds = [await owner.state("rounds", (RUN, number + 1)) for number in range(ROUNDS)]
    for current in rounds:
        assert isinstance(current, dict)
        assert isinstance(current["frozen"], list)
        # Nobody was passed over and no attempt was repeated.
        assert (current["attempt"], len(current["frozen"])) == (1, len(PLANTS))
    # What was on disk before the kill was not trained again.
    assert second.trained.read_text(encoding="utf-8").split() == ["1", "2"]
    assert [len(plant.logs) for plant in plants] == [2, 2, 2]
    assert not list((net.plan.home / "federated").rglob("*.journal"))

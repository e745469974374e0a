"""A grouped run over real nodes: opened and joined by the command line, with one poisoner."""

import asyncio
import io
import os
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from andon.client.federated import CONTRACTS, TrainingLedger
from andon.client.wallet import load_key_file
from andon.core.codec import Value
from andon.core.genesis import genesis_from_json
from andon.core.keys import PrivateKey
from andon.core.transaction import make_call
from models.federated.command import fetch_model
from models.federated.journal import Entry, Journal
from models.federated.plant import Plant, Sight
from models.federated.service import run_plant, run_validator
from models.federated.trained import Floats, Trained
from node.testing.local_net import LocalNet
from node.testing.pytest_plugin import OpenNet

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
ELEMENTS, STEP = 16, 0.25
MEMBERS = [f"org-{k}-{role}" for k in (1, 2, 3) for role in ("operator", "deployer")]


def initial() -> Floats:
    """Where `andon fl create` lets everybody start."""
    return np.zeros(ELEMENTS, np.float32)


def train(model: Floats, number: int) -> Trained:
    del number
    return Trained(update=np.full(len(model), STEP, np.float32))


class Poisoner(Plant):
    """Once a bound is known, it declares a short update and sends the longest that fits."""

    def _trained(self, sight: Sight) -> Entry | None:
        entry = super()._trained(sight)
        if entry is None or sight.progress.number == 1:
            return entry
        long = np.full(ELEMENTS, -10 << 16, "<i4")
        return msgspec.structs.replace(entry, update=long.tobytes(), norm=1)


async def andon(net: LocalNet, *words: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "andon.cli.main", "--home", str(net.plan.home), *words),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    return out.decode()


async def test_a_poisoner_costs_its_group_a_round_and_moves_the_model_nowhere(
    open_net: OpenNet, tmp_path: Path
) -> None:
    async with open_net(seed=61) as net:
        await net.wait_height(1, 30)
        async with net.client("node-1", account="org-1-deployer") as client:
            for name in CONTRACTS:
                source = (ROOT / "contracts_py" / "library" / f"{name}.py").read_text("utf-8")
                words: dict[str, Value] = {"name": name, "source": source, "args": {}}
                (await client.submit(make_call("contracts", "deploy", words))).require()
        keys = {net.key(name).public: net.key(name) for name in MEMBERS}
        named = [word for key in keys for word in ("--member", "0x" + key.hex())]
        start = "tests.integration.test_grouped:initial"
        shape = ("--mode", "grouped", "--groups", "2", "--rounds", "2", "--patience", "100")
        made = await andon(net, "fl", "create", "groups", "--initial", start, *named, *shape)
        assert f"6 members, {ELEMENTS} parameters" in made
        order = sorted(keys)
        traitor = order[2]
        joined = await andon(net, "fl", "join", "groups", "--from", MEMBERS[0])
        group = order.index(net.key(MEMBERS[0]).public) % 2
        assert f"member of groups, group {group}; privacy spent 0" in joined
        state, rounds = await carried_out(net, keys, traitor, tmp_path)
        # The sum is longer than three honest ones: all three of its group are left out.
        assert rounds[0]["left_out"] == []
        assert rounds[1]["left_out"] == [name for name in order if order.index(name) % 2 == 0]
        assert np.abs(state - 2 * STEP).max() < 1e-3


async def carried_out(
    net: LocalNet, keys: dict[bytes, PrivateKey], traitor: bytes, folder: Path
) -> tuple[Floats, list[dict[str, Value]]]:
    """Plants and validators work until the run has ended: its model, and what closed the rounds."""
    genesis = genesis_from_json((net.plan.home / "genesis.json").read_bytes())
    urls = [node.rpc for node in net.manifest.nodes]
    validators = [load_key_file(net.home(name).keys / "validator.key") for name in net.names]

    async def plant(key: PrivateKey) -> None:
        kind = Poisoner if key.public == traitor else Plant
        worker = kind(key.public, Journal(folder / key.public.hex()[:8]), train)
        async with TrainingLedger(urls, key, genesis=genesis) as ledger:
            await run_plant(ledger, "groups", key.public, worker, lambda text: None)

    async def validator(key: PrivateKey) -> None:
        async with TrainingLedger(urls, key, genesis=genesis) as ledger:
            await run_validator(ledger, "groups", key.public, report=lambda text: None)

    async with asyncio.timeout(150), asyncio.TaskGroup() as group:
        for key in keys.values():
            group.create_task(plant(key))
        for key in validators:
            group.create_task(validator(key))
    found: list[dict[str, Value]] = []
    async with TrainingLedger(urls, validators[0], genesis=genesis) as ledger:
        for number in (1, 2):
            value = await ledger.state("rounds", ("groups", number))
            assert isinstance(value, dict)
            assert isinstance(value["result"], dict)
            found.append({str(name): part for name, part in value["result"].items()})
        data, _ = await fetch_model(ledger, "groups")
    return np.load(io.BytesIO(data)), found

"""Federated rounds over a network: four validators and ten plants, seconds a masked round.

Nodes are processes; plants and the validators' recomputation are tasks of this one, each with its
own key, connection and journal. Training does nothing, so all of a round is overhead.
`FEDERATED_SIZES=6337,1002697` chooses sizes.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

import numpy as np

from andon.client.async_client import AsyncClient
from andon.client.federated import CONTRACTS, TrainingLedger
from andon.client.wallet import load_key_file
from andon.core.codec import Value
from andon.core.genesis import Genesis, Params, genesis_from_json
from andon.core.keys import PrivateKey
from andon.core.transaction import make_call
from models.federated.command import FINE_BITS, Terms, run_arguments
from models.federated.journal import Journal
from models.federated.plant import Plant
from models.federated.service import Watcher, run_plant, run_validator
from models.federated.strategies import initial_state, model_to_fine, state_digest, state_to_bytes
from models.federated.trained import Floats, Trained
from node.local_network import Plan
from scripts.cluster import ROOT, Cluster, make_or_load

BASE_PORT = 27956
READY_TIMEOUT_S = 90.0
PLANTS = 10
ROUNDS = 5
PATIENCE = 400
POLL_S = 0.05


def main() -> None:
    """Start a network, run the rounds of each size, stop it."""
    sizes = [int(size) for size in os.environ.get("FEDERATED_SIZES", "6337").split(",")]
    with tempfile.TemporaryDirectory(prefix="andon-bench-") as folder:
        plan = Plan(home=Path(folder) / "net", base_port=BASE_PORT, params=Params())
        cluster = make_or_load(plan, reset=True)
        try:
            cluster.up()
            cluster.wait_ready(READY_TIMEOUT_S)
            asyncio.run(_measure(cluster, sizes))
        finally:
            cluster.down()


async def _measure(cluster: Cluster, sizes: list[int]) -> None:
    genesis = genesis_from_json((cluster.home / "genesis.json").read_bytes())
    keys = [
        load_key_file(cluster.home / entry.key_file) for entry in cluster.network.manifest.accounts
    ]
    modeler = _key_of(cluster, "modeler")
    async with AsyncClient(cluster.urls(), genesis=genesis) as client:
        for name in CONTRACTS:
            source = (ROOT / "contracts_py" / "library" / f"{name}.py").read_text(encoding="utf-8")
            words: dict[str, Value] = {"name": name, "source": source, "args": {}}
            call = make_call("contracts", "deploy", words)
            (await client.submit(call, key=_key_of(cluster, "deployer"))).require()
    print(f"{PLANTS} plants, {len(cluster.nodes)} validators, masked, seconds a round")
    for size in sizes:
        taken = await _rounds(cluster, genesis, (modeler, keys[:PLANTS]), size)
        print(
            f"  {size:9,} parameters: first {taken[0]:.2f}, median of the others "
            f"{float(np.median(taken[1:])):.2f}, worst {max(taken[1:]):.2f}",
            flush=True,
        )


async def _rounds(
    cluster: Cluster, genesis: Genesis, keys: tuple[PrivateKey, list[PrivateKey]], size: int
) -> list[float]:
    """Seconds of each of ROUNDS rounds, from opening to closing as the owner sees them."""
    run = f"size-{size}"
    urls = cluster.urls()
    modeler, plants = keys
    taken: list[float] = []
    async with AsyncExitStack() as stack:

        async def ledger(key: PrivateKey, first: int) -> TrainingLedger:
            order = [*urls[first % len(urls) :], *urls[: first % len(urls)]]
            return await stack.enter_async_context(TrainingLedger(order, key, genesis=genesis))

        owner = await ledger(modeler, 0)
        start = initial_state(model_to_fine(np.zeros(size, np.float32), FINE_BITS))
        blob = await owner.publish(state_to_bytes(start))
        members = [key.public for key in plants]
        terms = Terms(rounds=ROUNDS, patience=PATIENCE)
        await owner.send(
            "create", run_arguments(run, members, size, (state_digest(start), blob, b""), terms)
        )
        async with asyncio.TaskGroup() as group:
            for index, key in enumerate(plants):
                plant = Plant(key.public, Journal(cluster.home / run / str(index)), _nothing)
                group.create_task(
                    run_plant(await ledger(key, index), run, key.public, plant, _quiet)
                )
            for index, node in enumerate(cluster.nodes):
                key = load_key_file(cluster.home / node.name / "keys" / "validator.key")
                own = await ledger(key, index)
                group.create_task(run_validator(own, run, key.public, report=_quiet))
            watcher, began = Watcher(owner, run), time.perf_counter()
            while len(taken) < ROUNDS:
                plan = await watcher.plan()
                closed = plan.round - (1 if plan.status == "RUNNING" else 0)
                if closed > len(taken):
                    now = time.perf_counter()
                    taken.append(now - began)
                    began = now
                await asyncio.sleep(POLL_S)
    return taken


def _nothing(model: Floats, number: int) -> Trained:
    return Trained(update=np.full(len(model), 0.001 * number, np.float32))


def _key_of(cluster: Cluster, role: str) -> PrivateKey:
    entry = next(a for a in cluster.network.manifest.accounts if role in a.roles)
    return load_key_file(cluster.home / entry.key_file)


def _quiet(text: str) -> None:
    del text


if __name__ == "__main__":
    main()

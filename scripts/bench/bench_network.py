"""Throughput and latency of a local network: real processes, durable writes, signed transactions.

The load generator runs on the same machine and its cost is in the figures. Options come from the
environment: ANDON_BENCH_VALIDATORS (4), ANDON_BENCH_SECONDS (8), ANDON_BENCH_RATES (single-call
rates, "300,600,1200"), ANDON_BENCH_PREDICTIONS (predictions a second, "2500,5000,10000").
"""

from __future__ import annotations

import asyncio
import os
import secrets
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from andon.client import AsyncClient
from andon.client.models import Models
from andon.core.codec import Value
from andon.core.genesis import Params, genesis_from_json
from andon.core.keys import PrivateKey
from andon.core.transaction import Call, TransactionBody, make_call, sign_transaction
from models.package import Package
from node.keystore import load_key
from node.local_network import Plan
from scripts.bench.load import MEBIBYTE, Result, run_load
from scripts.cluster import Cluster, make_or_load

ROOT = Path(__file__).resolve().parents[2]
CONTRACT = """
\"\"\"Accounts for the benchmark.\"\"\"
balances = Map(key=str, value=int, default=0)
Moved = Event(to=str, amount=int)

@export
def transfer(to: str, amount: int):
    assert amount > 0, "amount is positive"
    balances[to] += amount
    Moved(to=to, amount=amount)
"""
ACCOUNTS = 1000
BATCH = 64
PORT = 31_656


@dataclass(frozen=True, slots=True)
class Bench:
    """A running network with what the workloads need."""

    cluster: Cluster
    client: AsyncClient
    operators: tuple[PrivateKey, ...]
    input_bytes: int

    async def sign(self, count: int, make: Callable[[int], tuple[Call, ...]]) -> list[bytes]:
        """Prepare signed transactions beforehand, so that signing is not in the figures."""
        status = await self.client.status()
        chain_id = (await self.client.genesis()).chain_id
        return [
            sign_transaction(
                TransactionBody(
                    chain_id=chain_id,
                    sender=(key := self.operators[index % len(self.operators)]).public,
                    nonce=secrets.token_bytes(8),
                    expires_height=int(status.height) + 1000,
                    gas_limit=20_000_000,
                    calls=make(index),
                ),
                key,
            )
            for index in range(count)
        ]

    def transfer(self, index: int) -> tuple[Call, ...]:
        """One small contract call."""
        return (make_call("bench", "transfer", {"to": f"account-{index % ACCOUNTS}", "amount": 1}),)

    def predictions(self, index: int) -> tuple[Call, ...]:
        """One call with 64 fresh model inputs."""
        del index
        windows = bytes(octet & 127 for octet in secrets.token_bytes(BATCH * self.input_bytes))
        return (make_call("maintenance", "score_many", {"windows": windows, "count": BATCH}),)


def main() -> None:
    """Run all workloads on one network."""
    validators = int(os.environ.get("ANDON_BENCH_VALIDATORS", "4"))
    with tempfile.TemporaryDirectory(prefix="andon-bench-") as folder:
        plan = Plan(
            home=Path(folder) / "net", validators=validators, base_port=PORT, params=Params()
        )
        cluster = make_or_load(plan, reset=True)
        began = time.monotonic()
        cluster.up()
        try:
            cluster.wait_ready(60)
            print(
                f"validators {validators}, up with first block in {time.monotonic() - began:.1f} s"
            )
            asyncio.run(_run(cluster))
        finally:
            cluster.down()


async def _run(cluster: Cluster) -> None:
    genesis = genesis_from_json((cluster.home / "genesis.json").read_bytes())
    async with AsyncClient(cluster.urls(), genesis=genesis) as client:
        bench = await _prepare(cluster, client)
        seconds = float(os.environ.get("ANDON_BENCH_SECONDS", "8"))
        print("single-call transactions (transfer-like), open loop")
        for rate in _rates("ANDON_BENCH_RATES", "300,600,1200"):
            raws = await bench.sign(int(rate * seconds), bench.transfer)
            _print(await _measured(bench, raws, rate), rate, "tx")
        print(f"predictions, {BATCH} a transaction, fresh inputs, open loop")
        for rate in _rates("ANDON_BENCH_PREDICTIONS", "2500,5000,10000"):
            raws = await bench.sign(int(rate / BATCH * seconds), bench.predictions)
            _print(await _measured(bench, raws, rate / BATCH), rate / BATCH, "tx of 64 predictions")


async def _measured(bench: Bench, raws: list[bytes], rate: float) -> Result:
    before = cpu_seconds(bench.cluster)
    result = await run_load(bench.cluster.urls(), raws, rate)
    used = cpu_seconds(bench.cluster) - before
    done = max(1, len(result.committed))
    print(f"  cpu of all nodes and workers: {used:.1f} s, {1000 * used / done:.2f} ms/transaction")
    await asyncio.sleep(2)
    return result


async def _prepare(cluster: Cluster, client: AsyncClient) -> Bench:
    def key(role: str, organisation: int = 1) -> PrivateKey:
        name = f"org-{organisation}-{role}"
        entry = next(item for item in cluster.network.manifest.accounts if item.name == name)
        return load_key(cluster.home / entry.key_file)

    package = Package.load(ROOT / "models" / "packages" / "rul-demo")
    registry = Models(client, key("modeler"))
    identity = await registry.publish(package.to_blob(), package.manifest)
    await registry.wait_active(identity, 60)
    await registry.set_alias("turbofan-rul", identity)
    arguments: dict[str, Value] = {"name": "bench", "source": CONTRACT, "args": {}}
    deployed = await client.submit(make_call("contracts", "deploy", arguments), key=key("deployer"))
    deployed.require()
    operators = tuple(key("operator", number + 1) for number in range(len(cluster.nodes)))
    return Bench(cluster, client, operators, package.manifest.input_bytes)


def cpu_seconds(cluster: Cluster) -> float:
    """Processor seconds used so far by all processes whose command names the network's home."""
    ticks = os.sysconf("SC_CLK_TCK")
    total = 0.0
    home = str(cluster.home).encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if home in (entry / "cmdline").read_bytes():
                numbers = (entry / "stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
                total += (int(numbers[11]) + int(numbers[12])) / ticks
        except OSError:
            continue  # the process ended while we looked
    return total


def _rates(name: str, default: str) -> list[float]:
    return [float(part) for part in os.environ.get(name, default).split(",") if part]


def _print(result: Result, rate: float, unit: str) -> None:
    refused = " ".join(f"{name} {count}" for name, count in sorted(result.refused.items()))
    print(
        f"  offered {rate:8.1f}/s ({result.offered})  accepted {result.accepted}  "
        f"committed {result.committed_per_s:8.1f} {unit}/s  p50 {result.percentile(0.5):6.0f} ms  "
        f"p95 {result.percentile(0.95):6.0f} ms  p99 {result.percentile(0.99):6.0f} ms  "
        f"predictions/s {result.predictions / max(1e-9, _span(result)):8.0f}  "
        f"blocks {result.blocks} ({result.block_bytes / MEBIBYTE:.1f} MiB)  "
        f"refused: {refused or 'none'}",
        flush=True,
    )


def _span(result: Result) -> float:
    return max(result.committed.values(), default=result.began) - result.began


if __name__ == "__main__":
    main()

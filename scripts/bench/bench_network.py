"""Throughput and latency of local networks: real processes, durable writes, signed transactions.

The load generator runs on the same machine and its cost is in the figures. Each size is first
offered at more than the machine can take, which gives the capacity (the offer grows until less is
committed than offered), then at half of that, which gives the latencies. The limit line is measured
anew before and after every run: a machine that shares its processors changes its speed between
moments. Scenarios, by ANDON_BENCH_SCENARIOS (default "sizes,idle,dead"): `sizes` (those
of ANDON_BENCH_SIZES), `idle` (the first transaction of a chain that has nothing to do), `dead` (one
of four validators killed), `validators` (1, 7, 10, 13), `wan` (20, 80, 200 ms one way between
nodes). ANDON_BENCH_SECONDS (6) is the length of a run. ANDON_BENCH_RATES ("call:1200,call64:90")
replaces capacity and half load by rates of your own.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from andon.client import AsyncClient
from andon.core.genesis import Params, genesis_from_json
from andon.core.keys import PrivateKey, verify
from node.local_network import Plan
from scripts.bench.load import percentile, run_load
from scripts.bench.report import Figure, Report
from scripts.bench.targets import AndonTarget
from scripts.bench.usage import measure
from scripts.bench.wan import delayed_links
from scripts.bench.workloads import Bench, Workload, prepare
from scripts.cluster import Cluster, make_or_load

PORT = 31_656
SECONDS = float(os.environ.get("ANDON_BENCH_SECONDS", "6"))
SIZES = "call,call64,prediction,prediction64,deploy,image,mixed"
CORES = os.cpu_count() or 1
SETTLE_S = 2.0
IDLE_TRIES = 20
VERIFICATIONS = 2000
OFFERS_MAX = 4
SATURATED = 0.85
"""A machine that commits this share of an offer may be able to take more."""


def main() -> None:
    """Run the chosen scenarios."""
    chosen = os.environ.get("ANDON_BENCH_SCENARIOS", "sizes,idle,dead").split(",")
    report = Report()
    limit = limit_line(4)
    report.extra["limit_per_s"] = limit
    print(f"limit line: {CORES} cores / (4 validators x Ed25519 verify) = {limit:.0f} tx/s")
    asyncio.run(_run(chosen, report))
    report.save()


async def _run(chosen: list[str], report: Report) -> None:
    sizes = [name for name in os.environ.get("ANDON_BENCH_SIZES", SIZES).split(",") if name]
    if {"sizes", "idle", "dead"} & set(chosen):
        async with network(4, with_image="image" in sizes and "sizes" in chosen) as bench:
            if "sizes" in chosen:
                await _sizes(bench, report, sizes)
            if "idle" in chosen:
                await _idle(bench, report)
            if "dead" in chosen:
                bench.cluster.kill("node-4")
                await _capacity(bench, report, "1 of 4 dead", bench.workloads()["call"])
    if "validators" in chosen:
        for count in (1, 7, 10, 13):
            async with network(count) as bench:
                await _capacity(bench, report, f"{count} nodes", bench.workloads()["call"])
    if "wan" in chosen:
        for delay_ms in (20, 80, 200):
            async with network(4, delay_ms=delay_ms) as bench:
                await _at(bench, report, f"{delay_ms} ms away", bench.workloads()["call"], 100)


async def _sizes(bench: Bench, report: Report, sizes: list[str]) -> None:
    workloads = bench.workloads()
    rates = os.environ.get("ANDON_BENCH_RATES", "")
    if rates:
        for part in rates.split(","):
            name, _, rate = part.partition(":")
            await _at(bench, report, "own rate", workloads[name], float(rate))
        return
    for name in sizes:
        figure = await _capacity(bench, report, "capacity", workloads[name])
        await _at(bench, report, "half load", workloads[name], figure.result.committed_per_s / 2)


async def _capacity(bench: Bench, report: Report, scenario: str, workload: Workload) -> Figure:
    rate_per_s = workload.rate_per_s
    figure = await _at(bench, report, scenario, workload, rate_per_s)
    for _ in range(OFFERS_MAX - 1):
        if figure.result.committed_per_s < SATURATED * rate_per_s:
            break
        rate_per_s *= 2
        figure = await _at(bench, report, scenario, workload, rate_per_s)
    return figure


async def _at(
    bench: Bench, report: Report, scenario: str, workload: Workload, rate_per_s: float
) -> Figure:
    raws = await bench.sign(workload, max(8, int(rate_per_s * SECONDS)))
    alive = set(bench.cluster.network.alive())
    urls = [node.rpc for node in bench.cluster.nodes if node.name in alive]
    validators, limit = len(bench.cluster.nodes), limit_line(len(bench.cluster.nodes))
    before = measure(bench.cluster.home, urls)
    result = await run_load(AndonTarget(), urls, raws, rate_per_s)
    usage = measure(bench.cluster.home, urls).since(before)
    figure = Figure(
        scenario=scenario,
        workload=workload.name,
        unit=workload.unit,
        operations=workload.operations,
        offered_per_s=rate_per_s,
        result=result,
        usage=usage,
        limit_per_s=(limit + limit_line(validators)) / 2,
    )
    report.add(figure)
    await asyncio.sleep(SETTLE_S)
    return figure


async def _idle(bench: Bench, report: Report) -> None:
    """Latency from submission to final of single transactions, seconds apart."""
    workload = bench.workloads()["call"]
    seen: list[float] = []
    for _ in range(IDLE_TRIES):
        (raw,) = await bench.sign(workload, 1)
        await asyncio.sleep(0.7)
        result = await run_load(AndonTarget(), bench.cluster.urls(), [raw], 1.0)
        seen.extend(result.latencies_ms(result.committed))
    seen.sort()
    report.extra["idle_ms"] = seen
    print(
        f"  idle chain, {len(seen)} single transactions: final p50 {percentile(seen, 0.5):.0f} ms, "
        f"most {seen[-1]:.0f} ms"
    )


@asynccontextmanager
async def network(
    validators: int, *, with_image: bool = False, delay_ms: int = 0
) -> AsyncIterator[Bench]:
    """A network of real processes with models and contract, away again at the end."""
    with tempfile.TemporaryDirectory(prefix="andon-bench-") as folder:
        home = Path(folder) / "net"
        plan = Plan(home=home, validators=validators, base_port=PORT, params=Params())
        cluster = make_or_load(plan, reset=True)
        async with delayed_links(cluster, delay_ms):
            began = time.monotonic()
            cluster.up()
            try:
                await asyncio.to_thread(cluster.wait_ready, 120)
                print(
                    f"{validators} validators, ready {time.monotonic() - began:.1f} s after start",
                    flush=True,
                )
                async with _client(cluster) as client:
                    yield await prepare(cluster, client, with_image=with_image)
            finally:
                await asyncio.to_thread(cluster.down)


def _client(cluster: Cluster) -> AsyncClient:
    genesis = genesis_from_json((cluster.home / "genesis.json").read_bytes())
    return AsyncClient(cluster.urls(), genesis=genesis)


def limit_line(validators: int) -> float:
    """Transactions a second if every validator did nothing but verify one signature for each."""
    key = PrivateKey(bytes(range(32)))
    message = bytes(200)
    signature = key.sign(message)
    began = time.perf_counter()
    for _ in range(VERIFICATIONS):
        verify(key.public, message, signature)
    each_s = (time.perf_counter() - began) / VERIFICATIONS
    return CORES / (validators * each_s)


if __name__ == "__main__":
    main()

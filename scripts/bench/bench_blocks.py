"""Processor time of a block beside its transactions, over all nodes of a network of four.

Single calls at rates so low that what a block costs by itself is nearly all: the lowest rate of
ANDON_BENCH_RATES (25,100,300 a second) is close to it, and what the higher ones add is the cost of
transactions that come one at a time. ANDON_BENCH_ROUNDS (3) runs of ANDON_BENCH_SECONDS (5) a rate,
the rates in turn, since a shared machine changes its speed between moments; the least and the
median are printed. To compare two commits, run both at the same time and look at the least.
"""

from __future__ import annotations

import asyncio
import os
import statistics
from collections import defaultdict
from pathlib import Path

from node.testing.vitals import NODE, processes
from scripts.bench.bench_network import network
from scripts.bench.load import percentile, run_load
from scripts.bench.targets import AndonTarget
from scripts.bench.workloads import Bench

VALIDATORS = 4
RATES = tuple(int(rate) for rate in os.environ.get("ANDON_BENCH_RATES", "25,100,300").split(","))
ROUNDS = int(os.environ.get("ANDON_BENCH_ROUNDS", "3"))
SECONDS = float(os.environ.get("ANDON_BENCH_SECONDS", "5"))
NANOSECONDS = 10**9


def main() -> None:
    """Run and print."""
    asyncio.run(_run())


async def _run() -> None:
    found: dict[int, list[float]] = defaultdict(list)
    async with network(VALIDATORS) as bench:
        await _block_ms(bench, RATES[0])  # whatever is new to the nodes comes now
        for _ in range(ROUNDS):
            for rate in RATES:
                found[rate].append(await _block_ms(bench, rate))
    for rate, costs in found.items():
        print(
            f"  {rate} calls a second: {min(costs):.1f} ms of processor a block at least, "
            f"median {statistics.median(costs):.1f}"
        )


async def _block_ms(bench: Bench, rate: int) -> float:
    raws = await bench.sign(bench.workloads()["call"], int(rate * SECONDS))
    before_s, switches = _used(bench.cluster.home)
    result = await run_load(AndonTarget(), bench.cluster.urls(), raws, rate)
    after_s, switched = _used(bench.cluster.home)
    assert len(result.committed) == len(raws), result.refused
    cost_ms = 1000 * (after_s - before_s) / result.blocks
    print(
        f"    {rate}/s: {cost_ms:.1f} ms and {(switched - switches) / result.blocks:.0f} switches "
        f"a block, {result.blocks} blocks, {len(raws) / result.blocks:.1f} transactions each, "
        f"p50 to final {percentile(result.latencies_ms(result.committed), 0.5):.0f} ms",
        flush=True,
    )
    return cost_ms


def _used(home: Path) -> tuple[float, int]:
    """Processor seconds and voluntary context switches of all nodes, workers left out.

    By the scheduler's account of each thread: the ticks of `stat` are too coarse for this.
    """
    run_ns = switches = 0
    for name, pid in processes(home):
        if not name.endswith(NODE):
            continue
        for thread in Path(f"/proc/{pid}/task").iterdir():
            run_ns += int((thread / "schedstat").read_text(encoding="utf-8").split()[0])
            status = (thread / "status").read_text(encoding="utf-8").splitlines()
            line = next(row for row in status if row.startswith("voluntary_ctxt_switches"))
            switches += int(line.split()[1])
    return run_ns / NANOSECONDS, switches


if __name__ == "__main__":
    main()

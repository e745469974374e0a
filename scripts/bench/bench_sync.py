"""How much faster than the network makes blocks a validator that missed them fetches them.

Four real validators. First the capacity of three, one of them dead; then ANDON_BENCH_MISSED (60)
seconds at 80 % of it, which the dead one misses; then it starts while the load goes on. Compared
are transactions a second: what it applied between its first answer and its being in step, and what
the others made final in the seconds that it missed. All share this machine's cores, so the figure
is a ratio of one run.
"""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass

import aiohttp

from scripts.bench.bench_network import network
from scripts.bench.load import Result, run_load
from scripts.bench.targets import AndonTarget
from scripts.bench.workloads import Bench

MISSED_S = float(os.environ.get("ANDON_BENCH_MISSED", "60"))
CAPACITY_S = 15.0
LATE_S_MAX = 120.0
SHARE = 0.8
GOAL = 10.0
IN_STEP_BLOCKS = 2
NAME = "node-4"


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """From the first answer of the late node until it was in step."""

    seconds: float
    blocks: int
    transactions: int
    is_in_step: bool


def main() -> None:
    """Run it and print the ratio."""
    asyncio.run(_run())


async def _run() -> None:
    async with network(4) as bench:
        bench.cluster.kill(NAME)
        others = [node.rpc for node in bench.cluster.nodes if node.name != NAME]
        (late,) = [node.rpc for node in bench.cluster.nodes if node.name == NAME]
        workload = bench.workloads()["call"]
        full = await _load(bench, others, workload.rate_per_s, CAPACITY_S)
        rate_per_s = SHARE * full.committed_per_s
        missed = await _load(bench, others, rate_per_s, MISSED_S)
        raws = await bench.sign(workload, max(8, int(rate_per_s * LATE_S_MAX)))
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
            loading = group.create_task(run_load(AndonTarget(), others, raws, rate_per_s))
            bench.cluster.start(NAME)
            caught = await _catch_up(session, late, others[0])
            loading.cancel()
    made, applied = missed.committed_per_s, caught.transactions / caught.seconds
    print(
        f"  capacity of three {full.committed_per_s:.0f} tx/s; missed at {made:.0f} tx/s; caught "
        f"up {caught.blocks} blocks, {caught.transactions} transactions in {caught.seconds:.1f} s"
    )
    if not caught.is_in_step:
        print(f"  not in step after {LATE_S_MAX:.0f} s: the rate is that of these seconds")
    print(f"  sync {applied / made:.1f} x production (goal {GOAL:.0f} x)", flush=True)


async def _load(bench: Bench, urls: list[str], rate_per_s: float, seconds: float) -> Result:
    raws = await bench.sign(bench.workloads()["call"], max(8, int(rate_per_s * seconds)))
    return await run_load(AndonTarget(), urls, raws, rate_per_s)


async def _catch_up(session: aiohttp.ClientSession, late: str, other: str) -> CaughtUp:
    target = AndonTarget()
    first = await _first_height(session, late)
    began_s, height, is_in_step = time.monotonic(), first, False
    while not is_in_step and time.monotonic() - began_s < LATE_S_MAX:
        await asyncio.sleep(0.05)
        height = await target.height(session, late)
        is_in_step = height >= await target.height(session, other) - IN_STEP_BLOCKS
    seconds = time.monotonic() - began_s
    counts = [await target.block(session, other, at) for at in range(first + 1, height + 1)]
    total = sum(len(seen.identities) for seen in counts if seen is not None)
    return CaughtUp(max(seconds, 1e-9), height - first, total, is_in_step)


async def _first_height(session: aiohttp.ClientSession, url: str) -> int:
    deadline = time.monotonic() + LATE_S_MAX
    while True:
        try:
            return await AndonTarget().height(session, url)
        except aiohttp.ClientError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.02)


if __name__ == "__main__":
    main()

"""How much faster than the network makes blocks a validator that missed them fetches them.

Four real validators. First the capacity of three, one of them dead; then ANDON_BENCH_MISSED (60)
seconds at 80 % of it, which the dead one misses; then it starts while the load goes on, and what it
applies between its first answer and its being in step is compared with what the others made final
in the seconds that it missed. Then, without load, it begins anew with an empty chain and fetches
all of it. ANDON_BENCH_VERIFY is its `sync_verify` (roots). ANDON_BENCH_RATE sets the load instead
of 80 % of the capacity, which is not measured then: for a machine that has other work.

All share this machine's cores, and four validators want more of them than a late one gets: so the
same is said in processor time a transaction, which does not depend on who else runs.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from dataclasses import dataclass

import aiohttp

from node.config import ADOPT, CONFIG_FILE
from node.phases import EXECUTION
from node.testing.vitals import NODE
from scripts.bench.bench_network import network
from scripts.bench.load import Result, run_load
from scripts.bench.targets import AndonTarget
from scripts.bench.usage import measure
from scripts.bench.workloads import Bench

MISSED_S = float(os.environ.get("ANDON_BENCH_MISSED", "60"))
RATE_PER_S = float(os.environ.get("ANDON_BENCH_RATE", "0"))
VERIFY = os.environ.get("ANDON_BENCH_VERIFY", ADOPT)
CAPACITY_S = 15.0
LATE_S_MAX = 120.0
QUIET_S = 3.0
SHARE = 0.8
GOAL = 10.0
IN_STEP_BLOCKS = 2
POLL_S = 0.2
"""Each look costs both nodes a request."""
NAME = "node-4"
CHAIN = "data/chain"


@dataclass(frozen=True, slots=True, kw_only=True)
class CaughtUp:
    """From the first answer of the late node until it was in step."""

    seconds: float
    cpu_s: float
    blocks: int
    executed: int
    """Blocks that it executed until then; it adopted the others."""
    transactions: int
    is_in_step: bool

    @property
    def rate_per_s(self) -> float:
        """Transactions a second."""
        return self.transactions / self.seconds

    @property
    def cpu_us(self) -> float:
        """Processor time a transaction."""
        return 1e6 * self.cpu_s / max(1, self.transactions)


def main() -> None:
    """Run it and print the ratios."""
    asyncio.run(_run())


async def _run() -> None:
    async with network(4) as bench:
        _configure(bench)
        bench.cluster.kill(NAME)
        others = [node.rpc for node in bench.cluster.nodes if node.name != NAME]
        workload = bench.workloads()["call"]
        rate_per_s = RATE_PER_S
        if not rate_per_s:
            full = await _load(bench, others, workload.rate_per_s, CAPACITY_S)
            rate_per_s = SHARE * full.committed_per_s
            print(f"  capacity of three {full.committed_per_s:.0f} tx/s")
        before = measure(bench.cluster.home, ())
        missed = await _load(bench, others, rate_per_s, MISSED_S)
        used = measure(bench.cluster.home, ()).since(before).cpu_s
        made_us = 1e6 * sum(used.values()) / len(others) / max(1, len(missed.committed))
        made = missed.committed_per_s
        print(
            f"  missed at {made:.0f} tx/s, {made_us:.0f} us of processor time a transaction and "
            "validator"
        )
        raws = await bench.sign(workload, max(8, int(rate_per_s * LATE_S_MAX)))
        async with asyncio.TaskGroup() as group:
            loading = group.create_task(run_load(AndonTarget(), others, raws, rate_per_s))
            _say("under this load", await _catch_up(bench, others[0]), made, made_us)
            loading.cancel()
        await asyncio.sleep(QUIET_S)
        bench.cluster.kill(NAME)
        shutil.rmtree(bench.cluster.home / NAME / CHAIN)
        _say("without load, from block 1", await _catch_up(bench, others[0]), made, made_us)


def _configure(bench: Bench) -> None:
    config = bench.cluster.home / NAME / CONFIG_FILE
    lines = config.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not line.startswith("sync_verify")]
    config.write_text("\n".join([f'sync_verify = "{VERIFY}"', *kept, ""]), encoding="utf-8")


def _say(when: str, caught: CaughtUp, made_per_s: float, made_us: float) -> None:
    if not caught.is_in_step:
        print(f"  not in step after {LATE_S_MAX:.0f} s: the rates are those of these seconds")
    print(
        f"  {when}: {caught.blocks} blocks, {caught.executed} of them executed, "
        f"{caught.transactions} transactions in {caught.seconds:.1f} s, "
        f"{caught.rate_per_s:.0f} tx/s, {caught.cpu_us:.0f} us of processor time each"
    )
    print(
        f"  {when}: sync {caught.rate_per_s / made_per_s:.1f} x production in wall time (goal "
        f"{GOAL:.0f} x), {made_us / caught.cpu_us:.1f} x in processor time a transaction",
        flush=True,
    )


async def _load(bench: Bench, urls: list[str], rate_per_s: float, seconds: float) -> Result:
    raws = await bench.sign(bench.workloads()["call"], max(8, int(rate_per_s * seconds)))
    return await run_load(AndonTarget(), urls, raws, rate_per_s)


async def _catch_up(bench: Bench, other: str) -> CaughtUp:
    """Start the late node and follow it."""
    (late,) = [node.rpc for node in bench.cluster.nodes if node.name == NAME]
    target = AndonTarget()
    bench.cluster.start(NAME)
    async with aiohttp.ClientSession() as session:
        first = await _first_height(session, late)
        began_s, began_cpu_s = time.monotonic(), _cpu_s(bench)
        height, is_in_step = first, False
        while not is_in_step and time.monotonic() - began_s < LATE_S_MAX:
            await asyncio.sleep(POLL_S)
            height = await target.height(session, late)
            is_in_step = height >= await target.height(session, other) - IN_STEP_BLOCKS
        seconds, cpu_s = time.monotonic() - began_s, _cpu_s(bench) - began_cpu_s
        executed = int(measure(bench.cluster.home, [late]).phase_count.get(EXECUTION, 0))
        counts = [await target.block(session, other, at) for at in range(first + 1, height + 1)]
    total = sum(len(seen.identities) for seen in counts if seen is not None)
    return CaughtUp(
        seconds=max(seconds, 1e-9),
        cpu_s=cpu_s,
        blocks=height - first,
        executed=executed,
        transactions=total,
        is_in_step=is_in_step,
    )


def _cpu_s(bench: Bench) -> float:
    """Of the late node's process; its worker, which only warms up, is not in it."""
    return measure(bench.cluster.home, ()).cpu_s.get(f"{NAME} {NODE}", 0.0)


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

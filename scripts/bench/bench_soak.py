"""A network under steady load: does memory grow, does the event loop keep up?

MINUTES (3; the long run is 30) at 80 % of the capacity that is found first (ANDON_BENCH_RATE sets a
rate instead), single calls and some predictions. Anonymous memory of every process (what no file
stands behind: the pages of the database are the system's to take back) is sampled every SAMPLE_S;
the slope is fitted over the second half. A node remembers 32,768 verified transactions and 65,536
entries of the state: a run that is too short to fill them sees them grow. Figures and samples are
written below `out/bench`.
"""

from __future__ import annotations

import asyncio
import json
import os
import time

from node.testing.vitals import look, slope_per_hour
from scripts.bench.bench_network import network
from scripts.bench.conditions import conditions
from scripts.bench.load import Result, percentile, run_load
from scripts.bench.report import FOLDER, MEBIBYTE
from scripts.bench.targets import AndonTarget
from scripts.bench.usage import Usage, measure
from scripts.bench.workloads import Bench

MINUTES = float(os.environ.get("MINUTES", "3"))
RATE = float(os.environ.get("ANDON_BENCH_RATE", "0"))
SHARE = 0.8
SAMPLE_S = 5.0
SLICE_S = 15.0
"""Transactions are signed for so long at a time: a signed one expires."""
PROBE_S = 6.0
LAG_GOAL_MS = 50
WORKLOAD = "mixed"

Samples = list[tuple[float, dict[str, int]]]


def main() -> None:
    """Run and print."""
    asyncio.run(_run())


async def _run() -> None:
    async with network(4) as bench:
        rate = RATE or SHARE * await _capacity(bench)
        print(f"  {WORKLOAD} at {rate:.0f} tx/s for {MINUTES:g} minutes", flush=True)
        before = measure(bench.cluster.home, bench.cluster.urls())
        samples: Samples = []
        done = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(_sample(bench, samples, done))
            results = await _load(bench, rate)
            done.set()
        usage = measure(bench.cluster.home, bench.cluster.urls()).since(before)
    _report(rate, results, samples, usage)


async def _capacity(bench: Bench) -> float:
    workload = bench.workloads()[WORKLOAD]
    offered = 2 * workload.rate_per_s
    raws = await bench.sign(workload, int(offered * PROBE_S))
    result = await run_load(AndonTarget(), bench.cluster.urls(), raws, offered)
    return result.committed_per_s


async def _load(bench: Bench, rate: float) -> list[Result]:
    workload, results = bench.workloads()[WORKLOAD], []
    ends = time.monotonic() + 60 * MINUTES
    while time.monotonic() < ends:
        raws = await bench.sign(workload, max(1, int(rate * SLICE_S)))
        results.append(await run_load(AndonTarget(), bench.cluster.urls(), raws, rate))
    return results


async def _sample(bench: Bench, samples: Samples, done: asyncio.Event) -> None:
    began = time.monotonic()
    while not done.is_set():
        taken = await asyncio.to_thread(look, bench.cluster.home)
        held = {item.name: item.anonymous_bytes for item in taken}
        samples.append((time.monotonic() - began, held))
        try:
            async with asyncio.timeout(SAMPLE_S):
                await done.wait()
        except TimeoutError:
            continue


def _slope(samples: Samples, name: str) -> float:
    return slope_per_hour([(at, held[name]) for at, held in samples if name in held])


def _report(rate: float, results: list[Result], samples: Samples, usage: Usage) -> None:
    offered = sum(result.offered for result in results)
    committed = sum(len(result.committed) for result in results)
    final = sorted(value for result in results for value in result.latencies_ms(result.committed))
    names = sorted({name for _, rss in samples for name in rss})
    rows = {
        name: {
            "first_mib": samples[0][1].get(name, 0) / MEBIBYTE,
            "last_mib": samples[-1][1].get(name, 0) / MEBIBYTE,
            "slope_mib_per_hour": _slope(samples, name) / MEBIBYTE,
        }
        for name in names
    }
    print(
        f"  offered {offered}, committed {committed}; final p50 {percentile(final, 0.5):.0f} "
        f"p99 {percentile(final, 0.99):.0f} ms; event loop late at most "
        f"{usage.lag_ms(0.5):.0f} ms p50, {usage.lag_ms(0.99):.0f} ms p99 (goal {LAG_GOAL_MS})"
    )
    for name, row in rows.items():
        print(
            f"  {name:<16} {row['first_mib']:7.1f} MiB at first, {row['last_mib']:7.1f} at last, "
            f"{row['slope_mib_per_hour']:+8.1f} MiB an hour in the second half"
        )
    FOLDER.mkdir(parents=True, exist_ok=True)
    document = {
        "conditions": conditions(),
        "minutes": MINUTES,
        "rate_per_s": rate,
        "offered": offered,
        "committed": committed,
        "final_ms": {f"p{share}": percentile(final, share / 100) for share in (50, 95, 99)},
        "loop_lag_ms": {f"p{share}": usage.lag_ms(share / 100) for share in (50, 95, 99)},
        "processes": rows,
        "rss_mib": {name: size / MEBIBYTE for name, size in usage.rss_bytes.items()},
        "samples": [{"s": at, "anonymous_bytes": held} for at, held in samples],
    }
    (FOLDER / "soak.json").write_text(json.dumps(document, indent=2) + "\n")
    print(f"  written: {FOLDER}/soak.json")


if __name__ == "__main__":
    main()

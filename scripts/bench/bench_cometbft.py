"""Andon beside CometBFT in one run: four nodes each, one generator, transactions of one size.

CometBFT (v0.38 line) is built by Go's module install and runs its built-in kvstore, once with its
default pause after a block and once without. See `comet.py` for what each of the two does.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import tempfile
from pathlib import Path

from scripts.bench import comet
from scripts.bench.bench_network import SETTLE_S, network
from scripts.bench.load import Result, percentile, run_load
from scripts.bench.targets import AndonTarget, CometTarget
from scripts.bench.usage import measure

SECONDS = float(os.environ.get("ANDON_BENCH_SECONDS", "6"))
RATES_PER_S = tuple(
    float(rate) for rate in os.environ.get("ANDON_BENCH_RATES", "300,3000,6000").split(",")
)


def main() -> None:
    """Measure both and print the ratio."""
    program = comet.binary()
    if program is None:
        return
    ours, size = asyncio.run(_andon())
    best = max(ours)
    for wait in ("1s", "0s"):
        with (
            tempfile.TemporaryDirectory(prefix="andon-comet-") as folder,
            comet.testnet(program, Path(folder) / "net", 4, commit_wait=wait) as urls,
        ):
            theirs = asyncio.run(_comet(f"cometbft {wait}", Path(folder) / "net", urls, size))
        same = ", ".join(
            f"{mine / other:.2f} at {rate:.0f}/s"
            for rate, mine, other in zip(RATES_PER_S, ours, theirs, strict=True)
        )
        print(
            f"  andon / cometbft (timeout_commit {wait}), committed: {same}; "
            f"best against best {best / max(theirs):.2f}"
        )


async def _andon() -> tuple[list[float], int]:
    async with network(4) as bench:
        workload = bench.workloads()["call"]
        target, urls = AndonTarget(), bench.cluster.urls()
        committed: list[float] = []
        size = 0
        for rate in RATES_PER_S:
            raws = await bench.sign(workload, int(rate * SECONDS))
            size = len(raws[0])
            before = measure(bench.cluster.home, urls)
            result = await run_load(target, urls, raws, rate)
            used = measure(bench.cluster.home, urls).since(before).cpu_total_s
            _print("andon", rate, size, result, used)
            committed.append(result.committed_per_s)
            await asyncio.sleep(SETTLE_S)
    return committed, size


async def _comet(name: str, home: Path, urls: list[str], size: int) -> list[float]:
    committed: list[float] = []
    for rate in RATES_PER_S:
        raws = [_pair(size) for _ in range(int(rate * SECONDS))]
        before = measure(home, ())
        result = await run_load(CometTarget(), urls, raws, rate)
        _print(name, rate, size, result, measure(home, ()).since(before).cpu_total_s)
        committed.append(result.committed_per_s)
        await asyncio.sleep(SETTLE_S)
    return committed


def _pair(size: int) -> bytes:
    """A `key=value` of the size of our transaction."""
    key = secrets.token_hex(8)
    return f"{key}={secrets.token_hex(size)}".encode()[:size]


def _print(name: str, rate: float, size: int, result: Result, cpu_s: float) -> None:
    final = result.latencies_ms(result.committed)
    print(
        f"  {name:<12} offered {rate:6.0f}/s of {size} bytes  accepted {len(result.accepted)}"
        f"/{result.offered}  committed {result.committed_per_s:7.1f} tx/s  "
        f"final p50 {percentile(final, 0.5):5.0f} p99 {percentile(final, 0.99):5.0f} ms  "
        f"cpu {1000 * cpu_s / max(1, len(result.committed)):.2f} ms/tx  "
        f"refused {sum(result.refused.values())}",
        flush=True,
    )


if __name__ == "__main__":
    main()

"""Twins: one key twice, every step of the first slots split anew. `--count` scenarios are drawn."""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from node.testing.sim.campaign import Summary
from node.testing.sim.twins import run_scenarios, sample

CHUNK = 50
FAILURES_SHOWN = 5
REPORT_EVERY_S = 10.0
FAILURES = Path("twins-failures.txt")


def main() -> int:
    """Run as told; 1 if a property did not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--slots", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    started_s = shown_s = time.monotonic()
    total = Summary()
    chunks = list(_chunks(arguments.first, arguments.count))
    with ProcessPoolExecutor(max_workers=arguments.jobs) as pool:
        for summary in pool.map(run_scenarios, chunks, itertools.repeat(arguments.slots)):
            total.add(summary)
            if time.monotonic() - shown_s > REPORT_EVERY_S:
                shown_s = time.monotonic()
                rate = total.runs / (shown_s - started_s)
                print(
                    f"  {total.runs} scenarios, {rate:.1f}/s, {len(total.failures)} failed; "
                    f"{total.counts.get('evidence', 0)} pieces of evidence",
                    flush=True,
                )
    took_s = time.monotonic() - started_s
    print(
        f"{total.runs} scenarios in {took_s:.1f} s ({total.runs / took_s:.1f}/s; "
        f"{total.runs / max(total.cpu_s, 0.01):.1f} a second of CPU time), "
        f"{total.heights} blocks, {total.counts.get('evidence', 0)} pieces of evidence, "
        f"{total.counts.get('vote.SKIP', 0)} Skip votes"
    )
    for failure in total.failures[:FAILURES_SHOWN]:
        seed = failure.options.seed
        print(f"FAILED scenario {seed}: {failure.reason}\n  {sample(seed, arguments.slots)}")
    if total.failures:
        FAILURES.write_text("".join(f"{item.options.seed}\n" for item in total.failures))
        print(f"all {len(total.failures)} red scenarios stand in {FAILURES}")
    return 1 if total.failures else 0


def _chunks(first: int, count: int) -> Iterator[range]:
    for start in range(first, first + count, CHUNK):
        yield range(start, min(start + CHUNK, first + count))


if __name__ == "__main__":
    sys.exit(main())

"""Simulate networks under faults: `make sim SEED=7` replays one, `make sim COUNT=1000` runs many.

Every seed prints what it means if it fails, shrunk, and is added to tests/sim/failures.json, which
the tests replay. `--jobs` processes share the work.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path

from node.testing.sim import World, draw
from node.testing.sim.campaign import (
    REACHED,
    Summary,
    run_options,
    run_seeds,
    shrink,
    store_failures,
)

CHUNK = 25
FAILURES_SHOWN = 5
REPORT_EVERY_S = 10.0
FAILURES = Path(__file__).parent.parent / "tests" / "sim" / "failures.json"
FAULTS = ("crash", "partition", "clog", "clock.jump")


def main() -> int:
    """Run as told; 1 if a property did not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, help="replay this one and show what happens")
    parser.add_argument("--count", type=int, default=0, help="number of seeds")
    parser.add_argument("--hours", type=float, default=0.0, help="run for so long")
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--heights", type=int, default=12, help="blocks before the faults end")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    if arguments.seed is not None:
        return replay(arguments.seed, arguments.heights)
    count = arguments.count or (sys.maxsize if arguments.hours else 300)
    until_s = time.monotonic() + 3600 * arguments.hours if arguments.hours else float("inf")
    started_s = time.monotonic()
    total = campaign(arguments.first, count, arguments.heights, arguments.jobs, until_s)
    return report(total, time.monotonic() - started_s)


def replay(seed: int, heights: int) -> int:
    """Run one seed twice and show it; the digests must be equal."""
    options = draw(seed, heights=heights)
    print(options)
    summary = run_options(options)
    for failure in summary.failures:
        print(f"seed {seed} fails: {failure.reason}")
        return 1
    first, second = World(options).run(), World(options).run()
    print(f"height {first.height} after {first.virtual_ms} virtual ms, {first.events} events")
    for name in sorted(first.counts):
        print(f"  {name:<40}{first.counts[name]:>8}")
    print(f"trace digest {first.digest}")
    return 0 if first.digest == second.digest else 1


def campaign(first: int, count: int, heights: int, jobs: int, until_s: float) -> Summary:
    """Run chunks of seeds in processes until they are done, time is up or too much fails."""
    total = Summary()
    chunks = _chunks(first, count)
    started_s = shown_s = time.monotonic()
    with ProcessPoolExecutor(max_workers=jobs) as pool:
        running: set[Future[Summary]] = {
            pool.submit(run_seeds, chunk, heights) for chunk in itertools.islice(chunks, 2 * jobs)
        }
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                total.add(future.result())
            is_over = time.monotonic() > until_s or len(total.failures) >= FAILURES_SHOWN
            if not is_over:
                for chunk in itertools.islice(chunks, len(done)):
                    running.add(pool.submit(run_seeds, chunk, heights))
            if time.monotonic() - shown_s > REPORT_EVERY_S:
                shown_s = time.monotonic()
                print(f"  {_live(total, shown_s - started_s)}", flush=True)
    return total


def report(total: Summary, took_s: float) -> int:
    """Print what was reached, and failures shrunk."""
    print(
        f"{total.runs} seeds in {took_s:.1f} s ({total.runs / took_s:.1f}/s; "
        f"{total.runs / max(total.cpu_s, 0.01):.1f} a second of CPU time), "
        f"{total.heights} blocks, {total.events} events, {total.virtual_ms / 3_600_000:.2f} "
        f"virtual hours; slowest way back {total.healed_ms_max} ms, "
        f"most messages a second {total.egress_max}"
    )
    for name in sorted(total.counts):
        print(f"  {name:<40}{total.counts[name]:>10}")
    if total.unreached():
        print(f"never reached: {', '.join(total.unreached())}")
    for failure in total.failures[:FAILURES_SHOWN]:
        small = shrink(failure)
        store_failures(FAILURES, [small])
        print(f"FAILED seed {failure.options.seed}: {failure.reason}\n  shrunk to {small.options}")
        print(f"  which says: {small.reason}\n  stored in {FAILURES.name}: `make test` replays it")
    return 1 if total.failures else 0


def _live(total: Summary, took_s: float) -> str:
    faults = ", ".join(f"{total.counts.get(name, 0)} {name}" for name in FAULTS)
    lost = sum(count for name, count in total.counts.items() if name.startswith("disk."))
    reached = len(REACHED) - len(total.unreached())
    return (
        f"{total.runs} seeds, {total.runs / took_s:.1f}/s, {len(total.failures)} failed; "
        f"{reached} of {len(REACHED)} states reached; {faults}, {lost} disk"
    )


def _chunks(first: int, count: int) -> Iterator[range]:
    for start in range(first, first + count, CHUNK):
        yield range(start, min(start + CHUNK, first + count))


if __name__ == "__main__":
    sys.exit(main())

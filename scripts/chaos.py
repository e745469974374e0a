"""Networks of real processes under random faults: `make chaos SEED=7 N=3` runs seeds 7, 8 and 9.

With MINUTES=180 a run lasts so long, with one fault a minute, and shows whether memory and open
files grow. Every seed prints its plan, then what it showed. A run that finds something keeps its
folder: `events.jsonl`, the nodes' logs and disks, and `plan.json`, which `--plan` plays again.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import time
from pathlib import Path

from node.checkout import CHECKOUT
from node.testing.chaos import ChaosPlan, Report, draw_plan, draw_soak, parse_plan, run_plan
from node.testing.chaos.soak import MINUTES_MAX

HOME = CHECKOUT / "out" / "chaos"
SEEDS = 1_000_000


def main() -> int:
    """Run as told; 1 if something was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, help="first seed (default: from the clock)")
    parser.add_argument("--runs", type=int, default=1, help="number of seeds")
    parser.add_argument("--minutes", type=int, help="one fault a minute for so long instead")
    parser.add_argument("--plan", type=Path, help="play this plan instead of seeds")
    parser.add_argument("--home", type=Path, default=HOME, help="where runs leave their folders")
    parser.add_argument("--keep", action="store_true", help="keep the folders of good runs too")
    arguments = parser.parse_args()
    if arguments.minutes is not None and arguments.minutes not in range(1, MINUTES_MAX + 1):
        parser.error(f"1 to {MINUTES_MAX} minutes")
    if arguments.plan is not None:
        plans = [parse_plan(arguments.plan.read_bytes())]
    else:
        first = time.time_ns() % SEEDS if arguments.seed is None else arguments.seed
        plans = [_draw(first + number, arguments.minutes) for number in range(arguments.runs)]
    began_s = time.monotonic()
    failed = [
        plan.seed for plan in plans if not run_one(plan, arguments.home, is_kept=arguments.keep)
    ]
    print(f"{len(plans)} runs in {time.monotonic() - began_s:.0f} s, {len(failed)} failed")
    if failed:
        print(f"failing seeds: {' '.join(map(str, failed))}; folders in {arguments.home}")
    return 1 if failed else 0


def _draw(seed: int, minutes: int | None) -> ChaosPlan:
    return draw_plan(seed) if minutes is None else draw_soak(seed, minutes)


def run_one(plan: ChaosPlan, home: Path, *, is_kept: bool) -> bool:
    """Run one plan in a folder of its own and print what it showed."""
    folder = home / f"seed-{plan.seed}"
    shutil.rmtree(folder, ignore_errors=True)
    print(plan, flush=True)
    report = asyncio.run(run_plan(plan, folder))
    show(report)
    if report.findings:
        print(f"  everything is kept in {folder}", flush=True)
    elif not is_kept:
        shutil.rmtree(folder)
    return not report.findings


def show(report: Report) -> None:
    """Print one run's outcome."""
    print(
        f"  {'FAILED' if report.findings else 'held'}: height {report.height}, "
        f"{report.acknowledged} of {report.attempted} transactions acknowledged "
        f"({report.acknowledged_in_faults} during faults), {report.kills} kills, "
        f"{report.acts} acts, {report.predictions} predictions recomputed, "
        f"all nodes on after {report.healed_s:.1f} s; {report.took_s:.0f} s",
        flush=True,
    )
    for life in report.lives:
        print(f"  {life}", flush=True)
    for finding in report.findings:
        print(f"  ! {finding}", flush=True)


if __name__ == "__main__":
    sys.exit(main())

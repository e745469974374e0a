"""Seeded bugs: each must be noticed by the campaign that its table entry names.

`python -m scripts.mutants` prints a report; `--only NAME` tries one, `--table PATH` writes it as a
table. Exit code 1 if one survives.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from node.testing.mutants import Mutant, install, load_mutants

SEEDS_MAX = 600
TIMEOUT_S = 300
CAMPAIGNS = {
    "sim": "seeds of the simulator",
    "crash": "seeds of the simulator, whole clusters crashing",
    "forger": "seeds of the simulator with one who makes certificates of his own signature",
    "twins": "twins with a mask per step",
    "rules": "tests/unit/consensus/bft",
    "signer": "tests/unit/node/signer",
    "votes": "tests/unit/node/storage/test_consensus_log.py",
    "intake": "tests/unit/node/drivers/test_intake.py",
    "ledger": "tests/unit/consensus/ledger/test_native.py",
    "adoption": "tests/unit/consensus/ledger/test_adoption.py",
    "sync": "tests/unit/node/drivers/test_sync.py",
    "holding": "tests/unit/node/drivers/test_holding.py",
    "light": "tests/unit/andon/client/test_light.py",
}
BY_SEEDS = ("sim", "crash", "forger", "twins")


@dataclass(frozen=True, slots=True)
class Verdict:
    """`tried` counts seeds until death; 0 for unit tests."""

    mutant: Mutant
    is_killed: bool
    tried: int
    took_s: float
    reason: str


def main() -> int:
    """Try mutants in processes of their own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="name of one mutant")
    parser.add_argument("--table", type=Path, help="write a table in Markdown")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    if arguments.inside:
        return run_inside(arguments.inside)
    chosen = [m for m in load_mutants() if arguments.only in (None, m.name)]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        verdicts = list(pool.map(try_mutant, chosen))
    if arguments.table is not None:
        arguments.table.write_text(table(verdicts))
    return report(verdicts)


def try_mutant(mutant: Mutant) -> Verdict:
    """Run the campaign against one mutant."""
    started_s = time.monotonic()
    command = [sys.executable, "-m", "scripts.mutants", "--inside", mutant.name]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
        last = (done.stdout.strip().splitlines() or [done.stderr[-200:]])[-1]
        is_killed = done.returncode == 1
        tried = int(last.split(" ", 1)[0]) if " seeds: " in last else 0
    except subprocess.TimeoutExpired:
        last, is_killed, tried = "ran too long", False, 0
    took_s = time.monotonic() - started_s
    verdict = Verdict(mutant, is_killed, tried, took_s, last[:110])
    print(_line(verdict), flush=True)
    return verdict


def run_inside(name: str) -> int:
    """In the process of the mutant: 1 if it was noticed, 0 if not."""
    mutant = install(name)
    if mutant.campaign not in BY_SEEDS:
        import pytest  # noqa: PLC0415 - only here

        code = pytest.main(["-q", "-x", "--no-header", CAMPAIGNS[mutant.campaign]])
        return 1 if code == pytest.ExitCode.TESTS_FAILED else 0
    return _run_seeds(mutant.campaign)


def _run_seeds(campaign: str) -> int:
    # Imported here, after the mutant's loader is in place.
    from dataclasses import replace  # noqa: PLC0415

    from node.testing.sim.campaign import run_options  # noqa: PLC0415
    from node.testing.sim.options import draw  # noqa: PLC0415
    from node.testing.sim.twins import run_scenarios  # noqa: PLC0415

    for seed in range(SEEDS_MAX):
        if campaign == "twins":
            failures = run_scenarios(range(seed, seed + 1)).failures
        elif campaign == "crash":
            options = replace(draw(seed), crash=20_000, down_ms=50, actor="", liar=-1)
            failures = run_options(options).failures
        elif campaign == "forger":
            options = replace(draw(seed), actor="forger", liar=-1, loss_of="", changes=())
            options = replace(options, actor_node=0, weights=(1,) * options.nodes)
            failures = run_options(options).failures
        else:
            failures = run_options(draw(seed)).failures
        if failures:
            print(f"{seed + 1} seeds: {failures[0].reason}")
            return 1
    print(f"{SEEDS_MAX} seeds without a failure")
    return 0


def report(verdicts: list[Verdict]) -> int:
    """Print who survived, and the median of seeds."""
    survivors = [verdict for verdict in verdicts if not verdict.is_killed]
    tried = sorted(verdict.tried for verdict in verdicts if verdict.is_killed and verdict.tried)
    median = tried[len(tried) // 2] if tried else 0
    print(
        f"{len(verdicts) - len(survivors)} of {len(verdicts)} mutants killed; by simulation "
        f"{len(tried)}, median {median} seeds, most {max(tried, default=0)}"
    )
    for verdict in survivors:
        print(f"SURVIVED {_line(verdict)}")
    return 1 if survivors else 0


def table(verdicts: list[Verdict]) -> str:
    """Give the report as a table: what was broken, who noticed, after how many seeds."""
    killed = [verdict for verdict in verdicts if verdict.is_killed]
    tried = sorted(verdict.tried for verdict in killed if verdict.tried)
    median = tried[len(tried) // 2] if tried else 0
    lines = [
        "# Seeded bugs",
        "",
        "Made by `python -m scripts.mutants --table docs/mutants.md`. A line is a bug put in on",
        "purpose (`node/testing/mutants.toml`), the rule that it breaks, the campaign that has to",
        "notice, and after how many seeds it did. Seeds count from 0, so the numbers repeat.",
        "",
        f"{len(killed)} of {len(verdicts)} were noticed, {len(tried)} of them by simulation:",
        f"median {median} seeds, most {max(tried, default=0)}. The others are killed by tests.",
        "",
        "| Bug | Rule | Campaign | Seeds |",
        "|---|---|---|---|",
    ]
    for verdict in verdicts:
        seeds = str(verdict.tried or "a test") if verdict.is_killed else "not noticed"
        mutant = verdict.mutant
        lines.append(f"| `{mutant.name}` | {mutant.rule} | {mutant.campaign} | {seeds} |")
    return "\n".join(lines) + "\n"


def _line(verdict: Verdict) -> str:
    mutant = verdict.mutant
    state = "killed" if verdict.is_killed else "ALIVE "
    place = f"{mutant.name:<38}{mutant.rule:<5}{mutant.campaign:<8}"
    return f"{state} {place}{verdict.took_s:6.1f} s  {verdict.reason}"


if __name__ == "__main__":
    sys.exit(main())

"""How long `andon` verbs take beyond Python's own start: the shell's feeling of the command line.

python -m scripts.bench.cli_start: each command several times, in turn with an empty Python; medians
and what is beyond Python. A network need not run: `status` then asks a port that answers nothing.
On a busy machine look at the column of CPU time, which waiting for a core does not change.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

from scripts.bench.conditions import print_conditions

RUNS = 15
BUDGET_MS = 150.0
"""The bound of `andon status` beyond Python's start (reference, section 1.3)."""

COMMANDS = {
    "--help": ["--help"],
    "status": ["--node", "http://127.0.0.1:9", "status"],
    "keys list": ["keys", "list"],
    "query --help": ["query", "--help"],
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 if `status` is over its bound."""
    parser = argparse.ArgumentParser(prog="python -m scripts.bench.cli_start", description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--node", help="ask this node in `status` instead of a dead port")
    options = parser.parse_args(arguments)
    commands = dict(COMMANDS)
    if options.node:
        commands["status"] = ["--node", options.node, "status"]
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in ("python", *commands)}
    with tempfile.TemporaryDirectory() as home:
        for _ in range(options.runs):
            times["python"].append(_time_ms(["-c", "pass"], home))
            for name, command in commands.items():
                times[name].append(_time_ms(["-m", "andon.cli.main", *command], home))
    print_conditions()
    middles = {
        name: [statistics.median(column) for column in zip(*values, strict=True)]
        for name, values in times.items()
    }
    print(f"{'command':<16}{'wall ms':>10}{'beyond':>10}{'CPU ms':>10}{'beyond':>10}")
    for name, (wall, cpu) in middles.items():
        base_wall, base_cpu = middles["python"]
        print(
            f"{name:<16}{wall:>10.0f}{wall - base_wall:>10.0f}{cpu:>10.0f}{cpu - base_cpu:>10.0f}"
        )
    beyond = middles["status"][0] - middles["python"][0]
    print(f"status: {beyond:.0f} ms beyond Python's start, bound {BUDGET_MS:.0f} ms")
    return 0 if beyond <= BUDGET_MS else 1


def _time_ms(command: list[str], home: str) -> tuple[float, float]:
    """Wall and CPU time of one command."""
    environment = {**os.environ, "ANDON_HOME": home}
    before, began = _cpu_s(), time.perf_counter()
    subprocess.run([sys.executable, *command], env=environment, capture_output=True, check=False)
    return (time.perf_counter() - began) * 1000, (_cpu_s() - before) * 1000


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    raise SystemExit(main())

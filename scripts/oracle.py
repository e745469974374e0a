"""`make oracle`: the long run of the contract engine against CPython and a plain walker.

Every seed is one program; the first one on which two executors disagree ends the run with its
source. Repeat it with SEED=n N=1.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from contracts_py.engine import Engine
from node.testing.oracle import Differs, compare

REPORT_EVERY = 10_000


def main() -> int:
    """Compare --count programs from --seed on; exit 1 at the first difference."""
    parser = argparse.ArgumentParser(prog="make oracle", description=__doc__)
    parser.add_argument("--count", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    engine, ends = Engine(), Counter[str]()
    began = time.perf_counter()
    for number, seed in enumerate(range(options.seed, options.seed + options.count), 1):
        try:
            ends[compare(engine, seed)] += 1
        except Differs as error:
            print(f"seed {seed}: {error}", file=sys.stderr)
            return 1
        if number % REPORT_EVERY == 0 or number == options.count:
            shown = ", ".join(f"{code} {count}" for code, count in sorted(ends.items()))
            print(f"{number} programs, {time.perf_counter() - began:.0f} s: {shown}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

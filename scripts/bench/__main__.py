"""`make bench`: run the benchmarks one after the other, conditions first."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys

import scripts.bench as benches
from scripts.bench.conditions import print_conditions

PREFIX = "bench_"


def main() -> int:
    """Run all benchmarks, or those named by --only a,b."""
    names = [
        module.name.removeprefix(PREFIX)
        for module in pkgutil.iter_modules(benches.__path__)
        if module.name.startswith(PREFIX)
    ]
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", default="", help="comma-separated: " + ", ".join(names))
    chosen = [name for name in parser.parse_args().only.split(",") if name] or names
    unknown = [name for name in chosen if name not in names]
    if unknown:
        parser.error(f"no benchmark {unknown[0]}; there are {', '.join(names)}")
    print_conditions()
    for name in chosen:
        print(f"\n== {name}", flush=True)
        # Benchmarks read their own options from the environment, never from our arguments.
        sys.argv = [f"bench_{name}"]
        importlib.import_module(f"scripts.bench.{PREFIX}{name}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main())

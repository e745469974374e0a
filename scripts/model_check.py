"""All reachable states of the core: four validators, some of them faulty, the first slots.

Asserts that one faulty validator of four cannot make two conflicting blocks final in three slots,
and that two, who can, give more than a third of the validators away in every fork.
"""

from __future__ import annotations

import argparse
import sys
import time

from node.testing.model_check import Search, Violated
from node.testing.model_state import VALIDATORS

STATES_MAX = 8_000_000
"""About 0.3 kB each."""


def main() -> int:
    """Search the asked scopes; 1 if a property does not hold or a search was cut short."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slots", type=int, default=3, help="slots searched, one faulty")
    parser.add_argument("--fork-slots", type=int, default=2, help="slots searched, two faulty")
    parser.add_argument("--faulty", default="", help="indices, as 1 or 1,2; all choices if empty")
    parser.add_argument("--states-max", type=int, default=STATES_MAX)
    arguments = parser.parse_args()
    if arguments.faulty:
        scopes = [tuple(int(index) for index in arguments.faulty.split(","))]
    else:
        scopes = [(index,) for index in range(VALIDATORS)] + [(0, 1), (1, 2)]
    is_good, started_s = True, time.monotonic()
    for faulty in scopes:
        slots = arguments.slots if len(faulty) == 1 else arguments.fork_slots
        is_good = check(slots, faulty, arguments.states_max) and is_good
    print(f"{len(scopes)} searches in {time.monotonic() - started_s:.0f} s")
    return 0 if is_good else 1


def check(slots: int, faulty: tuple[int, ...], states_max: int) -> bool:
    """Search one scope and print what was seen."""
    started_s = time.monotonic()
    try:
        report = Search(slots, faulty).run(states_max)
    except Violated as violation:
        print(f"VIOLATED with {faulty} faulty: {violation}")
        return False
    took_s = time.monotonic() - started_s
    end = "all seen" if report.is_complete else "CUT SHORT"
    print(
        f"{slots} slots, faulty {faulty}: {report.states} states, {report.transitions} "
        f"transitions, {report.forks} forks, each with its makers, {took_s:.1f} s, {end}",
        flush=True,
    )
    return report.is_complete


if __name__ == "__main__":
    sys.exit(main())

"""Epsilons of Google's dp-accounting for a table of mechanisms, to hold our accountant against.

It is no dependency (it pins attrs below 24), so run this in an environment of its own:

    uv run --no-project --with dp-accounting==0.6.0 python scripts/accountant_vectors.py

`rdp` is its Renyi accountant, `pld` its tighter one of privacy loss distributions: an upper bound
that is close to the true epsilon. Neighbours: one record added or removed; Poisson sampling.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Protocol

import dp_accounting  # type: ignore[import-not-found] # in an environment of its own
from dp_accounting import pld, rdp

OUT = Path("tests/vectors/accountant.json")
NOISES = (0.8, 1.0, 2.0, 6.0)
RATES = (0.005, 0.0256, 0.1, 1.0)
STEPS = (30, 500, 2000)
DELTAS = (1e-5, 1e-6)
DIGITS = 6
EPSILON_MAX = 100.0
"""Beyond this nothing is promised any more."""


class Accountant(Protocol):
    """What both accountants do."""

    def compose(self, event: object, count: int) -> object:
        """Add an event so many times."""

    def get_epsilon(self, target_delta: float) -> float:
        """The epsilon at a delta."""


def composed(accountant: Accountant, noise: float, rate: float, steps: int) -> Accountant:
    """The accountant after `steps` Gaussian steps with a noise multiplier and a sampling rate."""
    event = dp_accounting.GaussianDpEvent(noise)
    if rate < 1:
        event = dp_accounting.PoissonSampledDpEvent(rate, event)
    accountant.compose(event, steps)
    return accountant


def main() -> None:
    """Write the table."""
    rows = []
    for noise, rate, steps in product(NOISES, RATES, STEPS):
        renyi = composed(rdp.RdpAccountant(), noise, rate, steps)
        if renyi.get_epsilon(DELTAS[0]) > EPSILON_MAX:
            continue
        loss = composed(pld.PLDAccountant(), noise, rate, steps)
        for delta in DELTAS:
            row = {"noise": noise, "rate": rate, "steps": steps, "delta": delta}
            for name, accountant in (("rdp", renyi), ("pld", loss)):
                row[name] = round(float(accountant.get_epsilon(delta)), DIGITS)
            rows.append(row)
        print(rows[-1], flush=True)
    head = {"made_by": f"dp-accounting {version('dp-accounting')}"}
    lines = ",\n".join("  " + json.dumps(row) for row in rows)
    OUT.write_text(f'{{"head": {json.dumps(head)}, "rows": [\n{lines}\n]}}\n', encoding="utf-8")
    print(f"{OUT}: {len(rows)} rows")


if __name__ == "__main__":
    main()

"""Exhaustive search in `make test`: small scopes, and that it would see a broken rule."""

from __future__ import annotations

import subprocess
import sys

import pytest

from node.testing.model_check import Search

STATES_MAX = 200_000


@pytest.mark.parametrize("faulty", range(4))
def test_one_faulty_validator_cannot_fork_two_slots(faulty: int) -> None:
    report = Search(2, (faulty,)).run(STATES_MAX)
    assert report.is_complete
    assert report.forks == 0
    assert report.states > 1000


def test_two_faulty_validators_fork_and_every_fork_names_them() -> None:
    report = Search(2, (1, 2)).run(STATES_MAX)
    assert report.is_complete
    assert report.forks > 100


@pytest.mark.parametrize("mutant", ["final-after-skip", "skip-certificates-unchecked"])
def test_a_broken_rule_is_seen(mutant: str) -> None:
    program = (
        "from node.testing.mutants import install\n"
        f"install({mutant!r})\n"
        "from node.testing.model_check import Search, Violated\n"
        "for faulty in (1, 2):\n"
        "    try:\n"
        f"        Search(2, (faulty,)).run({STATES_MAX})\n"
        "    except Violated as violation:\n"
        "        print('seen', violation)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("seen two final blocks")

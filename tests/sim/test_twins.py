"""Twins in `make test`: drawn scenarios, part of the enumeration, a broken quorum is seen."""

from __future__ import annotations

import subprocess
import sys

import pytest

from andon.core.certificate import SignedVote, Vote, VoteKind
from andon.core.hashing import ZERO_DIGEST
from andon.core.wire import VoteMessage
from node.testing.sim.twins import (
    SPLITS,
    STEPS,
    Scenario,
    options_of,
    run_first_slot,
    run_scenarios,
    sample,
)

SCENARIOS = 10_000
CHUNK = 200


@pytest.mark.parametrize("first", range(0, SCENARIOS, CHUNK))
def test_drawn_scenarios_keep_agreement_and_go_on_afterwards(first: int) -> None:
    summary = run_scenarios(range(first, first + CHUNK))
    assert summary.failures == []
    assert summary.runs == CHUNK
    assert summary.counts["evidence"] > 0
    assert summary.counts["vote.SKIP"] > 0


def test_a_slice_of_all_splits_of_the_first_slot_keeps_agreement() -> None:
    # 65,536 in all; every 997th meets every value of every step.
    for code in range(0, SPLITS**STEPS, 997):
        assert run_first_slot(range(code, code + 1), twin=1).failures == []


def test_scenarios_repeat_and_differ() -> None:
    assert sample(5) == sample(5)
    assert len({sample(seed) for seed in range(50)}) == 50
    assert options_of(sample(5), 5).actor == "twin"


def test_a_mask_cuts_exactly_its_step() -> None:
    scenario = Scenario(((0b00001, 0, 0, 0),), twin=0, is_held=True)
    vote = VoteMessage(SignedVote(Vote(VoteKind.SKIP, 0, 1, ZERO_DIGEST), 0, b""))
    assert scenario.delay_ms(10, 0, 1, vote) == 0
    cut = Scenario(((0, 0b00001, 0, 0),), twin=0, is_held=True)
    assert cut.delay_ms(10, 0, 1, vote) == 890
    assert cut.delay_ms(10, 1, 2, vote) == 0
    assert cut.delay_ms(900, 0, 1, vote) == 0


def test_a_quorum_that_is_off_by_one_is_seen() -> None:
    program = (
        "from node.testing.mutants import install\n"
        "install('quorum-off-by-one')\n"
        "from node.testing.sim.twins import run_scenarios\n"
        "print([failure.reason for failure in run_scenarios(range(60)).failures])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "agreement: two blocks" in done.stdout

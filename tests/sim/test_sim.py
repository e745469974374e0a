"""Seeded worlds in `make test`: properties hold, runs repeat exactly, all trouble is reached."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from node.testing.sim import ACTORS, World, draw, quiet
from node.testing.sim.campaign import (
    Failure,
    load_failures,
    run_options,
    run_seeds,
    shrink,
    store_failures,
)

SEEDS = 1500
CHUNK = 50
FAILURES = Path(__file__).parent / "failures.json"
SKIP_TIMEOUT_MAX_MS = 4000
"""Of these worlds."""


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_every_property_holds_on_seeds(first: int) -> None:
    summary = run_seeds(range(first, first + CHUNK))
    assert summary.failures == []
    assert summary.runs == CHUNK
    assert summary.healed_ms_max <= 2 * SKIP_TIMEOUT_MAX_MS


@pytest.mark.parametrize("failure", load_failures(FAILURES), ids=lambda item: item.reason[:60])
def test_a_run_that_failed_once_stays_green(failure: Failure) -> None:
    assert run_options(failure.options).failures == []


def test_failures_are_stored_once_and_read_back_as_they_were(tmp_path: Path) -> None:
    known = load_failures(FAILURES)
    assert len(known) >= 5
    path = tmp_path / "failures.json"
    store_failures(path, known[:2])
    store_failures(path, known)
    assert load_failures(path) == known


def test_the_seeds_reach_every_kind_of_trouble() -> None:
    assert run_seeds(range(1000, 1250)).unreached() == []


@pytest.mark.parametrize("actor", ACTORS)
def test_a_network_survives_each_byzantine_actor(actor: str) -> None:
    for seed in range(3):
        options = replace(quiet(seed, heights=8), actor=actor, actor_node=seed, loss=300)
        assert run_options(options).failures == []


def test_a_quiet_network_needs_no_skip_and_few_messages_a_block() -> None:
    outcome = World(quiet(1, heights=20)).run()
    assert "vote.SKIP" not in outcome.counts
    assert outcome.events / outcome.height < 100


def test_a_trace_does_not_depend_on_the_hash_seed_or_the_process() -> None:
    program = "from node.testing.sim import World, draw; print(World(draw(7)).run().digest)"
    digests = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout.strip()
        for hash_seed in ("0", "4711")
    ]
    assert digests == [World(draw(7)).run().digest] * 2


def test_a_failure_is_shrunk_to_what_it_needs() -> None:
    # Who says nothing holds two fifths of the weight: no quorum, whatever else happens.
    options = replace(draw(3), nodes=4, weights=(1, 1, 1, 2), actor="withholder", actor_node=3)
    options = replace(options, loss=500, skew_ms=100, heights=4)
    (failure,) = run_options(options).failures
    small = shrink(Failure(options, failure.reason))
    assert small.options.actor == "withholder"
    assert (small.options.loss, small.options.skew_ms, small.options.crash) == (0, 0, 0)
    assert "progress" in small.reason

"""Restarts, long gaps and lost quorums: the network goes on by itself, and soon."""

from __future__ import annotations

from itertools import pairwise

import pytest

from node.testing.sim.drill import Drill

SKIP_TIMEOUT_MAX_MS = 4000  # of simulated worlds


def test_a_restart_of_the_whole_network_goes_on_within_two_timeouts() -> None:
    drill = Drill()
    drill.reach(10, 10_000)
    for round_number in range(5):
        drill.stop(0, 1, 2, 3)
        drill.start(0, 1, 2, 3)
        assert drill.reach(drill.best + 1, 2 * SKIP_TIMEOUT_MAX_MS) <= 2 * SKIP_TIMEOUT_MAX_MS
        drill.idle(37 * round_number)  # the next blow falls elsewhere in a slot


def test_a_rolling_restart_never_stops_the_network() -> None:
    drill = Drill()
    drill.reach(5, 10_000)
    for node in range(4):
        drill.stop(node)
        others = tuple(other for other in range(4) if other != node)
        drill.reach(max(drill.height(other) for other in others) + 3, 10_000, others)
        drill.start(node)
        drill.reach(max(drill.height(other) for other in others) + 3, 10_000)


def test_without_a_quorum_nothing_is_final_and_with_it_again_all_goes_on() -> None:
    drill = Drill()
    drill.reach(5, 10_000)
    drill.stop(0, 1)
    drill.idle(2_000)
    before = [drill.height(node) for node in range(4)]
    drill.idle(60_000)
    assert [drill.height(node) for node in range(4)] == before
    drill.start(0)
    drill.reach(max(before) + 1, 2 * SKIP_TIMEOUT_MAX_MS, (0, 2, 3))


@pytest.mark.parametrize("cut_ms", [500, 7_300, 60_000, 600_000])
@pytest.mark.parametrize("sides", [((0, 1), (2, 3)), ((0,), (1,), (2, 3))])
def test_the_first_block_after_a_cut_comes_within_two_timeouts(
    sides: tuple[tuple[int, ...], ...], cut_ms: int
) -> None:
    drill = Drill(seed=cut_ms)
    drill.reach(5, 10_000)
    drill.cut(*sides)
    drill.idle(cut_ms)
    stood = drill.best
    drill.heal()
    drill.reach(stood + 1, 2 * SKIP_TIMEOUT_MAX_MS)
    drill.reach(stood + 4, 10_000)


@pytest.mark.parametrize("wiped", [(0,), (0, 1), (1, 3)])
def test_disks_of_more_than_a_third_are_lost_and_the_network_goes_on(
    wiped: tuple[int, ...],
) -> None:
    drill = Drill()
    drill.reach(40, 60_000)
    drill.stop(*drill.all)
    final = drill.best
    kept = [drill.world.disks[node].finals[-1] for node in drill.all if node not in wiped]
    drill.wipe(*wiped)
    drill.start(*drill.all)
    drill.reach(final + 3, 30_000)
    chains = [drill.world.disks[node].finals for node in drill.all]
    for left, right in pairwise(chains):
        assert [item.block for item in left[:final]] == [item.block for item in right[:final]]
    for block in kept:  # what was acknowledged anywhere is still there
        height = block.block.header.height
        assert chains[0][height - 1].block == block.block


def test_a_network_that_starts_one_by_one_starts() -> None:
    drill = Drill()
    drill.idle(25)
    drill.stop(1, 2, 3)
    for node in (1, 2, 3):
        drill.idle(9_000)
        drill.start(node)
    drill.reach(3, 3 * SKIP_TIMEOUT_MAX_MS)


def test_a_validator_a_thousand_blocks_behind_votes_again_within_ten_seconds() -> None:
    drill = Drill()
    drill.reach(3, 10_000)
    drill.stop(3)
    drill.reach(1_000, 600_000, (0, 1, 2))
    drill.start(3)
    drill.reach(1_000, 10_000)
    signed = drill.world.nodes[3]
    assert signed is not None
    before = signed.disk.sign_state.position
    drill.idle(2_000)
    assert signed.disk.sign_state.position > before
    assert signed.disk.sign_state.entries[-1].notar is not None


def test_a_third_of_the_validators_down_costs_no_more_than_their_turns() -> None:
    whole, part = Drill(nodes=7), Drill(nodes=7)
    part.stop(5, 6)
    part.idle(25)
    part.stop(5, 6)
    part.reach(40, 120_000, (0, 1, 2, 3, 4))
    whole.reach(40, 120_000)
    # Silent leaders are skipped fast (R12): the next forty take less than half a second a turn.
    took_ms = part.reach(80, 60_000, (0, 1, 2, 3, 4))
    assert took_ms < 40 * 150

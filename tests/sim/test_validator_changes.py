"""The set changes while a validator is down: who joins, leaves, turns its key or is convicted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from andon.core.codec import encode
from node.testing.sim import Options, quiet
from node.testing.sim.chain import SET
from node.testing.sim.drill import Drill
from node.testing.sim.workload import Pairs, make_set

DOWN = 3
"""The validator that is down when the set changes."""
KEYS = [bytes([index + 1]) * 32 for index in range(5)]
FOUR: Pairs = [(key, 1) for key in KEYS[:4]]


def change_to(*sets: Pairs, options: Options | None = None) -> Drill:
    """Four validators and a spare; one of the four is down while governance acts."""
    drill = Drill(options or replace(quiet(1, nodes=5), spare=4))
    drill.idle(40)
    drill.stop(DOWN)
    drill.world.transactions[:0] = [SET + encode(make_set(pairs)) for pairs in sets]
    return drill


def require_progress(drill: Drill, *nodes: int) -> None:
    """Blocks come at all of these."""
    drill.reach(drill.best + 5, 20_000, nodes)


def require_standstill(drill: Drill) -> None:
    """No block becomes final."""
    drill.idle(3_000)
    before = [drill.height(node) for node in drill.all]
    drill.idle(30_000)
    assert [drill.height(node) for node in drill.all] == before


JOINED: Pairs = [*FOUR, (KEYS[4], 1)]
TURNED: Pairs = [(KEYS[0], 1), (KEYS[1], 1), (KEYS[2], 1), (KEYS[4], 1)]


@pytest.mark.parametrize(
    "after",
    [
        pytest.param(JOINED, id="one joins"),
        pytest.param(FOUR[:3], id="the one that is down leaves"),
        pytest.param([(KEYS[0], 2), (KEYS[1], 2), *FOUR[2:]], id="two gain weight"),
        pytest.param(TURNED, id="the one that is down turns its key"),
    ],
)
def test_the_set_changes_while_one_is_down_and_it_comes_back_to_the_new_one(after: Pairs) -> None:
    drill = change_to(after)
    require_progress(drill, 0, 1, 2, 4)
    assert drill.set_at(0) == make_set(after)
    drill.start(DOWN)
    require_progress(drill, 0, 1, 2, 3, 4)
    assert [drill.set_at(instance) for instance in range(5)] == [make_set(after)] * 5
    assert drill.world.counts["epoch.one_down"] >= 3


def test_a_set_whose_quorum_needs_the_one_that_is_down_waits_for_it() -> None:
    # Three remain, all three are a quorum: without the one that is down nothing is final.
    drill = change_to([FOUR[0], FOUR[1], FOUR[3]])
    drill.idle(5_000)
    assert drill.set_at(0) == make_set([FOUR[0], FOUR[1], FOUR[3]])
    require_standstill(drill)
    drill.start(DOWN)
    require_progress(drill, 0, 1, 2, 3, 4)


def test_a_convicted_validator_leaves_while_another_one_is_down_and_never_returns() -> None:
    options = replace(quiet(2, nodes=5), spare=4, actor="double_voter", actor_node=0, jails=True)
    drill = change_to(JOINED, options=options)
    drill.start(DOWN)
    require_progress(drill, 1, 2, 3, 4)
    kept = make_set(JOINED[1:])
    assert drill.set_at(1) == kept
    drill.world.transactions.insert(0, SET + encode(make_set(JOINED)))
    drill.stop(DOWN)
    drill.idle(3_000)
    drill.start(DOWN)
    require_progress(drill, 1, 2, 3, 4)
    assert [drill.set_at(instance) for instance in range(1, 5)] == [kept] * 4
    assert drill.world.counts["jailed"] >= 4


def test_two_changes_in_one_block_count_as_the_first_everywhere() -> None:
    drill = change_to(JOINED, FOUR[:3])
    require_progress(drill, 0, 1, 2, 4)
    drill.start(DOWN)
    require_progress(drill, 0, 1, 2, 3, 4)
    assert [drill.set_at(instance) for instance in range(5)] == [make_set(JOINED)] * 5


def test_a_set_that_turns_all_keys_but_two_goes_on_with_whoever_is_up() -> None:
    # Of the four of the new set two are new to it; one of the old ones is down.
    drill = change_to([(KEYS[0], 1), (KEYS[1], 1), (KEYS[4], 1)])
    require_progress(drill, 0, 1, 2, 4)
    assert drill.set_at(2) == make_set([(KEYS[0], 1), (KEYS[1], 1), (KEYS[4], 1)])
    node = drill.world.nodes[2]
    assert node is not None
    assert node.state.index is None

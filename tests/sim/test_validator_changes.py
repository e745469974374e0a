"""The set changes while a validator is down: who joins, leaves, turns its key or is convicted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from andon.core.certificate import ValidatorSet
from andon.core.codec import encode
from node.testing.sim import Options, World, quiet
from node.testing.sim.chain import SET
from node.testing.sim.workload import Pairs, make_set

MS = 1000
DOWN = 3
"""The validator that is down when the set changes."""
KEYS = [bytes([index + 1]) * 32 for index in range(5)]
FOUR: Pairs = [(key, 1) for key in KEYS[:4]]


class Change:
    """Four validators and a spare; one of the four is down while governance acts."""

    def __init__(self, *sets: Pairs, options: Options | None = None) -> None:
        plain = replace(quiet(1, nodes=5), spare=4, heights=10**6)
        self.world = World(options or plain)
        self.world.is_faulty = False
        self.run(ms=40)
        self.stop(DOWN)
        self.world.transactions[:0] = [SET + encode(make_set(pairs)) for pairs in sets]

    def run(self, *, ms: int) -> None:
        """Let time pass."""
        self.world._run_until(lambda: False, self.world.now_us // MS + ms)

    def stop(self, instance: int) -> None:
        self.world.nodes[instance] = None

    def start(self, instance: int) -> None:
        self.world._boot(instance)

    def height(self, instance: int) -> int:
        return len(self.world._disks[instance].finals)

    def set_at(self, instance: int) -> ValidatorSet:
        node = self.world.nodes[instance]
        assert node is not None
        return node.chain.validators(node.chain.epoch)

    def require_progress(self, *instances: int, blocks: int = 5) -> None:
        """Blocks come at all of these."""
        goal = max(self.height(instance) for instance in range(5)) + blocks
        until_ms = self.world.now_us // MS + 20_000
        assert self.world._run_until(
            lambda: min(self.height(instance) for instance in instances) >= goal, until_ms
        ), [self.height(instance) for instance in range(5)]

    def require_standstill(self) -> None:
        """No block becomes final."""
        self.run(ms=3_000)
        before = [self.height(instance) for instance in range(5)]
        self.run(ms=30_000)
        assert [self.height(instance) for instance in range(5)] == before


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
    change = Change(after)
    change.require_progress(0, 1, 2, 4)
    assert change.set_at(0) == make_set(after)
    change.start(DOWN)
    change.require_progress(0, 1, 2, 3, 4)
    assert [change.set_at(instance) for instance in range(5)] == [make_set(after)] * 5
    assert change.world.counts["epoch.one_down"] >= 3


def test_a_set_whose_quorum_needs_the_one_that_is_down_waits_for_it() -> None:
    # Three remain, all three are a quorum: without the one that is down nothing is final.
    change = Change([FOUR[0], FOUR[1], FOUR[3]])
    change.run(ms=5_000)
    assert change.set_at(0) == make_set([FOUR[0], FOUR[1], FOUR[3]])
    change.require_standstill()
    change.start(DOWN)
    change.require_progress(0, 1, 2, 3, 4)


def test_a_convicted_validator_leaves_while_another_one_is_down_and_never_returns() -> None:
    options = replace(
        quiet(2, nodes=5), spare=4, heights=10**6, actor="double_voter", actor_node=0, jails=True
    )
    change = Change(JOINED, options=options)
    change.start(DOWN)
    change.require_progress(1, 2, 3, 4)
    kept = make_set(JOINED[1:])
    assert change.set_at(1) == kept
    change.world.transactions.insert(0, SET + encode(make_set(JOINED)))
    change.stop(DOWN)
    change.run(ms=3_000)
    change.start(DOWN)
    change.require_progress(1, 2, 3, 4)
    assert [change.set_at(instance) for instance in range(1, 5)] == [kept] * 4
    assert change.world.counts["jailed"] >= 4


def test_two_changes_in_one_block_count_as_the_first_everywhere() -> None:
    change = Change(JOINED, FOUR[:3])
    change.require_progress(0, 1, 2, 4)
    change.start(DOWN)
    change.require_progress(0, 1, 2, 3, 4)
    assert [change.set_at(instance) for instance in range(5)] == [make_set(JOINED)] * 5


def test_a_set_that_turns_all_keys_but_two_goes_on_with_whoever_is_up() -> None:
    # Of the four of the new set two are new to it; one of the old ones is down.
    change = Change([(KEYS[0], 1), (KEYS[1], 1), (KEYS[4], 1)])
    change.require_progress(0, 1, 2, 4)
    assert change.set_at(2) == make_set([(KEYS[0], 1), (KEYS[1], 1), (KEYS[4], 1)])
    node = change.world.nodes[2]
    assert node is not None
    assert node.state.index is None

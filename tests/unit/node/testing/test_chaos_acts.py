"""Acts of chaos plans: drawn from seeds, possible in their order, checked against the chains."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from andon.core.errors import InvalidInput
from node.testing.chaos import NodeChain, draw_plan, parse_plan
from node.testing.chaos.acts import (
    ACTS_MAX,
    VALIDATORS_MIN,
    Act,
    Deed,
    packages_after,
    published,
    weights_after,
)
from node.testing.chaos.checkers import Decided, check_decided
from node.testing.chaos.plan import FAULTS_MS
from node.testing.chaos.steward import load_package

NAMES = ("node-1", "node-2", "node-3", "node-4")
REMOVE = Act(deed=Deed.REMOVE, at_ms=1, node="node-2")
RETURN = Act(deed=Deed.RETURN, at_ms=2, node="node-2", amount=3)
WEIGH = Act(deed=Deed.WEIGH, at_ms=3, node="node-1", amount=2)
FIRST = Act(deed=Deed.ACTIVATE, at_ms=4, package="rul-demo")
SECOND = Act(deed=Deed.ACTIVATE, at_ms=5, package="turbofan-fd001")
BACK = Act(deed=Deed.ROLL_BACK, at_ms=6)
CHAIN = NodeChain("node-1", (b"a",), (b"",), (b"x",), (), weights=((b"k", 1),), serving=b"m")


def test_drawn_acts_are_possible_and_never_add_a_fault_to_a_liar() -> None:
    plans = [draw_plan(seed) for seed in range(300)]
    assert {act.deed for plan in plans for act in plan.acts} == set(Deed)
    for plan in plans:
        assert parse_plan(msgspec.json.encode(plan)) == plan
        assert all(0 <= act.at_ms < FAULTS_MS for act in plan.acts)
        for count in range(len(plan.acts) + 1):
            assert len(weights_after(plan.names, plan.acts[:count])) >= VALIDATORS_MIN
        if plan.liar:
            assert weights_after(plan.names, plan.acts) == dict.fromkeys(plan.names, 1)
        assert plan.has_models == bool(plan.liar or published(plan.acts))


def test_what_acts_leave_behind() -> None:
    assert weights_after(NAMES, (REMOVE,)) == {"node-1": 1, "node-3": 1, "node-4": 1}
    after = weights_after(NAMES, (REMOVE, RETURN, WEIGH, FIRST))
    assert after == {"node-1": 2, "node-2": 3, "node-3": 1, "node-4": 1}
    assert packages_after((REMOVE,)) == ()
    assert packages_after((FIRST, SECOND)) == ("rul-demo", "turbofan-fd001")
    assert packages_after((FIRST, SECOND, BACK)) == ("rul-demo",)


@pytest.mark.parametrize(
    "acts",
    [
        (RETURN,),
        (REMOVE, REMOVE),
        (REMOVE, Act(deed=Deed.WEIGH, at_ms=2, node="node-2")),
        (REMOVE, Act(deed=Deed.REMOVE, at_ms=2, node="node-3")),
        (Act(deed=Deed.WEIGH, at_ms=2, node="node-9"),),
        (Act(deed=Deed.WEIGH, at_ms=2, node="node-1", amount=0),),
        (Act(deed=Deed.WEIGH, at_ms=FAULTS_MS, node="node-1"),),
        (Act(deed=Deed.ACTIVATE, at_ms=2, package="no-such"),),
        (FIRST, FIRST),
        (FIRST, BACK),
        (WEIGH,) * (ACTS_MAX + 1),
    ],
)
def test_impossible_acts_are_refused(acts: tuple[Act, ...]) -> None:
    plan = msgspec.structs.replace(draw_plan(1), validators=4, faults=(), acts=acts)
    with pytest.raises(InvalidInput):
        parse_plan(msgspec.json.encode(plan))


def test_a_state_that_is_not_as_decided_is_a_finding() -> None:
    assert check_decided(CHAIN, Decided(((b"k", 1),), b"m")) == []
    assert "other validators" in check_decided(CHAIN, Decided(((b"k", 2),), b"m"))[0]
    assert "another was decided" in check_decided(CHAIN, Decided(((b"k", 1),), b"n"))[0]
    assert "another was decided" in check_decided(replace(CHAIN, serving=b""), Decided((), b"n"))[1]


def test_packages_of_acts_are_in_the_checkout() -> None:
    assert load_package("rul-demo").identity != load_package("turbofan-fd001").identity

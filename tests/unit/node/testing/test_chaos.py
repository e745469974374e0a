"""Chaos: plans come from seeds and files, and the checkers find what is wrong with chains."""

from dataclasses import replace

import msgspec
import pytest

from andon.core.errors import InvalidInput
from node.testing.chaos import Acknowledged, NodeChain, check, draw_plan, parse_plan
from node.testing.chaos.audit import Entry
from node.testing.chaos.plan import FAULTS_MS, PROCESS_VERBS, Fault, Verb

SENDER = b"s" * 32
FIRST = Entry(id=b"1" * 32, sender=SENDER, height=1, ok=True, results=(b"\x01",))
SECOND = Entry(id=b"2" * 32, sender=SENDER, height=2, ok=True, results=(b"\x02",))
GOOD = NodeChain(
    name="node-1",
    hashes=(b"a", b"b", b"c"),
    parents=(b"", b"a", b"b"),
    state_roots=(b"x", b"y", b"z"),
    entries=(FIRST, SECOND),
)
OTHER = replace(GOOD, name="node-2")
PROMISED = Acknowledged(id=SECOND.id, height=2, ok=True, results=(b"\x02",))
ATTEMPTED = {FIRST.id, SECOND.id}


def findings(*chains: NodeChain, promised: Acknowledged = PROMISED) -> str:
    return " / ".join(check(chains, [promised], ATTEMPTED, {SENDER}))


def test_a_seed_always_gives_the_same_plan_and_seeds_differ() -> None:
    assert draw_plan(7) == draw_plan(7)
    assert len({str(draw_plan(seed)) for seed in range(50)}) == 50


def test_every_plan_is_possible_and_reads_back_from_its_file() -> None:
    for seed in range(300):
        plan = draw_plan(seed)
        assert parse_plan(msgspec.json.encode(plan)) == plan
        in_process: list[str] = []
        for fault in plan.faults:
            assert 0 <= fault.at_ms < fault.until_ms <= FAULTS_MS
            if fault.verb in PROCESS_VERBS:
                in_process += fault.nodes
        # A process that is paused or gone can neither be paused nor killed.
        assert len(set(in_process)) == len(in_process)


def test_all_faults_are_drawn() -> None:
    plans = [draw_plan(seed) for seed in range(100)]
    assert {fault.verb for plan in plans for fault in plan.faults} == set(Verb)
    hung = [plan for plan in plans if Verb.WORKER_HANGS in {item.verb for item in plan.faults}]
    assert all(plan.has_models for plan in hung)
    assert any(draw_plan(seed).liar for seed in range(100))


@pytest.mark.parametrize(
    "fault",
    [
        Fault(verb=Verb.KILL, at_ms=1, until_ms=2, nodes=("node-9",)),
        Fault(verb=Verb.KILL, at_ms=2, until_ms=2, nodes=("node-1",)),
        Fault(verb=Verb.KILL, at_ms=1, until_ms=FAULTS_MS + 1, nodes=("node-1",)),
        Fault(verb=Verb.ONE_WAY, at_ms=1, until_ms=2, nodes=("node-1",)),
        Fault(verb=Verb.DELAY, at_ms=1, until_ms=2, nodes=()),
        Fault(verb=Verb.DISK_FULL, at_ms=1, until_ms=2, nodes=("node-1", "node-2")),
    ],
)
def test_an_impossible_plan_is_refused(fault: Fault) -> None:
    plan = msgspec.structs.replace(draw_plan(1), validators=4, faults=(fault,))
    with pytest.raises(InvalidInput):
        parse_plan(msgspec.json.encode(plan))
    with pytest.raises(InvalidInput):
        parse_plan(b"{}")


def test_equal_chains_with_all_promises_kept_give_no_finding() -> None:
    assert findings(GOOD, OTHER) == ""


def test_a_node_that_is_behind_contradicts_nobody() -> None:
    behind = NodeChain("node-2", GOOD.hashes[:2], GOOD.parents[:2], GOOD.state_roots[:2], (FIRST,))
    assert findings(GOOD, behind) == ""


def test_each_broken_promise_is_a_finding() -> None:
    forked = replace(OTHER, hashes=(b"a", b"b", b"d"))
    assert "different blocks at height 2" in findings(GOOD, forked)
    diverged = replace(OTHER, state_roots=(b"x", b"y", b"q"))
    assert "different state roots at height 2" in findings(GOOD, diverged)
    assert "does not follow" in findings(replace(GOOD, parents=(b"", b"a", b"a")))
    assert "is not in the chain" in findings(replace(GOOD, entries=(FIRST,)))
    assert "2 times" in findings(replace(GOOD, entries=(FIRST, SECOND, replace(SECOND, height=1))))
    assert "other results" in findings(GOOD, promised=replace(PROMISED, results=(b"\x03",)))
    assert "stands at 2" in findings(GOOD, promised=replace(PROMISED, height=1))
    foreign = Entry(id=b"3" * 32, sender=SENDER, height=2, ok=True, results=())
    assert "never sent" in findings(replace(GOOD, entries=(FIRST, SECOND, foreign)))

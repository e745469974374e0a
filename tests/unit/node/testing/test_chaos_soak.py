"""Plans with one fault a minute, and what processes held."""

import msgspec

from node.testing.chaos import draw_soak, parse_plan
from node.testing.chaos.plan import PROCESS_VERBS
from node.testing.chaos.soak import FILES_GROWTH_MAX, MINUTES_MAX, Sample, check_lives, lives
from node.testing.vitals import Held


def test_every_minute_has_one_fault_and_one_validator_is_never_killed() -> None:
    plan = draw_soak(3, MINUTES_MAX)
    assert parse_plan(msgspec.json.encode(plan)) == plan
    assert [fault.at_ms // 60_000 for fault in plan.faults] == list(range(1, MINUTES_MAX + 1))
    assert all(fault.until_ms < fault.at_ms + 60_000 for fault in plan.faults)
    assert "node-4" not in {
        name for fault in plan.faults if fault.verb in PROCESS_VERBS for name in fault.nodes
    }
    assert {fault.verb for fault in plan.faults} >= set(PROCESS_VERBS)


def test_a_process_is_judged_by_its_longest_life() -> None:
    first = [Sample(at, Held("node-1 node", 7, 100 * at, 10)) for at in range(3)]
    second = [Sample(at, Held("node-1 node", 8, 500, 10)) for at in range(3, 9)]
    other = [Sample(at, Held("node-2 node", 9, 500, 10 + 20 * at)) for at in range(9)]
    one, two = lives([*first, *second, *other])
    assert (one.name, one.seconds, one.memory_slope, one.files_slope) == ("node-1 node", 5, 0, 0)
    assert two.last.files - two.first.files > FILES_GROWTH_MAX
    assert check_lives([one, two]) == ["node-2 node went from 10 to 170 open files"]

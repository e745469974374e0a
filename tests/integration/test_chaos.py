"""A plan of `make chaos` with faults and a change of validators: everything that must hold does."""

from pathlib import Path

import pytest

from node.testing.chaos import Act, ChaosPlan, Deed, Fault, Verb, parse_plan, run_plan

pytestmark = [pytest.mark.integration, pytest.mark.slow]

PLAN = ChaosPlan(
    seed=1,
    validators=4,
    clients=2,
    faults_ms=12_000,
    faults=(
        Fault(verb=Verb.KILL, at_ms=500, until_ms=2_000, nodes=("node-1",)),
        Fault(verb=Verb.ONE_WAY, at_ms=2_500, until_ms=4_000, nodes=("node-2", "node-3")),
        Fault(verb=Verb.PARTITION, at_ms=4_000, until_ms=6_000, nodes=("node-1", "node-2")),
        Fault(verb=Verb.DISK_FULL, at_ms=6_000, until_ms=8_000, nodes=("node-2",)),
        Fault(verb=Verb.SILENT, at_ms=8_000, until_ms=10_000, nodes=("node-3",)),
        Fault(verb=Verb.SKEW, at_ms=10_000, until_ms=12_000, nodes=("node-1",), amount=-300),
    ),
    acts=(
        Act(deed=Deed.REMOVE, at_ms=1_000, node="node-4"),
        Act(deed=Deed.RETURN, at_ms=3_000, node="node-4", amount=2),
    ),
)


async def test_a_plan_is_played_and_nothing_is_found(tmp_path: Path) -> None:
    report = await run_plan(PLAN, tmp_path)
    assert report.findings == []
    assert report.kills == 1
    assert report.acts == 2
    assert 0 < report.acknowledged_in_faults < report.acknowledged
    events = (tmp_path / "events.jsonl").read_text()
    assert events.count('"fault.begun"') == events.count('"fault.ended"') == 6
    assert parse_plan((tmp_path / "plan.json").read_bytes()) == PLAN

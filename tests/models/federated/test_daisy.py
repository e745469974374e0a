from collections import Counter

import pytest

from andon.core.errors import InvalidInput
from models.federated.daisy import (
    DaisyPlan,
    Step,
    check_plan,
    cycle,
    exchanges,
    open_model,
    permutation,
    seal_model,
    step_after,
)
from models.federated.masks import key_pair


def test_aggregation_wins_where_both_periods_fall_together() -> None:
    plan = DaisyPlan(1, 10)
    steps = [step_after(plan, t) for t in range(20)]
    assert steps.count(Step.AGGREGATE) == 2
    assert steps[9] is Step.AGGREGATE
    assert all(step is Step.ROUTE for k, step in enumerate(steps) if k % 10 != 9)


@pytest.mark.parametrize(
    ("daisy", "aggregation", "expected"), [(1, 10, 400), (5, 50, 80), (400, 1, 400), (7, 3, 171)]
)
def test_exchanges_count_the_steps_that_end_in_a_message(
    daisy: int, aggregation: int, expected: int
) -> None:
    assert exchanges(DaisyPlan(daisy, aggregation), 400) == expected


def test_a_period_of_zero_is_refused() -> None:
    with pytest.raises(InvalidInput):
        check_plan(DaisyPlan(0, 1))


def test_permutations_are_uniform() -> None:
    counts = Counter(permutation(b"%d" % k, 3) for k in range(6000))
    assert len(counts) == 6
    assert min(counts.values()) > 850
    assert max(counts.values()) < 1150


def test_a_cycle_moves_every_model_and_is_the_same_for_everybody() -> None:
    for k in range(200):
        found = cycle(bytes([k]) * 32, 5)
        assert sorted(found) == [0, 1, 2, 3, 4]
        assert all(target != index for index, target in enumerate(found))
    counts = Counter(cycle(k.to_bytes(32, "big"), 4) for k in range(3000))
    assert len(counts) == 6
    assert min(counts.values()) > 420
    with pytest.raises(InvalidInput):
        cycle(bytes(32), 1)


def test_a_routed_model_opens_for_its_receiver_alone() -> None:
    sender, receiver, other = (key_pair(bytes([k]) * 32) for k in (1, 2, 3))
    sealed, plain, _ = seal_model(sender, receiver.public, b"model", context=b"round 1")
    assert open_model(receiver, sender.public, sealed, plain, context=b"round 1") == b"model"
    for who, context in ((other, b"round 1"), (receiver, b"round 2")):
        with pytest.raises(InvalidInput):
            open_model(who, sender.public, sealed, plain, context=context)
    with pytest.raises(InvalidInput, match="not the committed"):
        open_model(receiver, sender.public, sealed, bytes(32), context=b"round 1")

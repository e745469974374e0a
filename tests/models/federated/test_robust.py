from math import isqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from andon.core.errors import InvalidInput
from models.federated.ring import Sums
from models.federated.robust import (
    RULES,
    Rule,
    agreeing_rows,
    apply_rule,
    fine_mean,
    outliers,
    trimmed_mean,
)
from models.federated.shapley import shapley_values

HONEST = np.array([[100, -50, 3], [110, -40, 5], [90, -60, 4], [105, -45, 6], [95, -55, 2]])


def rows(values: list[list[int]]) -> Sums:
    return np.array(values, np.int64) << 8


@settings(max_examples=30, deadline=None)
@given(
    st.permutations(range(7)),
    st.lists(
        st.lists(st.integers(-(2**22), 2**22), min_size=4, max_size=4), min_size=7, max_size=7
    ),
)
@pytest.mark.parametrize("name", RULES)
def test_every_rule_gives_the_same_bytes_in_every_order(
    name: str, order: list[int], values: list[list[int]]
) -> None:
    table = rows(values)
    rule = Rule(name=name, tolerated=2)  # type: ignore[arg-type] # one of RULES
    root = table[0].copy()
    first = apply_rule(rule, table, root=root)
    assert first.tobytes() == apply_rule(rule, table[list(order)], root=root).tobytes()
    assert first.dtype == np.int64


@pytest.mark.parametrize("name", ["median", "trimmed", "geometric", "centred", "agreeing", "trust"])
def test_two_of_seven_huge_rows_do_not_carry_the_result_away(name: str) -> None:
    table = rows([*HONEST.tolist(), [2**22, 2**22, 2**22], [2**22, 2**22, 2**22]])
    found = apply_rule(Rule(name=name, tolerated=2), table, root=rows([[100, -50, 4]])[0])  # type: ignore[arg-type] # one of RULES
    assert np.abs(found / 256 - [100, -50, 4]).max() < 60
    mean = apply_rule(Rule(name="mean"), table)
    assert np.abs(mean / 256).max() > 2**20


@pytest.mark.parametrize("name", [n for n in RULES if n != "trust"])
def test_equal_rows_are_their_own_result(name: str) -> None:
    table = rows([[7, -9, 0]] * 5)
    assert apply_rule(Rule(name=name, tolerated=2), table).tolist() == [7 << 8, -9 << 8, 0]  # type: ignore[arg-type] # one of RULES


def test_trimming_agrees_with_python_integers() -> None:
    table = rows(HONEST.tolist())
    expected = [sum(sorted(column)[1:-1]) // 3 for column in table.T.tolist()]
    assert trimmed_mean(table, 1).tolist() == expected


def test_trust_ignores_rows_against_the_root_and_scales_the_others() -> None:
    root = rows([[30, 40, 0]])[0]
    found = apply_rule(Rule(name="trust"), rows([[300, 400, 0], [-30, -40, 0]]), root=root)
    assert isqrt(int((found**2).sum())) == pytest.approx(50 * 256, rel=0.001)
    nothing = apply_rule(Rule(name="trust"), rows([[-1, 0, 0], [0, -1, 0]]), root=root)
    assert nothing.tolist() == [0, 0, 0]


def test_rows_that_point_elsewhere_are_left_out_whatever_their_length() -> None:
    honest = HONEST.tolist()
    for bad in ([-10, 5, 0], [-(2**22), 2**21, 0], [0, 0, 2**22]):
        kept = agreeing_rows(rows([*honest, bad]), 1)
        assert kept.tolist() == rows(honest).tolist()
    # One coordinate at the largest magnitude against long rows: no intermediate overflows.
    long = np.full((3, 4), 2**31 - 1, np.int64)
    short = np.array([[1, 0, 0, 0], [0, -(2**31) + 1, 0, 0]], np.int64)
    assert len(agreeing_rows(np.concatenate([long, short]), 2)) == 3


def test_rules_refuse_what_they_cannot_stand() -> None:
    with pytest.raises(InvalidInput, match="4 rows cannot stand 2"):
        apply_rule(Rule(name="trimmed", tolerated=2), rows([[1]] * 4))
    with pytest.raises(InvalidInput, match="too large"):
        apply_rule(Rule(name="mean"), np.array([[2**31]], np.int64))
    with pytest.raises(InvalidInput, match="root"):
        apply_rule(Rule(name="trust"), rows([[1]] * 4))


def test_outliers_are_long_rows_and_rows_that_point_away() -> None:
    table = rows([*HONEST.tolist(), [1000, -500, 40], [-100, 50, -4]])
    assert outliers(table, rows([[100, -50, 4]])[0]) == (5, 6)


def test_the_mean_of_a_sum_rounds_toward_minus_infinity() -> None:
    assert fine_mean(np.array([-1, 1]), 3).tolist() == [-86, 85]
    with pytest.raises(InvalidInput):
        fine_mean(np.array([1]), 0)


def test_shapley_values_of_the_glove_game_are_exact() -> None:
    # Players 0 and 1 hold left gloves, 2 a right one: 1/6, 1/6, 4/6 of the pair's worth.
    def worth(coalition: tuple[int, ...]) -> int:
        return 600 if 2 in coalition and len(coalition) > 1 else 0

    assert shapley_values(3, worth) == (100, 100, 400)
    with pytest.raises(InvalidInput):
        shapley_values(9, worth)

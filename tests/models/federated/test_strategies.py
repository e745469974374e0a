import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from andon.core.errors import InvalidInput
from models.federated.strategies import (
    Strategy,
    check_strategy,
    fed_adaptive,
    fed_avg,
    fed_avg_momentum,
    initial_state,
    model_from_fine,
    model_to_fine,
    scaffold,
    server_step,
    square_root,
    state_digest,
    state_from_bytes,
    state_to_bytes,
    times,
)

FINE = 24
UNIT = 1 << FINE


@given(st.lists(st.integers(0, 2**62), min_size=1, max_size=30))
def test_the_square_root_is_exact_up_to_two_to_the_62(values: list[int]) -> None:
    from math import isqrt

    edge = [2**62, 2**62 - 1, (2**31 - 1) ** 2, (2**31 - 1) ** 2 - 1, 0, 1]
    found = square_root(np.array(values + edge, np.int64))
    assert found.tolist() == [isqrt(value) for value in values + edge]


@given(st.integers(-(2**61), 2**61), st.integers(0, 2**16))
def test_fixed_point_products_floor_without_overflow(value: int, factor: int) -> None:
    assert times(np.array([value]), factor).tolist() == [value * factor >> 16]


def test_averaging_adds_the_update() -> None:
    state = initial_state(np.array([10, -10], np.int64))
    assert server_step(fed_avg(), state, np.array([5, 7])).model.tolist() == [15, -3]


def test_momentum_follows_the_papers_recursion_in_floats() -> None:
    strategy = fed_avg_momentum(rate=0.5, decay=0.9)
    state = initial_state(np.zeros(3, np.int64))
    model, velocity = np.zeros(3), np.zeros(3)
    rng = np.random.default_rng(0)
    for _ in range(20):
        update = rng.normal(0, 0.1, 3)
        state = server_step(strategy, state, model_to_fine(update.astype(np.float32), FINE))
        velocity = 0.9 * velocity + update
        model = model + 0.5 * velocity
    assert np.abs(state.model / UNIT - model).max() < 1e-4


@pytest.mark.parametrize("name", ["adam", "yogi", "adagrad"])
def test_adaptive_steps_follow_the_papers_recursion_in_floats(name: str) -> None:
    strategy = fed_adaptive(name, rate=0.01, fine_bits=FINE)  # type: ignore[arg-type] # a name
    state = initial_state(np.zeros(3, np.int64))
    model, first, second = np.zeros(3), np.zeros(3), np.zeros(3)
    rng = np.random.default_rng(1)
    for _ in range(30):
        update = rng.normal(0.02, 0.1, 3)
        state = server_step(strategy, state, model_to_fine(update.astype(np.float32), FINE))
        square = update**2
        first = update if name == "adagrad" else 0.9 * first + 0.1 * update
        if name == "adam":
            second = 0.99 * second + 0.01 * square
        elif name == "yogi":
            second = second - 0.01 * square * np.sign(second - square)
        else:
            second = second + square
        model = model + 0.01 * first / (np.sqrt(second) + 1e-3)
    assert np.abs(state.model / UNIT - model).max() < 2e-3


def test_scaffold_moves_model_and_control_by_the_share_that_took_part() -> None:
    state = initial_state(np.zeros(2, np.int64))
    update = np.array([8, 16, 100, 200])
    after = server_step(scaffold(), state, update, took_part=2, members=4)
    assert after.model.tolist() == [8, 16]
    assert after.control.tolist() == [50, 100]
    with pytest.raises(InvalidInput):
        server_step(scaffold(), state, update[:2])


def test_a_state_survives_its_bytes_and_every_vector_counts_in_its_digest() -> None:
    state = initial_state(np.arange(3))
    assert state_digest(state_from_bytes(state_to_bytes(state))) == state_digest(state)
    moved = server_step(fed_avg_momentum(), state, np.array([1, 0, 0]))
    silent = initial_state(moved.model)
    assert state_digest(moved) != state_digest(silent)
    with pytest.raises(InvalidInput):
        state_from_bytes(bytes(31))


def test_extreme_updates_never_overflow_or_are_refused() -> None:
    state = initial_state(np.zeros(1, np.int64))
    strategy = fed_adaptive("adagrad", rate=1.0, fine_bits=FINE)
    for _ in range(5):
        state = server_step(strategy, state, np.array([2**31 - 1]))
        assert 0 <= int(state.second[0]) < 2**62
    with pytest.raises(InvalidInput):
        server_step(strategy, state, np.array([2**31]))


def test_strategies_out_of_bounds_are_refused() -> None:
    check_strategy(fed_avg())
    for bad in (
        Strategy("average", 0, 0, 0, 0),
        Strategy("momentum", 1, 2**16, 0, 0),
        Strategy("adam", 1, 0, 0, 0),
    ):
        with pytest.raises(InvalidInput):
            check_strategy(bad)


def test_floats_and_fine_units_convert_back() -> None:
    weights = np.array([0.5, -1.25, 3.0], np.float32)
    assert model_from_fine(model_to_fine(weights, FINE), FINE).tolist() == weights.tolist()

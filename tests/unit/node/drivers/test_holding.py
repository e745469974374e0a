"""What consensus leaves to the catch-up waits while that brings blocks, and not longer."""

from __future__ import annotations

from andon.core.block import Justification
from andon.core.certificate import Validator, make_validator_set
from andon.core.genesis import Params
from consensus import bft
from node.drivers.holding import HELD_MAX, Holding
from tests.unit.node.drivers.test_sync import KEYS, ZERO, make_header


class Target:
    """A catch-up as far as `Holding` sees it."""

    def __init__(self, height: int) -> None:
        self.height = height

    def __call__(self) -> int:
        return self.height


def make_state(*heights: int) -> bft.State:
    """A core that knows the headers of unfinal blocks; block n has the hash `n`."""
    base = bft.Base(epoch=0, slot=0, height=0, block=ZERO, certificate=None)
    validators = make_validator_set(tuple(Validator(key.public, 1) for key in KEYS))
    state = bft.initial_state(
        bft.Position(base=base, validators=validators, index=0, params=Params())
    )
    for height in heights:
        received = bft.BlockReceived(
            block=hash_of(height),
            header=make_header(height, ZERO),
            justification=Justification(None, ()),
        )
        state, _ = bft.step(state, received)
    return state


def hash_of(height: int) -> bytes:
    return height.to_bytes(32, "big")


def validate(height: int) -> bft.Validate:
    return bft.Validate(hash_of(height), is_certified=True)


def test_without_a_catch_up_nothing_is_held() -> None:
    holding = Holding(Target(0))
    state = make_state(1)
    assert not holding.takes(validate(1), state)
    assert not holding.takes(bft.Fetch(hash_of(2)), state)


def test_what_lies_above_the_target_is_carried_out_at_once() -> None:
    holding = Holding(Target(5))
    state = make_state(5, 6)
    assert holding.takes(validate(5), state)
    assert not holding.takes(validate(6), state)


def test_held_effects_come_back_in_order_when_the_catch_up_brings_nothing_more() -> None:
    target = Target(5)
    holding = Holding(target)
    state = make_state(1, 2)
    state.fetching[hash_of(3)] = None
    effects = [validate(2), bft.Fetch(hash_of(3)), validate(1)]
    assert all(holding.takes(effect, state) for effect in effects)
    assert holding.release(state) == []
    target.height = 0
    assert holding.release(state) == effects
    assert holding.release(state) == []


def test_what_the_core_needs_no_longer_is_dropped() -> None:
    target = Target(5)
    holding = Holding(target)
    state = make_state(1)
    state.fetching[hash_of(3)] = None
    assert holding.takes(validate(1), state)
    assert holding.takes(bft.Fetch(hash_of(3)), state)
    target.height = 0
    assert holding.release(make_state()) == []
    assert holding.release(state) == []


def test_a_block_above_a_target_that_sank_is_released() -> None:
    target = Target(5)
    holding = Holding(target)
    state = make_state(3, 5)
    assert holding.takes(validate(3), state)
    assert holding.takes(validate(5), state)
    target.height = 4
    assert holding.release(state) == [validate(5)]


def test_held_effects_are_bounded_and_one_more_is_not_lost() -> None:
    holding = Holding(Target(5))
    state = make_state()
    for number in range(HELD_MAX):
        assert holding.takes(bft.Fetch(hash_of(number)), state)
    assert not holding.takes(bft.Fetch(hash_of(HELD_MAX)), state)
    assert holding.takes(bft.Fetch(hash_of(0)), state)  # it waits already

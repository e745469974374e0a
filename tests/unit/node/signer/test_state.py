"""What a key may sign, as a table; and that the record never forgets the wrong thing."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from andon.core.certificate import Vote, VoteKind
from andon.core.errors import Code, InvalidInput
from andon.core.hashing import ZERO_DIGEST
from node.signer.state import EMPTY, ENTRIES_MAX, SignState, decide, raise_floor, votes_of

A, B = b"a" * 32, b"b" * 32


def vote(kind: VoteKind, slot: int = 5, block: bytes = A, epoch: int = 0) -> Vote:
    return Vote(kind, epoch, slot, ZERO_DIGEST if kind is VoteKind.SKIP else block)


def signed(*votes: Vote) -> SignState:
    state = EMPTY
    for item in votes:
        state = decide(state, item).state
    return state


def is_refused(state: SignState, item: Vote) -> bool:
    try:
        decide(state, item)
    except InvalidInput as error:
        return error.code is Code.SIGN_REFUSED
    return False


@pytest.mark.parametrize(
    ("first", "second", "refused"),
    [
        (vote(VoteKind.NOTAR), vote(VoteKind.NOTAR, block=B), True),
        (vote(VoteKind.FINAL), vote(VoteKind.FINAL, block=B), True),
        (vote(VoteKind.PROPOSE), vote(VoteKind.PROPOSE, block=B), True),
        (vote(VoteKind.FINAL), vote(VoteKind.SKIP), True),
        (vote(VoteKind.SKIP), vote(VoteKind.FINAL), True),
        (vote(VoteKind.SKIP), vote(VoteKind.NOTAR), False),
        (vote(VoteKind.NOTAR), vote(VoteKind.SKIP), False),
        (vote(VoteKind.NOTAR), vote(VoteKind.FINAL, block=B), False),
        (vote(VoteKind.FINAL), vote(VoteKind.SKIP, slot=6), False),
        (vote(VoteKind.FINAL), vote(VoteKind.NOTAR, slot=4), False),
        (vote(VoteKind.NOTAR, epoch=2), vote(VoteKind.NOTAR, epoch=1), True),
        (vote(VoteKind.NOTAR, epoch=1), vote(VoteKind.NOTAR, block=B, epoch=2), False),
    ],
)
def test_the_second_vote_is_refused_exactly_if_it_contradicts(
    first: Vote, second: Vote, *, refused: bool
) -> None:
    assert is_refused(signed(first), second) is refused


def test_the_same_vote_again_needs_no_write() -> None:
    state = signed(vote(VoteKind.NOTAR))
    again = decide(state, vote(VoteKind.NOTAR))
    assert not again.is_new
    assert again.state == state


def test_old_slots_close_when_the_record_is_full() -> None:
    state = signed(*(vote(VoteKind.NOTAR, slot=slot) for slot in range(1, ENTRIES_MAX + 3)))
    assert state.floor == 2
    assert len(state.entries) == ENTRIES_MAX
    assert is_refused(state, vote(VoteKind.SKIP, slot=2))
    assert not is_refused(state, vote(VoteKind.SKIP, slot=3))


def test_a_full_record_does_not_take_a_slot_below_its_oldest() -> None:
    state = signed(*(vote(VoteKind.NOTAR, slot=slot) for slot in range(100, 100 + ENTRIES_MAX)))
    assert is_refused(state, vote(VoteKind.SKIP, slot=50))


def test_raising_the_floor_forgets_only_what_is_below() -> None:
    state = signed(vote(VoteKind.NOTAR, slot=4), vote(VoteKind.FINAL, slot=7))
    raised = raise_floor(state, 0, 5)
    assert is_refused(raised, vote(VoteKind.SKIP, slot=5))
    assert is_refused(raised, vote(VoteKind.SKIP, slot=7))
    assert raise_floor(raised, 0, 3) == raised
    assert raise_floor(raised, 1, 0).epoch == 1
    assert votes_of(raised) == (vote(VoteKind.FINAL, slot=7),)


votes = st.builds(
    vote,
    kind=st.sampled_from(list(VoteKind)),
    slot=st.integers(1, 6),
    block=st.sampled_from([A, B]),
    epoch=st.integers(0, 1),
)


@given(st.lists(votes, max_size=40))
def test_no_sequence_of_requests_yields_a_contradiction(requests: list[Vote]) -> None:
    state, released = EMPTY, []
    for request in requests:
        if not is_refused(state, request):
            state = decide(state, request).state
            released.append(request)
    for left, right in itertools.combinations(released, 2):
        if (left.epoch, left.slot) != (right.epoch, right.slot):
            continue
        assert left.kind is not right.kind or left.block == right.block
        assert {left.kind, right.kind} != {VoteKind.FINAL, VoteKind.SKIP}

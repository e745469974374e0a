"""What peers say about heights: one liar neither leads nor misleads."""

from __future__ import annotations

from itertools import pairwise

import pytest

from andon.core.certificate import Validator, make_validator_set
from andon.core.keys import PrivateKey
from node.drivers.claims import CLAIMS_MAX, DOUBT_S, DOUBT_S_MAX, SLOW_FOR_S, Claims

NAMES = (b"a", b"b", b"c", b"d")
KEYS = {name: PrivateKey(name * 32).public for name in NAMES}
SET = make_validator_set(
    tuple(Validator(KEYS[name], 1) for name in sorted(NAMES, key=lambda name: KEYS[name]))
)
LIE = 10**9


def claims(**heights: int) -> Claims:
    made = Claims(KEYS.get)
    for name, height in heights.items():
        made.note(name.encode(), height)
    return made


@pytest.mark.parametrize(
    ("heights", "supported"),
    [
        ({}, 0),
        ({"a": LIE}, 0),
        ({"a": LIE, "b": 7}, 7),
        ({"a": 7, "b": 7, "c": 9}, 7),
        ({"a": LIE, "observer": LIE, "stranger": LIE, "c": 3}, 3),
    ],
)
def test_a_height_counts_once_more_weight_stands_for_it_than_may_lie(
    heights: dict[str, int], supported: int
) -> None:
    assert claims(**heights).supported(SET) == supported


def test_in_a_network_that_tolerates_no_liar_one_claim_counts() -> None:
    alone = make_validator_set((Validator(KEYS[b"a"], 1),))
    assert claims(a=12).supported(alone) == 12


def test_a_claim_that_nobody_proves_is_followed_more_and_more_seldom() -> None:
    found = claims(b=5, c=5)
    tries, now_s = [], 0.0
    while now_s < 600:
        found.note(b"a", LIE)  # sent again each second
        if found.best(now_s) == LIE:
            tries.append(now_s)
            found.drop_above(5, SET, now_s)
        now_s += 1
    assert tries[:4] == [0, DOUBT_S, 3 * DOUBT_S, 7 * DOUBT_S]
    assert len(tries) <= 12
    assert max(b - a for a, b in pairwise(tries)) <= DOUBT_S_MAX
    assert found.best(601.0) in (5, LIE)


def test_a_new_link_does_not_end_the_doubt_and_a_good_block_does() -> None:
    found = claims(a=LIE)
    found.drop_above(0, SET, 0.0)
    found.forget(b"a")
    found.note(b"a", LIE)
    assert found.best(1.0) == 0
    assert found.peers_at(1, 1.0) == []
    found.trust(b"a")
    assert found.best(1.0) == LIE
    assert found.peers_at(1, 1.0) == [b"a"]


def test_a_height_that_honest_peers_claim_too_is_tried_again_at_once() -> None:
    found = claims(a=40, b=40, c=41)
    found.drop_above(10, SET, 0.0)  # all were unreachable
    for name in NAMES[:3]:
        found.note(name, 40)
    assert found.peers_at(40, 0.5) == [b"a", b"b"]  # c said more than anybody else


def test_each_turn_begins_with_another_peer_and_slow_ones_are_asked_last_for_a_while() -> None:
    found = claims(a=7, b=7, c=7, d=3)
    assert found.in_turn(9, 5, 0.0) == []
    assert found.in_turn(5, 1, 0.0) == [b"b", b"c", b"a"]
    found.note_slow(b"b", 0.0)
    assert [found.in_turn(5, turn, 1.0) for turn in range(3)] == [
        [b"a", b"c", b"b"],
        [b"c", b"a", b"b"],
        [b"a", b"c", b"b"],
    ]
    assert found.best(1.0) == 7
    found.forget(b"b")
    found.note(b"b", 7)
    assert found.in_turn(5, 0, 1.0)[-1] == b"b"  # a new link does not make it fast
    assert found.in_turn(5, 1, SLOW_FOR_S) == [b"b", b"c", b"a"]


def test_claims_and_doubts_are_bounded() -> None:
    found = Claims(KEYS.get)
    for number in range(2 * CLAIMS_MAX):
        key = number.to_bytes(2, "big")
        found.note(key, LIE)
        found.doubt(key, 0.0)
    assert len(found.peers_at(1, 1e9)) == CLAIMS_MAX
    # Of the doubts, those about the second half are left: about peers without a claim.
    assert len(found.peers_at(1, 1.0)) == CLAIMS_MAX

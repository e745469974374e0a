import dataclasses
import hashlib
import random

import msgspec
import numpy as np
import pytest

from andon.core.codec import decode, encode
from andon.core.errors import Code, InvalidInput, Misuse
from models.federated.secagg import (
    MASK_KEY,
    SELF_SEED,
    Announcement,
    Attempt,
    Dealing,
    Share,
    check_attempt,
    check_share,
    threshold_for,
    unmask,
)
from tests.models.federated.cohorts import Cohort, accounts


def test_a_thousand_rounds_give_the_exact_sum_in_every_order_of_arrival() -> None:
    for seed in range(1000):
        rng = random.Random(seed)
        count = rng.randint(3, 6)
        cohort = Cohort.make(count, 5, seed=seed, number=seed, secret_seed=seed)
        least = cohort.attempt.threshold
        survivors = tuple(sorted(rng.sample(range(count), rng.randint(least, count))))
        revealers = tuple(rng.sample(range(count), rng.randint(least, count)))
        first = unmask(cohort.evidence(survivors, revealers, rng))
        again = unmask(cohort.evidence(survivors, tuple(range(count)), rng))
        assert first.tobytes() == again.tobytes(), seed
        assert first.tolist() == cohort.expected(survivors), seed


def test_every_number_of_dropouts_up_to_the_tolerance_is_recovered() -> None:
    for dropped in range(4):
        cohort = Cohort.make(10, 50)
        survivors = tuple(range(dropped, 10))
        found = unmask(cohort.evidence(survivors, survivors, random.Random(dropped)))
        assert found.tolist() == cohort.expected(survivors)


def test_one_dropout_too_many_is_refused_before_anything_is_revealed() -> None:
    cohort = Cohort.make(10, 5)
    survivors = tuple(range(6))
    with pytest.raises(InvalidInput, match="6 survivors, 7"):
        cohort.members[0].reveal(cohort.announcements, cohort.dealings, survivors)


def test_members_absent_before_the_dealing_are_outside_the_cohort() -> None:
    cohort = Cohort.make(6, 8, absent=(2,))
    survivors = (0, 1, 3, 4, 5)
    found = unmask(cohort.evidence(survivors, survivors, random.Random(1)))
    assert found.tolist() == cohort.expected(survivors)


def test_known_answer_of_a_whole_attempt() -> None:
    cohort = Cohort.make(4, 6)
    sent = b"".join(encode(a) for a in cohort.announcements)
    sent += b"".join(encode(cohort.dealings[k]) for k in range(4))
    sent += b"".join(cohort.masked[k].tobytes() for k in range(4))
    assert hashlib.sha256(sent).hexdigest() == KNOWN


KNOWN = "2bdf7b6a0782341dae73e89c1df5d421c99efaf29f297c549b528d93b5374cf2"


def test_a_restarted_member_says_the_same_again() -> None:
    first, again = Cohort.make(4, 6), Cohort.make(4, 6)
    assert first.announcements == again.announcements
    assert first.dealings == again.dealings
    assert all((first.masked[k] == again.masked[k]).all() for k in range(4))


@pytest.mark.parametrize(
    "change", [{"number": 2}, {"attempt": 2}, {"chain_id": "other"}, {"absent": (3,)}]
)
def test_masks_differ_by_chain_round_attempt_and_cohort(change: dict[str, object]) -> None:
    # One-time masks used twice gave MicroSecAgg away: the difference of two blobs is plain.
    first = Cohort.make(4, 64)
    other = Cohort.make(4, 64, **change)  # type: ignore[arg-type] # one of the keywords above
    difference = first.masked[0] - other.masked[0]
    plain = first.plain[0] - other.plain[0]
    assert (difference == plain).mean() < 0.1


def test_a_masked_blob_hides_the_differences_between_parameters() -> None:
    # OpenFL 1.9 adds one random scalar to every element, which leaves differences in the clear.
    cohort = Cohort.make(3, 4000)
    masked, plain = cohort.masked[0], cohort.plain[0]
    assert (np.diff(masked) == np.diff(plain)).mean() < 0.01
    halves = (masked >> 31).mean()
    assert 0.45 < halves < 0.55
    assert masked.nbytes == 4 * 4000  # four bytes a parameter, not eight


def test_the_sum_without_shares_stays_masked() -> None:
    cohort = Cohort.make(5, 1000)
    total = sum((cohort.masked[k] for k in range(5)), start=np.zeros(1000, np.uint32))
    expected = np.array(cohort.expected(tuple(range(5))))
    assert (total.view(np.int32) == expected).mean() < 0.01


def test_a_member_reveals_for_one_survivor_set_only() -> None:
    # Flower's _unmask does not check that its two lists are disjoint.
    cohort = Cohort.make(4, 4)
    member = cohort.members[0]
    first = member.reveal(cohort.announcements, cohort.dealings, (0, 1, 2))
    kinds = {share.dealer: share.kind for share in first}
    assert kinds == {0: SELF_SEED, 1: SELF_SEED, 2: SELF_SEED, 3: MASK_KEY}
    assert member.reveal(cohort.announcements, cohort.dealings, (0, 1, 2)) == first
    with pytest.raises(Misuse, match="another survivor set"):
        member.reveal(cohort.announcements, cohort.dealings, (0, 1, 2, 3))


def test_shares_of_the_wrong_kind_do_not_count() -> None:
    cohort = Cohort.make(4, 4)
    survivors = (0, 1, 2, 3)
    good = cohort.evidence(survivors, survivors, random.Random(0))
    # Every holder sends the key share of dealer 3 as if it had dropped.
    keys = cohort.members[3]._shares(MASK_KEY)
    wrong = {}
    for holder in survivors:
        others = [s for s in good.reveals[holder] if s.dealer != 3]
        wrong[holder] = (*others, Share(3, MASK_KEY, keys[holder].share, keys[holder].salt))
    with pytest.raises(InvalidInput, match="0 shares of dealer 3"):
        unmask(dataclasses.replace(good, reveals=wrong))


def test_a_wrong_share_is_the_holders_fault_and_is_left_out() -> None:
    cohort = Cohort.make(4, 4)
    survivors = (0, 1, 2, 3)
    good = cohort.evidence(survivors, survivors, random.Random(0))
    forged = Share(1, SELF_SEED, bytes(33), bytes(16))
    with pytest.raises(InvalidInput) as refused:
        check_share(cohort.dealings[1], 0, forged)
    assert refused.value.code is Code.DIGEST_MISMATCH
    reveals = dict(good.reveals)
    reveals[0] = tuple(forged if s.dealer == 1 else s for s in reveals[0])
    found = unmask(dataclasses.replace(good, reveals=reveals))
    assert found.tolist() == cohort.expected(survivors)
    for share in good.reveals[2]:
        check_share(cohort.dealings[share.dealer], 2, share)


def test_a_dealer_of_wrong_secrets_is_named() -> None:
    cohort = Cohort.make(4, 4)
    other = Cohort.make(4, 4, secret_seed=9)
    # Member 1 deals another seed than the one whose digest it announced.
    lying = cohort.members[1]
    lying._seed = other.members[1]._seed
    cohort.dealings[1] = lying.deal(cohort.announcements)
    evidence = cohort.evidence((0, 1, 2, 3), (0, 2, 3), random.Random(0))
    with pytest.raises(InvalidInput) as refused:
        unmask(evidence)
    assert refused.value.code is Code.DIGEST_MISMATCH
    assert refused.value.fields["dealer"] == 1


def test_a_dealing_that_does_not_open_costs_its_holder_one_share_only() -> None:
    cohort = Cohort.make(4, 4)
    sealed = list(cohort.dealings[1].sealed)
    sealed[0] = b"\0" * len(sealed[0])
    cohort.dealings[1] = msgspec.structs.replace(cohort.dealings[1], sealed=tuple(sealed))
    survivors = (0, 1, 2, 3)
    evidence = cohort.evidence(survivors, survivors, random.Random(0))
    assert {s.dealer for s in evidence.reveals[0]} == {0, 2, 3}
    assert unmask(evidence).tolist() == cohort.expected(survivors)


def test_fewer_shares_than_the_threshold_are_refused() -> None:
    cohort = Cohort.make(6, 4)
    evidence = cohort.evidence(tuple(range(6)), (0, 1, 2, 3), random.Random(0))
    with pytest.raises(InvalidInput, match="4 shares of dealer 0, 5"):
        unmask(evidence)


def test_an_account_used_by_two_processes_is_noticed() -> None:
    cohort = Cohort.make(3, 4)
    foreign = Cohort.make(3, 4, secret_seed=7)
    with pytest.raises(InvalidInput) as refused:
        cohort.members[0].deal((foreign.announcements[0], *cohort.announcements[1:]))
    assert "journal" in refused.value.hint


@pytest.mark.parametrize(("count", "threshold"), [(2, 2), (4, 2), (10, 5), (5, 6), (257, 200)])
def test_attempts_that_cannot_be_secret_are_refused(count: int, threshold: int) -> None:
    with pytest.raises(InvalidInput):
        check_attempt(Attempt("test", "run", 1, 1, 0, threshold, accounts(count)))


def test_members_in_another_order_or_twice_are_refused() -> None:
    names = accounts(3)
    for members in ((names[1], names[0], names[2]), (names[0], names[0], names[1])):
        with pytest.raises(InvalidInput, match="ascending"):
            check_attempt(Attempt("test", "run", 1, 1, 0, 3, members))


@pytest.mark.parametrize(("count", "expected"), [(3, 3), (4, 3), (10, 7), (50, 34), (100, 67)])
def test_the_threshold_is_above_two_thirds(count: int, expected: int) -> None:
    assert threshold_for(count) == expected


def test_what_is_sent_survives_the_codec() -> None:
    cohort = Cohort.make(3, 4)
    announcement, dealing = cohort.announcements[0], cohort.dealings[0]
    assert decode(Announcement, encode(announcement)) == announcement
    assert decode(Dealing, encode(dealing)) == dealing
    assert decode(Attempt, encode(cohort.attempt)) == cohort.attempt


def test_a_bad_key_costs_its_holder_a_share_and_nobody_else_the_round() -> None:
    cohort = Cohort.make(4, 4)
    bad = msgspec.structs.replace(cohort.announcements[1], seal_key=bytes(32))
    announcements = (cohort.announcements[0], bad, *cohort.announcements[2:])
    dealing = cohort.members[0].deal(announcements)
    assert [len(part) for part in dealing.sealed] == [0, 0, 114, 114]

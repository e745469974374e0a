"""The light client at its edges: exactly a third, exactly two thirds, time, forged sets, forks."""

from __future__ import annotations

import msgspec
import pytest

from andon.client.light import (
    HEADERS_MAX,
    ForkFound,
    LightClient,
    LightSettings,
    Trusted,
    guilty_pairs,
    shared_weight,
    trusted_from_genesis,
)
from andon.core.block import Header, block_hash
from andon.core.certificate import Signer, ValidatorSet, check_signed_vote
from andon.core.errors import Code, InvalidInput
from andon.core.proof import FinalHeader, TrustedSet
from scripts.light_vectors import (
    CHAIN,
    FOUR,
    NOW_MS,
    PERIOD_MS,
    PUBLIC,
    certify,
    make_header,
    make_set,
)


def make_client(at: Header | None = None, validators: ValidatorSet = FOUR) -> LightClient:
    header = at or make_header(1, validators)
    after = TrustedSet(header.epoch, validators)
    return LightClient(
        LightSettings(chain_id=CHAIN, trust_period_ms=PERIOD_MS), Trusted(header, after)
    )


def refusal(
    client: LightClient,
    final: FinalHeader,
    validators: ValidatorSet = FOUR,
    next_validators: ValidatorSet | None = None,
    now_ms: int = NOW_MS,
) -> InvalidInput:
    before = client.trusted
    with pytest.raises(InvalidInput) as caught:
        client.update(final, validators, next_validators, now_ms)
    assert client.trusted == before
    return caught.value


def test_a_later_header_of_the_epoch_is_trusted_and_an_older_one_only_verified() -> None:
    client = make_client()
    identity = client.update(certify(make_header(9)), FOUR, None, NOW_MS)
    assert identity == block_hash(make_header(9))
    assert client.trusted.header.height == 9
    client.update(certify(make_header(5)), FOUR, None, NOW_MS)
    assert client.trusted.header.height == 9


@pytest.mark.parametrize(
    ("weights", "signers", "is_good"),
    [
        ((1, 1, 1), (0, 1), False),  # exactly two thirds of three
        ((1, 1, 1), (0, 1, 2), True),
        ((2, 2, 2), (0, 1), False),  # exactly four of six
        ((3, 2, 1), (0, 1), True),  # five of six
        ((2, 2, 1, 1), (0, 1), False),  # four of six again, in other pieces
        ((2, 2, 1, 1), (0, 1, 2), True),
    ],
)
def test_a_quorum_is_more_than_two_thirds(
    weights: tuple[int, ...], signers: tuple[int, ...], *, is_good: bool
) -> None:
    validators = make_set(*enumerate(weights))
    client = make_client(make_header(1, validators), validators)
    final = certify(make_header(2, validators), validators, signers)
    if is_good:
        client.update(final, validators, None, NOW_MS)
        assert client.trusted.header.height == 2
    else:
        assert refusal(client, final, validators).code is Code.BAD_CERTIFICATE


@pytest.mark.parametrize(
    ("trusted_weights", "is_good"),
    [
        ((1, 1, 1), False),  # the one shared signer has exactly a third
        ((1, 1, 2), True),  # more than a third, by one
        ((2, 1, 1), False),
        ((33, 33, 33), False),
        ((33, 33, 34), True),
    ],
)
def test_skipping_needs_more_than_a_third_of_the_trusted_weight(
    trusted_weights: tuple[int, int, int], *, is_good: bool
) -> None:
    trusted = make_set(*enumerate(trusted_weights))
    later = make_set((2, 1), (5, 1), (6, 1), (7, 1))  # shares member 2
    client = make_client(make_header(1, trusted), trusted)
    final = certify(make_header(50, later, epoch=7), later, (0, 1, 2))
    assert shared_weight(trusted, later, final.certificate) == trusted_weights[2]
    if is_good:
        client.update(final, later, None, NOW_MS)
        assert client.trusted.after == TrustedSet(7, later)
    else:
        assert refusal(client, final, later).code is Code.BAD_PROOF


def test_a_shared_member_that_did_not_sign_does_not_count() -> None:
    trusted = make_set((0, 1), (1, 1), (2, 8))
    later = make_set((2, 1), (5, 1), (6, 1), (7, 1))
    client = make_client(make_header(1, trusted), trusted)
    place = later.index_of(PUBLIC[2])
    others = tuple(n for n in range(4) if n != place)
    final = certify(make_header(50, later, epoch=7), later, others)
    assert refusal(client, final, later).code is Code.BAD_PROOF


def test_skipping_ends_with_the_trust_period_and_following_does_not() -> None:
    later = make_set((0, 1), (1, 1), (2, 1), (8, 1))
    client = make_client()
    born_ms = client.trusted.header.time_ms
    final = certify(make_header(50, later, epoch=2), later)
    assert refusal(client, final, later, now_ms=born_ms + PERIOD_MS).code is Code.EXPIRED
    client.update(final, later, None, born_ms + PERIOD_MS - 1)
    assert client.trusted.header.height == 50


def test_epochs_are_followed_over_closing_headers_with_quite_other_sets() -> None:
    other = make_set((5, 1), (6, 1), (7, 1))
    client = make_client()
    closing = certify(make_header(4, closes_to=other))
    assert refusal(client, closing).code is Code.BAD_PROOF  # the next set is missing
    assert refusal(client, closing, next_validators=FOUR).code is Code.BAD_PROOF
    client.update(closing, FOUR, other, NOW_MS)
    assert client.trusted.after == TrustedSet(1, other)
    late_ms = NOW_MS + 100 * PERIOD_MS
    client.update(certify(make_header(5, other, epoch=1), other), other, None, late_ms)
    assert client.trusted.header.height == 5


def test_a_forged_set_is_refused_however_it_signs() -> None:
    forged = make_set((5, 1), (6, 1), (7, 1))
    client = make_client()
    same_epoch = certify(make_header(2, forged), forged)
    assert refusal(client, same_epoch, forged).code is Code.WRONG_EPOCH
    later = certify(make_header(2, forged, epoch=1), forged)
    assert refusal(client, later, forged).code is Code.BAD_PROOF
    stolen = certify(make_header(2, FOUR, epoch=1), forged)
    assert refusal(client, stolen, forged).code is Code.BAD_PROOF
    unsigned = certify(make_header(2))
    signers = (*unsigned.certificate.signers[:2], Signer(3, bytes(64)))
    certificate = msgspec.structs.replace(unsigned.certificate, signers=signers)
    bad = msgspec.structs.replace(unsigned, certificate=certificate)
    assert refusal(client, bad).code is Code.BAD_SIGNATURE


def test_time_does_not_go_back_nor_run_ahead() -> None:
    client = make_client(make_header(10))
    base_ms = client.trusted.header.time_ms
    drift_ms = 10_000
    assert refusal(client, certify(make_header(11, time_ms=base_ms))).code is Code.BAD_PROOF
    early = certify(make_header(9, time_ms=base_ms))
    assert refusal(client, early).code is Code.BAD_PROOF
    future = certify(make_header(12, time_ms=NOW_MS + drift_ms + 1))
    assert refusal(client, future).code is Code.BAD_PROOF
    client.update(certify(make_header(12, time_ms=NOW_MS + drift_ms)), FOUR, None, NOW_MS)
    assert client.trusted.header.height == 12


def test_a_fork_is_noticed_convicts_and_ends_all_trust() -> None:
    client = make_client()
    client.update(certify(make_header(3)), FOUR, None, NOW_MS)
    other = certify(make_header(3, salt=1), signers=(1, 2, 3))
    with pytest.raises(ForkFound) as caught:
        client.update(other, FOUR, None, NOW_MS)
    pairs = caught.value.fork.pairs
    assert [first.validator for first, _ in pairs] == [1, 2]
    for pair in pairs:
        for signed in pair:
            check_signed_vote(CHAIN, FOUR, signed)
    with pytest.raises(ForkFound):
        client.update(certify(make_header(4)), FOUR, None, NOW_MS)


def test_certificates_that_do_not_contradict_convict_nobody() -> None:
    first, second = certify(make_header(3)), certify(make_header(4))
    assert guilty_pairs(first.certificate, second.certificate) == ()
    assert guilty_pairs(first.certificate, first.certificate) == ()


def test_what_is_remembered_is_bounded() -> None:
    one = make_set((0, 1))
    client = make_client(make_header(0, one), one)
    for height in range(1, HEADERS_MAX + 20):
        client.update(certify(make_header(height, one), one, (0,)), one, None, NOW_MS)
    assert len(client._seen) == HEADERS_MAX


def test_trust_starts_at_a_genesis_header_of_its_set() -> None:
    genesis = make_header(0)
    assert trusted_from_genesis(genesis, TrustedSet(0, FOUR)).after.validators == FOUR
    with pytest.raises(InvalidInput):
        trusted_from_genesis(genesis, TrustedSet(0, make_set((0, 1))))
    with pytest.raises(InvalidInput):
        trusted_from_genesis(make_header(1), TrustedSet(0, FOUR))

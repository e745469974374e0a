import hashlib
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from andon.core.errors import InvalidInput, Misuse
from models.federated.shamir import PRIME, combine, split


def test_the_modulus_is_prime_by_many_rounds_of_miller_rabin() -> None:
    odd, twos = PRIME - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in range(2, 60):
        x = pow(base, odd, PRIME)
        if x in (1, PRIME - 1):
            continue
        assert any(pow(x, 2**k, PRIME) == PRIME - 1 for k in range(1, twos)), base


@settings(max_examples=20)
@given(st.binary(min_size=32, max_size=32), st.integers(2, 5))
def test_any_threshold_of_shares_rebuild_the_secret(secret: bytes, threshold: int) -> None:
    shares = split(secret, threshold, 5, b"polynomial")
    for chosen in combinations(range(5), threshold):
        assert combine({k: shares[k] for k in chosen}, threshold) == secret


def test_the_largest_secret_fits_the_field() -> None:
    shares = split(b"\xff" * 32, 3, 4, b"polynomial")
    assert combine({1: shares[1], 2: shares[2], 3: shares[3]}, 3) == b"\xff" * 32


def test_too_few_shares_are_refused_and_fit_every_other_secret() -> None:
    shares = split(bytes(32), 3, 5, b"polynomial")
    with pytest.raises(InvalidInput):
        combine({0: shares[0], 1: shares[1]}, 3)
    # For any other secret some third share exists: two shares say nothing about it.
    forged = split(b"\x01" * 32, 3, 5, b"other")
    assert combine({0: shares[0], 1: shares[1], 2: forged[2]}, 3) != bytes(32)


def test_a_restarted_dealer_deals_the_same_shares() -> None:
    first = split(b"\x07" * 32, 7, 10, b"seed")
    assert first == split(b"\x07" * 32, 7, 10, b"seed")
    assert hashlib.sha256(b"".join(first)).hexdigest() == KNOWN


KNOWN = "7f6e34d1dea6d8bda05248c071c0a9fda101153889f7350b1a0914c4b90f5e64"


def test_shares_out_of_the_field_and_bad_thresholds_are_refused() -> None:
    with pytest.raises(InvalidInput):
        combine({0: b"\xff" * 33, 1: bytes(33)}, 2)
    with pytest.raises(InvalidInput):
        combine({0: bytes(32), 1: bytes(33)}, 2)
    with pytest.raises(Misuse):
        split(bytes(32), 6, 5, b"seed")
    with pytest.raises(Misuse):
        split(bytes(31), 2, 5, b"seed")

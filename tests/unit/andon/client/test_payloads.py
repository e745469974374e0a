"""Sealing: readers open, others do not, length and content are hidden, changes are found."""

import pytest

from andon.client.payloads import (
    PAYLOAD_BYTES_MAX,
    commitment,
    encryption_public,
    new_encryption_key,
    seal,
    seal_key,
    unseal,
)
from andon.core.errors import InvalidInput

SECRETS = {org: new_encryption_key() for org in ("a", "b", "c")}
READERS = {org: encryption_public(SECRETS[org]) for org in ("a", "b")}


@pytest.mark.parametrize("payload", [b"", b"x", b"y" * 5000])
def test_every_reader_opens_what_was_sealed_and_committed_to(payload: bytes) -> None:
    sealed = seal(payload, READERS)
    for org in READERS:
        salt, opened = unseal(sealed.envelope, org, SECRETS[org])
        assert opened == payload
        assert commitment(salt, opened) == sealed.commitment


def test_nobody_else_opens_it() -> None:
    sealed = seal(b"recipe", READERS)
    assert b"recipe" not in sealed.envelope
    for org, secret in (("c", SECRETS["c"]), ("a", SECRETS["c"]), ("a", SECRETS["b"])):
        with pytest.raises(InvalidInput, match="BAD_KEY"):
            unseal(sealed.envelope, org, secret)


def test_a_reader_who_was_let_in_later_opens_it_with_the_grant() -> None:
    sealed = seal(b"recipe", READERS)
    granted = seal_key(sealed.content_key, encryption_public(SECRETS["c"]))
    assert unseal(sealed.envelope, "c", SECRETS["c"], granted)[1] == b"recipe"


def test_equal_payloads_look_different_and_lengths_are_rounded() -> None:
    one, two, longer = seal(b"x", READERS), seal(b"x", READERS), seal(b"x" * 900, READERS)
    assert one.id != two.id
    assert one.commitment != two.commitment
    assert abs(len(one.envelope) - len(longer.envelope)) <= 2


def test_a_changed_envelope_is_refused() -> None:
    envelope = bytearray(seal(b"recipe", READERS).envelope)
    envelope[len(envelope) // 2] ^= 1
    with pytest.raises(InvalidInput):
        unseal(bytes(envelope), "a", SECRETS["a"])


def test_bounds_of_payloads_readers_and_keys() -> None:
    with pytest.raises(InvalidInput, match="TOO_LARGE"):
        seal(bytes(PAYLOAD_BYTES_MAX + 1), READERS)
    with pytest.raises(InvalidInput, match="TOO_MANY"):
        seal(b"", {})
    with pytest.raises(InvalidInput, match="BAD_KEY"):
        seal(b"", {"a": b"short"})

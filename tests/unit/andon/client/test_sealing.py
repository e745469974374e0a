"""Sealed inputs: members read them, nobody else does, and the chain binds them."""

from __future__ import annotations

import pytest

from andon.client.sealing import Envelope, open_sealed, seal, sealing_public
from andon.core.codec import decode, encode
from andon.core.errors import Code, InvalidInput
from andon.core.hashing import Domain, digest

MODEL = b"m" * 32
WINDOW = bytes(range(100))
SEEDS = [bytes([n]) * 32 for n in range(1, 5)]
VALIDATORS = [bytes([100 + n]) * 32 for n in range(1, 5)]
MEMBERS = [(v, sealing_public(s)) for v, s in zip(VALIDATORS, SEEDS, strict=True)]


def test_every_member_opens_what_was_sealed() -> None:
    envelope, reference = seal(MODEL, WINDOW, MEMBERS)
    for validator, seed in zip(VALIDATORS, SEEDS, strict=True):
        assert open_sealed(envelope, reference, MODEL, validator, seed) == WINDOW
    assert WINDOW not in envelope


def test_nobody_else_opens_it() -> None:
    envelope, reference = seal(MODEL, WINDOW, MEMBERS[:3])
    for validator, seed in ((VALIDATORS[3], SEEDS[3]), (VALIDATORS[0], SEEDS[3])):
        with pytest.raises(InvalidInput) as caught:
            open_sealed(envelope, reference, MODEL, validator, seed)
        assert caught.value.code is Code.BAD_KEY


def test_equal_windows_have_different_commitments() -> None:
    first, second = (seal(MODEL, WINDOW, MEMBERS)[1] for _ in range(2))
    assert first[32:] != second[32:]


def test_an_envelope_with_another_window_than_the_chain_commits_to_is_refused() -> None:
    _, reference = seal(MODEL, WINDOW, MEMBERS)
    other, _ = seal(MODEL, bytes(100), MEMBERS)
    with pytest.raises(InvalidInput) as caught:
        open_sealed(other, reference, MODEL, VALIDATORS[0], SEEDS[0])
    assert caught.value.code is Code.DIGEST_MISMATCH
    forged = digest(Domain.BLOB, other) + reference[32:]
    with pytest.raises(InvalidInput) as caught:
        open_sealed(other, forged, MODEL, VALIDATORS[0], SEEDS[0])
    assert caught.value.code is Code.DIGEST_MISMATCH


def test_a_damaged_box_is_refused() -> None:
    envelope, reference = seal(MODEL, WINDOW, MEMBERS)
    parts = decode(Envelope, envelope)
    broken = encode(Envelope(parts.magic, parts.box[:-1] + bytes([parts.box[-1] ^ 1]), parts.keys))
    with pytest.raises(InvalidInput) as caught:
        open_sealed(
            broken, digest(Domain.BLOB, broken) + reference[32:], MODEL, VALIDATORS[0], SEEDS[0]
        )
    assert caught.value.code is Code.BAD_KEY


def test_members_without_a_sealing_key_and_crowds_are_refused() -> None:
    with pytest.raises(InvalidInput) as caught:
        seal(MODEL, WINDOW, [(VALIDATORS[0], b"")])
    assert caught.value.code is Code.BAD_KEY
    for members in ([], MEMBERS * 9):
        with pytest.raises(InvalidInput) as caught:
            seal(MODEL, WINDOW, members)
        assert caught.value.code is Code.TOO_MANY

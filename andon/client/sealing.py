"""Inputs that only a committee may read: sealed to each member, with a commitment for the chain.

The window is encrypted once (XSalsa20-Poly1305) under a fresh key, and that key is sealed (X25519)
to the sealing key of each member, which it has put on the chain with `committees.enrol`. The chain
holds 64 bytes: the digest of the envelope, which travels as a blob, and a salted commitment to the
window, so that nobody can try windows against it. Outputs are public.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox
from nacl.secret import SecretBox

from andon.core.attestation import MEMBERS_MAX, SALT_BYTES
from andon.core.codec import Record, decode, encode
from andon.core.errors import Code, InvalidInput
from andon.core.hashing import DIGEST_BYTES, Domain, digest
from andon.core.model import input_digest

ENVELOPE_BYTES_MAX = 2 * 1024 * 1024
REFERENCE_BYTES = 2 * DIGEST_BYTES
_MAGIC = "andon-sealed-1"


class SealedKey(Record, frozen=True):
    """The window's key for one member."""

    validator: bytes
    box: bytes


class Envelope(Record, frozen=True):
    """A sealed window."""

    magic: str
    box: bytes
    keys: tuple[SealedKey, ...]


def sealing_public(seed: bytes) -> bytes:
    """Public half of a sealing key of 32 secret bytes."""
    return bytes(PrivateKey(seed).public_key)


def seal(
    model_id: bytes, window: bytes, members: Sequence[tuple[bytes, bytes]]
) -> tuple[bytes, bytes]:
    """Seal a window to (validator, sealing key) pairs; gives the envelope and its reference.

    Raises:
        InvalidInput: BAD_KEY for a sealing key that is none, TOO_MANY members.
    """
    if not 1 <= len(members) <= MEMBERS_MAX:
        raise InvalidInput(Code.TOO_MANY, f"a committee has 1 to {MEMBERS_MAX} members")
    key, salt = secrets.token_bytes(SecretBox.KEY_SIZE), secrets.token_bytes(SALT_BYTES)
    sealed: list[SealedKey] = []
    for validator, public in members:
        if len(public) != PublicKey.SIZE:
            raise InvalidInput(Code.BAD_KEY, f"{validator.hex()[:16]} has no sealing key")
        sealed.append(SealedKey(validator, SealedBox(PublicKey(public)).encrypt(key)))
    box = bytes(SecretBox(key).encrypt(salt + window))
    envelope = encode(Envelope(_MAGIC, box, tuple(sealed)))
    commitment = input_digest(model_id, salt + window)
    return envelope, digest(Domain.BLOB, envelope) + commitment


def open_sealed(
    envelope: bytes, reference: bytes, model_id: bytes, validator: bytes, seed: bytes
) -> bytes:
    """Open an envelope with a member's sealing key and check it against the chain's reference.

    Raises:
        InvalidInput: DIGEST_MISMATCH, BAD_KEY, MALFORMED, NOT_CANONICAL.
    """
    if len(reference) != REFERENCE_BYTES or digest(Domain.BLOB, envelope) != reference[:32]:
        raise InvalidInput(Code.DIGEST_MISMATCH, "this is not the envelope that the chain names")
    parts = decode(Envelope, envelope, ENVELOPE_BYTES_MAX)
    found = next((item.box for item in parts.keys if item.validator == validator), None)
    if parts.magic != _MAGIC or found is None:
        raise InvalidInput(Code.BAD_KEY, "this envelope is not sealed to us")
    try:
        key = SealedBox(PrivateKey(seed)).decrypt(found)
        plain = SecretBox(key).decrypt(parts.box)
    except (CryptoError, ValueError, TypeError):
        raise InvalidInput(Code.BAD_KEY, "our sealing key does not open this envelope") from None
    if input_digest(model_id, plain) != reference[32:]:
        raise InvalidInput(Code.DIGEST_MISMATCH, "the input is not what the chain commits to")
    return plain[SALT_BYTES:]

"""Sealing of private payloads: envelopes, commitments, and the messages that are signed for them.

A payload gets a fresh content key, which is sealed (X25519, NaCl sealed box) to every reading
organisation. Its length is hidden up to a KiB, its content is committed to with a salt. Pure but
for fresh randomness; `andon.client.private` talks to chain and nodes.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping

import msgspec
from nacl.exceptions import CryptoError
from nacl.public import PrivateKey as BoxKey
from nacl.public import PublicKey as BoxPublicKey
from nacl.public import SealedBox
from nacl.secret import SecretBox

from andon.core.codec import Record, decode, encode, encode_value
from andon.core.errors import Code, InvalidInput
from andon.core.hashing import Domain, digest
from andon.core.keys import CONTRACT_MESSAGE_TAG

CONTRACT = "private"
PAYLOAD_BYTES_MAX = 1024 * 1024
ENVELOPE_BYTES_MAX = PAYLOAD_BYTES_MAX + 64 * 1024
PADDING_BYTES = 1024
SALT_BYTES = 32
READERS_MAX = 32
COMMITMENT_TAG = b"andon/private-content\0"
FETCH_TAG = b"andon/private-fetch\0"


class Envelope(Record, frozen=True):
    """What nodes keep: the padded content, and the content key sealed to each reader."""

    content: bytes
    keys: tuple[tuple[str, bytes], ...]


class _Content(Record, frozen=True):
    salt: bytes
    payload: bytes
    padding: bytes


class FetchRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A member's signed request to one node; it is good for a minute."""

    account: str
    time_ms: int
    signature: str


class PurgeReply(msgspec.Struct, frozen=True):
    """A node's statement that it holds an envelope no more."""

    node: str
    signature: str


class Sealed(Record, frozen=True):
    """A sealed payload: id, envelope, commitment, and the key that lets in more readers.

    Whoever has the content key can read: keep it like a key file. It is empty for a committee's
    input, which has no readers.
    """

    id: bytes
    envelope: bytes
    commitment: bytes
    content_key: bytes
    readers: tuple[str, ...]


def new_encryption_key() -> bytes:
    """Make the secret key of an organisation (32 bytes)."""
    return bytes(BoxKey.generate())


def encryption_public(secret: bytes) -> bytes:
    """The public key to register on chain."""
    return bytes(BoxKey(secret).public_key)


def seal(payload: bytes, readers: Mapping[str, bytes]) -> Sealed:
    """Seal a payload to the public keys of its readers, by organisation.

    Raises:
        InvalidInput: TOO_LARGE, TOO_MANY or BAD_KEY.
    """
    if len(payload) > PAYLOAD_BYTES_MAX:
        raise InvalidInput(Code.TOO_LARGE, f"a private payload has at most {PAYLOAD_BYTES_MAX}")
    if not 1 <= len(readers) <= READERS_MAX:
        raise InvalidInput(Code.TOO_MANY, f"a private payload has 1 to {READERS_MAX} readers")
    salt, key = secrets.token_bytes(SALT_BYTES), secrets.token_bytes(SecretBox.KEY_SIZE)
    content = encode(_Content(salt, payload, bytes(-len(payload) % PADDING_BYTES)))
    sealed = tuple((org, seal_key(key, readers[org])) for org in sorted(readers))
    envelope = encode(Envelope(bytes(SecretBox(key).encrypt(content)), sealed))
    identity, orgs = digest(Domain.BLOB, envelope), tuple(sorted(readers))
    return Sealed(identity, envelope, commitment(salt, payload), key, orgs)


def seal_key(content_key: bytes, public: bytes) -> bytes:
    """Seal a content key to one more reader."""
    try:
        return bytes(SealedBox(BoxPublicKey(public)).encrypt(content_key))
    except (CryptoError, ValueError, TypeError):
        raise InvalidInput(Code.BAD_KEY, "not an encryption key of a reader") from None


def commitment(salt: bytes, payload: bytes) -> bytes:
    """What stands on chain for the content: nobody can guess at it without the salt."""
    return hashlib.sha256(COMMITMENT_TAG + salt + payload).digest()


def unseal(envelope: bytes, org: str, secret: bytes, granted: bytes = b"") -> tuple[bytes, bytes]:
    """Open an envelope as an organisation; gives salt and payload.

    Raises:
        InvalidInput: BAD_KEY if it is not sealed to this key; MALFORMED.
    """
    found = decode(Envelope, envelope, ENVELOPE_BYTES_MAX)
    sealed = granted or dict(found.keys).get(org, b"")
    try:
        key = SealedBox(BoxKey(secret)).decrypt(sealed)
        content = SecretBox(key).decrypt(found.content)
    except (CryptoError, ValueError):
        raise InvalidInput(
            Code.BAD_KEY, f"the payload is not sealed to this key of {org}"
        ) from None
    inside = decode(_Content, content, ENVELOPE_BYTES_MAX)
    return inside.salt, inside.payload


def fetch_message(chain_id: str, node: bytes, payload: bytes, time_ms: int) -> bytes:
    """What a member signs to fetch an envelope from one node."""
    return FETCH_TAG + encode_value((chain_id, node, payload, time_ms))


def purge_message(chain_id: str, payload: bytes) -> bytes:
    """What a node signs once it holds an envelope no more."""
    return CONTRACT_MESSAGE_TAG + encode_value(("andon/private-purge", chain_id, payload))

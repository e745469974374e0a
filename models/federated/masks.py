"""Masks that cancel in the sum: X25519 pair keys and the ChaCha20 keystream.

A key is used for one vector only: it is derived from a key pair of one attempt and bound to
chain, run, round, attempt, cohort and both ends. The whole 256 bits seed the stream, and the
stream covers the whole ring: defects of known implementations (reference 1.3).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from nacl import bindings
from nacl.exceptions import CryptoError

from andon.core.errors import Code, InvalidInput
from models.federated.ring import Words

KEY_BYTES = 32
_NONCE = bytes(12)
_FIRST_BLOCK = (1).to_bytes(4, "little")
_TAG_BYTES = 16
# 256 KiB stay in the processor's cache and cost a third less than 1 MiB do.
_CHUNK_WORDS = 2**16
_ZEROS = bytes(4 * _CHUNK_WORDS)


@dataclass(frozen=True, slots=True)
class Pair:
    """An X25519 key pair; the secret never appears in `repr`."""

    secret: bytes
    public: bytes

    def __repr__(self) -> str:
        return f"Pair(public={self.public.hex()[:16]})"


def key_pair(secret: bytes) -> Pair:
    """The pair of 32 secret bytes."""
    return Pair(secret, bindings.crypto_scalarmult_base(secret))


def derive(secret: bytes, purpose: str, context: bytes) -> bytes:
    """Derive 32 bytes from a secret for one purpose in one context (keyed BLAKE2b)."""
    label = purpose.encode("ascii") + b"\0" + context
    return hashlib.blake2b(label, key=secret, digest_size=32, person=b"andon-fl-derive").digest()


def shared_key(own: Pair, peer_public: bytes, purpose: str, context: bytes) -> bytes:
    """Agree on a key with the holder of `peer_public`: equal on both sides, for one purpose.

    Raises:
        InvalidInput: BAD_KEY for a public key of another length or of small order.
    """
    if len(peer_public) != KEY_BYTES:
        raise InvalidInput(Code.BAD_KEY, f"an X25519 key has {KEY_BYTES} bytes")
    try:
        point = bindings.crypto_scalarmult(own.secret, peer_public)
    except RuntimeError:
        raise InvalidInput(
            Code.BAD_KEY, f"{peer_public.hex()[:16]} is a point of small order"
        ) from None
    low, high = sorted((own.public, peer_public))
    return derive(point, purpose, context + low + high)


def add_keystream(target: Words, key: bytes, sign: int) -> None:
    """Add (`sign` 1) or subtract (-1) the stream of `key` to `target: u32[d]` in place.

    The stream is that of RFC 8439 from block 1, as its AEAD uses it; chunks of 256 KiB get
    their own derived key, so that a chunk can be made alone and memory stays small.
    """
    for number, start in enumerate(range(0, target.size, _CHUNK_WORDS)):
        part = target[start : start + _CHUNK_WORDS]
        stream = keystream(derive(key, "chunk", number.to_bytes(8, "big")), part.size)
        if sign > 0:
            np.add(part, stream, out=part)
        else:
            np.subtract(part, stream, out=part)


def keystream(key: bytes, count: int) -> Words:
    """The first `count` words (at most 2^18) of the ChaCha20 stream of `key`."""
    zeros = _ZEROS if count == _CHUNK_WORDS else bytes(4 * count)
    words = np.empty(count, "<u4")
    # OpenSSL's takes a fifth of the time of libsodium's, which makes a tag besides.
    stream = Cipher(algorithms.ChaCha20(key, _FIRST_BLOCK + _NONCE), None).encryptor()
    stream.update_into(zeros, words.view(np.uint8).data)
    return words


def seal(key: bytes, content: bytes, context: bytes) -> bytes:
    """Encrypt and authenticate `content` under a key that is used once, bound to `context`."""
    return bindings.crypto_aead_chacha20poly1305_ietf_encrypt(content, context, _NONCE, key)


def unseal(key: bytes, sealed: bytes, context: bytes) -> bytes:
    """Open what `seal` made.

    Raises:
        InvalidInput: MALFORMED if it was made with another key, context or content.
    """
    if len(sealed) < _TAG_BYTES:
        raise InvalidInput(Code.MALFORMED, "too short for a sealed message")
    try:
        return bindings.crypto_aead_chacha20poly1305_ietf_decrypt(sealed, context, _NONCE, key)
    except CryptoError:
        raise InvalidInput(Code.MALFORMED, "the sealed message does not open") from None

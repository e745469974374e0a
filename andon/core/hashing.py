"""Domain-separated SHA-256: no digest of one kind can be taken for one of another kind."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from enum import Enum
from typing import NewType

Digest = NewType("Digest", bytes)
"""32 bytes of SHA-256."""

DIGEST_BYTES = 32
ZERO_DIGEST = Digest(bytes(DIGEST_BYTES))


class Domain(bytes, Enum):
    """Every use of a digest; it is the prefix that is hashed before the content."""

    TRANSACTION = b"andon/transaction\0"
    HEADER = b"andon/header\0"
    JUSTIFICATION = b"andon/justification\0"
    GENESIS = b"andon/genesis\0"
    VALIDATORS = b"andon/validators\0"
    LEAF = b"andon/leaf\0"
    NODE = b"andon/node\0"
    STATE_KEY = b"andon/state-key\0"
    STATE_VALUE = b"andon/state-value\0"
    STATE_LEAF = b"andon/state-leaf\0"
    STATE_NODE = b"andon/state-node\0"
    RECEIPT = b"andon/receipt\0"
    PREDICTION = b"andon/prediction\0"
    MODEL = b"andon/model\0"
    MODEL_INPUT = b"andon/model-input\0"
    BLOB = b"andon/blob\0"
    SOURCE = b"andon/source\0"
    SCHEDULED = b"andon/scheduled\0"
    HANDSHAKE = b"andon/handshake\0"
    VOTE = b"andon/vote\0"
    PEER_SESSION = b"andon/peer-session\0"
    STATEMENT = b"andon/statement\0"


def digest(domain: Domain, content: bytes) -> Digest:
    """Hash `content` under `domain`. Cost: one SHA-256 over both."""
    return Digest(hashlib.sha256(domain + content).digest())


def digests(domain: Domain, contents: Iterable[bytes], head: bytes = b"") -> list[Digest]:
    """Do as `digest` for each of many contents, all behind the same fixed-size `head`."""
    prefix, sha256 = domain.value + head, hashlib.sha256
    # A frame for each would cost half as much as the hash does.
    return [sha256(prefix + content).digest() for content in contents]  # type: ignore[misc] # digests


def digest_of_parts(domain: Domain, parts: Iterable[bytes]) -> Digest:
    """The `digest` of a content that comes in parts, in the memory of one part."""
    state = hashlib.sha256(domain)
    for part in parts:
        state.update(part)
    return Digest(state.digest())


def digest_many(domain: Domain, *parts: bytes) -> Digest:
    """Hash fixed-size `parts` in order; callers must not pass parts whose joints are ambiguous."""
    return Digest(hashlib.sha256(b"".join((domain, *parts))).digest())

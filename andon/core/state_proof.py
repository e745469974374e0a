"""Proofs about one key of the authenticated state: what stands there, or that nothing does.

The state is a radix-16 sparse Merkle tree over the digests of state keys. An empty tree has the
zero root; a subtree with one key is that key's leaf, at whatever depth; every larger subtree is
an inner node. The shape follows from the set of keys alone, never from the order of writes.

- leaf content: key digest (32) + value digest (32), hashed under STATE_LEAF;
- inner content: bitmap of children (2, big endian; bit n is nibble n) + the children's hashes in
  ascending order of nibble, hashed under STATE_NODE.

This module owns the byte forms and verification; consensus.ledger.tree owns updates.
"""

from __future__ import annotations

from dataclasses import dataclass

from andon.core.codec import Record
from andon.core.errors import Code, InvalidInput
from andon.core.hashing import DIGEST_BYTES, ZERO_DIGEST, Digest, Domain, digest

LEAF_BYTES = 2 * DIGEST_BYTES
BITMAP_BYTES = 2
NIBBLES = 16
INNER_BYTES_MAX = BITMAP_BYTES + NIBBLES * DIGEST_BYTES
STATE_DEPTH_MAX = 2 * DIGEST_BYTES


class StateProof(Record, frozen=True):
    """The inner nodes from the root towards a key, and the leaf at which they end.

    `leaf` is the content of the leaf that stands on the key's path: the key's own (membership),
    another key's (non-membership) or empty (non-membership: the place is vacant).
    """

    nodes: tuple[bytes, ...]
    leaf: bytes


@dataclass(frozen=True, slots=True)
class ProvedKey:
    """What a checked proof says: the digest of the key's value, None if the key is absent."""

    value_digest: Digest | None


def key_digest(key: bytes) -> Digest:
    """Place of a state key in the tree."""
    return digest(Domain.STATE_KEY, key)


def value_digest(value: bytes) -> Digest:
    """Digest of a stored value, as leaves carry it."""
    return digest(Domain.STATE_VALUE, value)


def leaf_hash(content: bytes) -> Digest:
    """Hash of a leaf's content."""
    return digest(Domain.STATE_LEAF, content)


def inner_hash(content: bytes) -> Digest:
    """Hash of an inner node's content."""
    return digest(Domain.STATE_NODE, content)


def child_of(content: bytes, nibble: int) -> bytes | None:
    """Give the hash of child `nibble` of an inner node, None if the place is vacant."""
    bitmap = content[0] << 8 | content[1]
    if not bitmap >> nibble & 1:
        return None
    start = BITMAP_BYTES + DIGEST_BYTES * (bitmap & ((1 << nibble) - 1)).bit_count()
    return content[start : start + DIGEST_BYTES]


def check_state_proof(root: bytes, key: bytes, proof: StateProof) -> ProvedKey:
    """Follow a proof for `key` down from `root`.

    Raises:
        InvalidInput: BAD_PROOF if it does not lead from the root to an answer about this key.
    """
    if len(proof.nodes) > STATE_DEPTH_MAX:
        raise _bad("it is deeper than the tree can be")
    place = key_digest(key)
    path = place.hex()
    expected = root
    for depth, content in enumerate(proof.nodes):
        _check_inner(expected, content)
        child = child_of(content, int(path[depth], 16))
        if child is None:
            if depth != len(proof.nodes) - 1 or proof.leaf:
                raise _bad("it goes on below a vacant place")
            return ProvedKey(value_digest=None)
        expected = child
    if not proof.leaf:
        if expected == ZERO_DIGEST and not proof.nodes:
            return ProvedKey(value_digest=None)
        raise _bad("it ends before a leaf")
    if len(proof.leaf) != LEAF_BYTES or leaf_hash(proof.leaf) != expected:
        raise _bad("its leaf is not the one under the root")
    found = proof.leaf[:DIGEST_BYTES]
    # A leaf of another key answers for ours only if it stands on our path.
    depth = len(proof.nodes)
    if found.hex()[:depth] != path[:depth]:
        raise _bad("its leaf stands on another path")
    if found != place:
        return ProvedKey(value_digest=None)
    return ProvedKey(value_digest=Digest(proof.leaf[DIGEST_BYTES:]))


def check_state_value(root: bytes, key: bytes, value: bytes | None, proof: StateProof) -> None:
    """Check that `key` holds exactly `value` under `root`; None means that the key is absent.

    Raises:
        InvalidInput: BAD_PROOF.
    """
    proved = check_state_proof(root, key, proof)
    if proved.value_digest != (None if value is None else value_digest(value)):
        raise _bad("the key holds another value under this root")


def _check_inner(expected: bytes, content: bytes) -> None:
    bitmap = int.from_bytes(content[:BITMAP_BYTES], "big")
    size = BITMAP_BYTES + DIGEST_BYTES * bitmap.bit_count()
    if bitmap == 0 or len(content) != size:
        raise _bad("an inner node is out of shape")
    if inner_hash(content) != expected:
        raise _bad("an inner node does not hang under the root")


def _bad(reason: str) -> InvalidInput:
    return InvalidInput(
        Code.BAD_PROOF,
        f"state proof: {reason}",
        hint="ask for the proof of this key at the height of this header",
    )

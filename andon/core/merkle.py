"""Binary Merkle tree over an ordered list: roots of transactions, receipts and predictions.

Shape as RFC 6962: the left subtree is the largest power of two below the size; leaves and inner
nodes are hashed under different domains, so no inner node can be shown as a leaf.
"""

from __future__ import annotations

from collections.abc import Sequence

from andon.core.codec import Record
from andon.core.errors import Code, InvalidInput, Misuse
from andon.core.hashing import (
    DIGEST_BYTES,
    ZERO_DIGEST,
    Digest,
    Domain,
    digest,
    digest_many,
    digests,
)

PROOF_DEPTH_MAX = 40

Tree = tuple[tuple[Digest, ...], ...]
"""All levels of a tree: the digests of the leaves first, the root alone last."""


class MerkleProof(Record, frozen=True):
    """Path of one leaf: its index, the number of leaves, siblings from the leaf upwards."""

    index: int
    size: int
    siblings: tuple[bytes, ...]


def merkle_root(leaves: Sequence[bytes]) -> Digest:
    """Root over the encoded leaves; 32 zero bytes for none. Cost: 2n hashes."""
    return root_of_digests(digests(Domain.LEAF, leaves))


def root_of_digests(level: Sequence[Digest]) -> Digest:
    """Root over digests of leaves; 32 zero bytes for none. Cost: n hashes."""
    if not level:
        return ZERO_DIGEST
    while len(level) > 1:
        level = _above(level)
    return level[0]


def merkle_proof(leaves: Sequence[bytes], index: int) -> MerkleProof:
    """Build the proof of leaf `index`.

    Raises:
        Misuse: MALFORMED if there is no such leaf.
    """
    return proof_of_digests(digests(Domain.LEAF, leaves), index)


def proof_of_digests(level: Sequence[Digest], index: int) -> MerkleProof:
    """Build the proof of leaf `index` from the digests of all leaves. Cost: n hashes.

    Raises:
        Misuse: MALFORMED if there is no such leaf.
    """
    return proof_in_tree(tree_of_digests(level), index)


def tree_of_digests(level: Sequence[Digest]) -> Tree:
    """Build all levels over the digests of leaves, for many proofs. Cost: n hashes."""
    levels = [tuple(level)]
    while len(levels[-1]) > 1:
        levels.append(tuple(_above(levels[-1])))
    return tuple(levels)


def proof_in_tree(tree: Tree, index: int) -> MerkleProof:
    """Build the proof of leaf `index` in a tree. Cost: its height.

    Raises:
        Misuse: MALFORMED if there is no such leaf.
    """
    size = len(tree[0])
    if not 0 <= index < size:
        raise Misuse(Code.MALFORMED, f"no leaf {index} among {size}")
    position, siblings = index, []
    for level in tree[:-1]:
        sibling = position ^ 1
        if sibling < len(level):
            siblings.append(level[sibling])
        position //= 2
    return MerkleProof(index=index, size=size, siblings=tuple(siblings))


def _above(level: Sequence[Digest]) -> list[Digest]:
    above = digests(Domain.NODE, map(bytes.__add__, level[::2], level[1::2]))
    # An odd last node rises unchanged: the same shape as RFC 6962's recursive split.
    if len(level) % 2:
        above.append(level[-1])
    return above


def check_merkle_proof(root: bytes, leaf: bytes, proof: MerkleProof) -> None:
    """Check that `leaf` stands at `proof.index` under `root`.

    Raises:
        InvalidInput: BAD_PROOF.
    """
    if not 0 <= proof.index < proof.size or len(proof.siblings) > PROOF_DEPTH_MAX:
        raise InvalidInput(Code.BAD_PROOF, "Merkle proof is out of shape")
    node, position, last, used = digest(Domain.LEAF, leaf), proof.index, proof.size - 1, 0
    while last > 0:
        if position ^ 1 <= last:
            if used == len(proof.siblings) or len(proof.siblings[used]) != DIGEST_BYTES:
                raise InvalidInput(Code.BAD_PROOF, "Merkle proof lacks a sibling")
            sibling = proof.siblings[used]
            used += 1
            pair = (sibling, node) if position & 1 else (node, sibling)
            node = digest_many(Domain.NODE, *pair)
        position, last = position // 2, last // 2
    if used != len(proof.siblings) or node != root:
        raise InvalidInput(Code.BAD_PROOF, "Merkle proof does not lead to the root")

"""Binary Merkle trees against the recursive definition of RFC 6962, and their proofs."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from andon.core.errors import InvalidInput, Misuse
from andon.core.hashing import ZERO_DIGEST, Domain, digest, digest_many
from andon.core.merkle import MerkleProof, check_merkle_proof, merkle_proof, merkle_root

leaf_lists = st.lists(st.binary(max_size=6), min_size=1, max_size=40)


def naive(leaves: Sequence[bytes]) -> bytes:
    if not leaves:
        return ZERO_DIGEST
    if len(leaves) == 1:
        return digest(Domain.LEAF, leaves[0])
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return digest_many(Domain.NODE, naive(leaves[:split]), naive(leaves[split:]))


@given(st.lists(st.binary(max_size=6), max_size=70))
def test_the_root_is_that_of_the_definition(leaves: list[bytes]) -> None:
    assert merkle_root(leaves) == naive(leaves)


@given(leaf_lists, st.data())
def test_a_proof_holds_for_its_leaf_place_and_root_alone(
    leaves: list[bytes], data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    root, proof = merkle_root(leaves), merkle_proof(leaves, index)
    check_merkle_proof(root, leaves[index], proof)
    wrong = [
        (root, leaves[index] + b"x", proof),
        (bytes(32), leaves[index], proof),
        (root, leaves[index], MerkleProof(index, len(leaves), (*proof.siblings, bytes(32)))),
        (root, leaves[index], MerkleProof(len(leaves), len(leaves), proof.siblings)),
        (root, leaves[index], MerkleProof(index, 0, proof.siblings)),
    ]
    if proof.siblings:
        shorter = MerkleProof(index, len(leaves), proof.siblings[:-1])
        wrong.append((root, leaves[index], shorter))
        flipped = (bytes(32), *proof.siblings[1:])
        wrong.append((root, leaves[index], MerkleProof(index, len(leaves), flipped)))
    for bad_root, leaf, bad in wrong:
        with pytest.raises(InvalidInput):
            check_merkle_proof(bad_root, leaf, bad)


def test_an_inner_node_cannot_pass_for_a_leaf() -> None:
    leaves = [b"a", b"b"]
    inner = digest(Domain.LEAF, b"a") + digest(Domain.LEAF, b"b")
    with pytest.raises(InvalidInput):
        check_merkle_proof(merkle_root(leaves), inner, MerkleProof(0, 1, ()))


def test_there_is_no_proof_of_a_leaf_that_is_not_there() -> None:
    with pytest.raises(Misuse):
        merkle_proof([b"a"], 1)

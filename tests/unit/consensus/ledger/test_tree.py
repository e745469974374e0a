"""The state tree against a naive one, and its proofs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from andon.core.errors import Code, InvalidInput
from andon.core.hashing import ZERO_DIGEST
from andon.core.state_proof import (
    StateProof,
    check_state_proof,
    check_state_value,
    inner_hash,
    key_digest,
    leaf_hash,
    value_digest,
)
from consensus.ledger.tree import state_proof, tree_root, update_tree


class Nodes:
    """A tree in memory that drops what an update deletes."""

    def __init__(self) -> None:
        self.nodes: dict[bytes, bytes] = {}

    def tree_node(self, path: bytes) -> bytes | None:
        return self.nodes.get(path)

    def apply(self, changes: dict[bytes, bytes | None]) -> bytes:
        root, writes = update_tree(self, changes)
        for path, content in writes.items():
            if content is None:
                self.nodes.pop(path, None)
            else:
                self.nodes[path] = content
        assert tree_root(self) == root
        return root


def naive_root(state: dict[bytes, bytes], *, digits: int = 0) -> bytes:
    """The definition, word for word: recursive over the whole set of keys."""
    leaves = [(key_digest(key), value_digest(value)) for key, value in state.items()]
    return naive_subtree(leaves, digits)


def naive_subtree(leaves: list[tuple[bytes, bytes]], depth: int) -> bytes:
    if not leaves:
        return ZERO_DIGEST
    if len(leaves) == 1:
        return leaf_hash(leaves[0][0] + leaves[0][1])
    bitmap, children = 0, b""
    for nibble in range(16):
        group = [leaf for leaf in leaves if int(leaf[0].hex()[depth], 16) == nibble]
        if group:
            bitmap |= 1 << nibble
            children += naive_subtree(group, depth + 1)
    return inner_hash(bitmap.to_bytes(2, "big") + children)


small_keys = st.integers(0, 60).map(lambda number: b"key-%d" % number)
batches = st.lists(
    st.dictionaries(small_keys, st.one_of(st.none(), st.binary(max_size=4)), max_size=40),
    max_size=6,
)


@given(batches)
def test_batch_updates_give_the_root_of_the_naive_tree(
    batch_list: list[dict[bytes, bytes | None]],
) -> None:
    nodes, state = Nodes(), dict[bytes, bytes]()
    for batch in batch_list:
        for key, value in batch.items():
            if value is None:
                state.pop(key, None)
            else:
                state[key] = value
        assert nodes.apply(batch) == naive_root(state)
    # No node is left behind: a tree built afresh has the same nodes.
    fresh = Nodes()
    fresh.apply(dict(state))
    assert nodes.nodes == fresh.nodes


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("others", [0, 1, 2])
def test_what_a_lone_leaf_leaves_of_its_branch_is_lifted(depth: int, others: int) -> None:
    near, far = keys_by_path(depth)
    state = dict.fromkeys((*near, *far[:others]), b"v")
    nodes = Nodes()
    nodes.apply(dict(state))
    state.pop(near[0])
    assert nodes.apply({near[0]: None}) == naive_root(state)
    state[near[1]] = b"w"
    assert nodes.apply({near[1]: b"w", near[0]: None}) == naive_root(state)


def keys_by_path(depth: int) -> tuple[list[bytes], list[bytes]]:
    """Two keys that share so many first digits, and keys that share not even the first."""
    first = key_digest(b"key-0").hex()
    keys = [b"key-%d" % number for number in range(1, 4000)]
    shared = [key for key in keys if key_digest(key).hex()[:depth] == first[:depth]]
    parted = [key for key in shared if key_digest(key).hex()[depth] != first[depth]]
    far = [key for key in keys if key_digest(key).hex()[0] != first[0]]
    return [b"key-0", parted[0]], far


@given(st.dictionaries(small_keys, st.binary(max_size=4), max_size=40), small_keys)
def test_every_proof_says_what_the_state_says(state: dict[bytes, bytes], key: bytes) -> None:
    nodes = Nodes()
    root = nodes.apply(dict(state))
    proof = state_proof(nodes, key)
    check_state_value(root, key, state.get(key), proof)
    proved = check_state_proof(root, key, proof)
    assert (proved.value_digest is not None) == (key in state)
    with pytest.raises(InvalidInput) as caught:
        check_state_value(root, key, b"other than any value", proof)
    assert caught.value.code is Code.BAD_PROOF


@given(
    st.dictionaries(small_keys, st.binary(max_size=4), min_size=3, max_size=40),
    small_keys,
    st.integers(0, 10_000),
)
def test_a_proof_with_any_byte_changed_is_refused(
    state: dict[bytes, bytes], key: bytes, position: int
) -> None:
    nodes = Nodes()
    root = nodes.apply(dict(state))
    proof = state_proof(nodes, key)
    contents = [*proof.nodes, proof.leaf]
    index = position % len(contents)
    content = contents[index]
    if not content:
        return
    place = position % len(content)
    contents[index] = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
    with pytest.raises(InvalidInput):
        check_state_proof(root, key, StateProof(tuple(contents[:-1]), contents[-1]))


def test_the_proof_of_one_key_does_not_answer_for_another() -> None:
    nodes = Nodes()
    root = nodes.apply({b"%d" % number: b"v" for number in range(100)})
    refused = 0
    for number in range(1, 100):
        try:
            proved = check_state_proof(root, b"%d" % number, state_proof(nodes, b"0"))
        except InvalidInput:
            refused += 1
        else:
            # It may answer only when it is honestly the same path, and then truly.
            assert proved.value_digest is None
            raise AssertionError("a present key was shown absent")
    assert refused == 99


def test_a_cut_or_prolonged_proof_is_refused() -> None:
    nodes = Nodes()
    root = nodes.apply({b"%d" % number: b"v" for number in range(100)})
    proof = state_proof(nodes, b"7")
    for bad in (
        StateProof(proof.nodes, b""),
        StateProof(proof.nodes[:-1], proof.leaf),
        StateProof((), b""),
        StateProof((*proof.nodes, proof.nodes[-1]), proof.leaf),
    ):
        with pytest.raises(InvalidInput) as caught:
            check_state_proof(root, b"7", bad)
        assert caught.value.code is Code.BAD_PROOF


def test_deleting_everything_gives_the_zero_root_and_no_nodes() -> None:
    nodes = Nodes()
    nodes.apply({b"%d" % number: b"v" for number in range(300)})
    assert nodes.apply({b"%d" % number: None for number in range(300)}) == ZERO_DIGEST
    assert nodes.nodes == {}

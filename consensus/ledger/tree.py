"""Updates of the authenticated state tree, and proofs out of it.

Nodes are keyed by their path (hex digits from the root) and hold the latest version alone;
unfinalised versions live in overlays. A block's writes are applied in one batch, so that every
touched node is hashed once. Shape and byte forms: andon.core.state_proof.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Protocol

from andon.core.hashing import DIGEST_BYTES, ZERO_DIGEST, Digest, Domain, digests
from andon.core.state_proof import (
    BITMAP_BYTES,
    LEAF_BYTES,
    NIBBLES,
    StateProof,
    child_of,
    key_digest,
)


class TreeReader(Protocol):
    """Where the tree of the parent state is read."""

    def tree_node(self, path: bytes) -> bytes | None:
        """Content of the node at `path` (ASCII hex digits), None if there is none."""
        ...


_LEAF_TAG, _INNER_TAG = Domain.STATE_LEAF.value, Domain.STATE_NODE.value
_NIBBLE_OF = {ord(digit): value for value, digit in enumerate("0123456789abcdef")}
_DIGITS = [digit.encode() for digit in "0123456789abcdef"]

_Leaf = tuple[bytes, bytes, bytes | None]
"""Path of 64 hex digits; key digest; leaf content, None to delete."""


def update_tree(
    reader: TreeReader, changes: Mapping[bytes, bytes | None]
) -> tuple[Digest, dict[bytes, bytes | None]]:
    """Apply `changes` (state key -> value, None deletes) to the tree that `reader` shows.

    Returns the new root and the changed nodes by path (None: the node is gone). Cost: one hash
    a touched node plus three a changed key.
    """
    places = digests(Domain.STATE_KEY, changes)
    values = digests(Domain.STATE_VALUE, [value or b"" for value in changes.values()])
    leaves: list[_Leaf] = [
        (place.hex().encode(), place, None if value is None else place + hashed)
        for place, hashed, value in zip(places, values, changes.values(), strict=True)
    ]
    leaves.sort()
    batch = _Batch(reader)
    if leaves:
        batch.update(b"", leaves)
        content = batch.writes.get(b"", None)
    else:
        content = reader.tree_node(b"")
    return _hash(content), batch.writes


def tree_root(reader: TreeReader) -> Digest:
    """Root of the tree that `reader` shows; zero bytes if it is empty."""
    return _hash(reader.tree_node(b""))


def state_proof(reader: TreeReader, key: bytes) -> StateProof:
    """Build the proof of what stands (or does not stand) at `key`."""
    path = key_digest(key).hex().encode()
    nodes: list[bytes] = []
    for depth in range(len(path) + 1):
        content = reader.tree_node(path[:depth])
        if content is None:
            return StateProof(nodes=tuple(nodes), leaf=b"")
        if len(content) == LEAF_BYTES:
            return StateProof(nodes=tuple(nodes), leaf=content)
        nodes.append(content)
        if child_of(content, _NIBBLE_OF[path[depth]]) is None:
            break
    return StateProof(nodes=tuple(nodes), leaf=b"")


def subtree(path: bytes, leaves: list[_Leaf]) -> tuple[Digest, dict[bytes, bytes | None]]:
    """Hash and nodes of the subtree at `path` that has just these leaves, ascending."""
    batch = _Batch(_NoNodes())
    content = batch.build(path, leaves)
    batch.writes[path] = content
    return _hash(content), batch.writes


class _NoNodes:
    """A tree without nodes: what is built on it is new."""

    def tree_node(self, path: bytes) -> bytes | None:
        """Give none."""
        del path
        return None


def _hash(content: bytes | None) -> Digest:
    if content is None:
        return ZERO_DIGEST
    # Inner contents are 2 + 32n bytes, so the length tells a leaf (64) from an inner node.
    # Written out: a block hashes thousands of nodes.
    tag = _LEAF_TAG if len(content) == LEAF_BYTES else _INNER_TAG
    return Digest(sha256(tag + content).digest())


class _Batch:
    """One batch in progress; `writes` collects the changed nodes."""

    __slots__ = ("_read", "writes")

    def __init__(self, reader: TreeReader) -> None:
        self._read = reader.tree_node
        self.writes: dict[bytes, bytes | None] = {}

    def update(self, path: bytes, leaves: list[_Leaf]) -> bytes | None:
        """Rewrite the subtree at `path`; returns its new content, which `writes` holds too."""
        return self._replace(path, self._read(path), leaves)

    def _replace(self, path: bytes, old: bytes | None, leaves: list[_Leaf]) -> bytes | None:
        if old is None or len(old) == LEAF_BYTES:
            content = self._rebuild(path, old, leaves)
        else:
            content = self._descend(path, old, leaves)
        if content is None and old is None:
            return None
        self.writes[path] = content
        return content

    def _rebuild(self, path: bytes, old: bytes | None, leaves: list[_Leaf]) -> bytes | None:
        """A vacant place or a single leaf: the new subtree is built from the leaves alone."""
        if old is not None:
            place = old[:DIGEST_BYTES]
            if all(leaf[1] != place for leaf in leaves):
                leaves = sorted([*leaves, (place.hex().encode(), place, old)])
        kept = [leaf for leaf in leaves if leaf[2] is not None]
        return self.build(path, kept)

    def build(self, path: bytes, leaves: list[_Leaf]) -> bytes | None:
        """Make the subtree at `path` of these leaves; the caller keeps its top's content."""
        if not leaves:
            return None
        if len(leaves) == 1:
            return leaves[0][2]
        bitmap, hashes = 0, []
        for nibble, group in _split(leaves, len(path)):
            below = path + _DIGITS[nibble]
            content = self.build(below, group)
            self.writes[below] = content
            bitmap |= 1 << nibble
            hashes.append(_hash(content))
        return bitmap.to_bytes(BITMAP_BYTES, "big") + b"".join(hashes)

    def _descend(self, path: bytes, old: bytes, leaves: list[_Leaf]) -> bytes | None:
        """An inner node: rewrite the touched children and put their hashes in their places."""
        read, writes = self._read, self.writes
        bitmap = after = old[0] << 8 | old[1]
        replaced: dict[int, bytes | None] = {}
        for nibble, group in _split(leaves, len(path)):
            below = path + _DIGITS[nibble]
            child, (_, place, leaf) = read(below), group[0]
            if (
                child is not None
                and len(child) == LEAF_BYTES
                and child[:DIGEST_BYTES] == place
                and len(group) == 1
            ):
                content = writes[below] = leaf  # The usual case: another value.
            else:
                content = self._replace(below, child, group)
            replaced[nibble] = content
            after = after | 1 << nibble if content is not None else after & ~(1 << nibble)
        if after.bit_count() < 2:
            collapsed = self._collapse(path, after, replaced)
            if after == 0 or collapsed is not None:
                return collapsed
        if after == bitmap:
            return _with_hashes(old, bitmap, replaced)
        hashes, position = [], BITMAP_BYTES
        for nibble in range(NIBBLES):
            present = bitmap >> nibble & 1
            if nibble in replaced:
                content = replaced[nibble]
                if content is not None:
                    hashes.append(bytes(_hash(content)))
            elif present:
                hashes.append(old[position : position + DIGEST_BYTES])
            position += DIGEST_BYTES * present
        return after.to_bytes(BITMAP_BYTES, "big") + b"".join(hashes)

    def _collapse(
        self, path: bytes, bitmap: int, replaced: dict[int, bytes | None]
    ) -> bytes | None:
        """Lift a lone leaf into its parent's place; None if the lone child is an inner node."""
        if bitmap == 0:
            return None
        nibble = bitmap.bit_length() - 1
        below = path + _DIGITS[nibble]
        content = replaced[nibble] if nibble in replaced else self._read(below)
        if content is None or len(content) != LEAF_BYTES:
            return None
        self.writes[below] = None
        return content


def _with_hashes(old: bytes, bitmap: int, replaced: Mapping[int, bytes | None]) -> bytes:
    """Put new hashes into an inner node that keeps its children."""
    content = bytearray(old)
    for nibble, child in replaced.items():
        if child is not None:  # Else a key that never stood here was deleted.
            tag = _LEAF_TAG if len(child) == LEAF_BYTES else _INNER_TAG
            start = BITMAP_BYTES + DIGEST_BYTES * (bitmap & ((1 << nibble) - 1)).bit_count()
            content[start : start + DIGEST_BYTES] = sha256(tag + child).digest()
    return bytes(content)


def _split(leaves: list[_Leaf], depth: int) -> list[tuple[int, list[_Leaf]]]:
    """Group sorted leaves by their digit at `depth`, ascending."""
    if len(leaves) == 1:
        return [(_NIBBLE_OF[leaves[0][0][depth]], leaves)]
    groups: list[tuple[int, list[_Leaf]]] = []
    start, digit = 0, leaves[0][0][depth]
    for index, leaf in enumerate(leaves):
        if leaf[0][depth] != digit:
            groups.append((_NIBBLE_OF[digit], leaves[start:index]))
            start, digit = index, leaf[0][depth]
    groups.append((_NIBBLE_OF[digit], leaves[start:]))
    return groups

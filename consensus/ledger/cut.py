"""The state cut into chunks that the state root proves one by one.

The inner nodes near the root (the top) hang under a header's state root; each place below them is
a chunk: all entries whose key digest begins with the place's path. Whoever holds the top can check
a chunk alone, from whichever peer it came. How deep the cut goes follows from the number of
entries, so all nodes cut the state of one height alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from andon.core.errors import Code, InvalidInput
from andon.core.hashing import DIGEST_BYTES, Digest
from andon.core.state_proof import (
    BITMAP_BYTES,
    LEAF_BYTES,
    NIBBLES,
    child_of,
    inner_hash,
    key_digest,
    value_digest,
)
from consensus.ledger.tree import TreeReader, subtree

ENTRIES_PER_CHUNK = 2048
"""About so many entries stand in a chunk."""
DEPTH_MAX = 4
_DIGITS = tuple(digit.encode() for digit in "0123456789abcdef")

Entry = tuple[bytes, bytes]
"""State key and value."""


def cut_depth(entries: int) -> int:
    """How many digits the paths of chunks have, for a state of so many entries."""
    depth = 0
    while depth < DEPTH_MAX and entries > ENTRIES_PER_CHUNK * NIBBLES**depth:
        depth += 1
    return depth


def top_nodes(reader: TreeReader, depth: int) -> list[Entry]:
    """The inner nodes above a cut with their paths, parents first."""
    found: list[Entry] = []
    level = [b""]
    for _ in range(depth):
        below: list[bytes] = []
        for path in level:
            content = reader.tree_node(path)
            if content is None or len(content) == LEAF_BYTES:
                continue
            found.append((path, content))
            below += _children(path, content)
        level = below
    return found


def check_top(root: bytes, top: Iterable[Entry]) -> dict[bytes, Digest]:
    """Check the nodes of a top; gives the hash that each chunk below must have, by path.

    Raises:
        InvalidInput: BAD_PROOF.
    """
    places: dict[bytes, Digest] = {b"": Digest(root)}
    for path, content in top:
        expected = places.pop(path, None)
        if expected is None or len(path) >= DEPTH_MAX:
            raise _bad("a node of the top does not hang under the root")
        bitmap = int.from_bytes(content[:BITMAP_BYTES], "big")
        size = BITMAP_BYTES + DIGEST_BYTES * bitmap.bit_count()
        if bitmap == 0 or len(content) != size or inner_hash(content) != expected:
            raise _bad("a node of the top is not the one under its parent")
        for place in _children(path, content):
            child = child_of(content, int(place[-1:], 16))
            assert child is not None, "the bitmap names it"
            places[place] = Digest(child)
    return places


def check_chunk(
    path: bytes, expected: bytes, entries: Sequence[Entry]
) -> dict[bytes, bytes | None]:
    """Check that these are all entries under `path`; gives the nodes of the tree there.

    Raises:
        InvalidInput: BAD_PROOF.
    """
    leaves: list[tuple[bytes, bytes, bytes | None]] = []
    for key, value in entries:
        place = key_digest(key)
        digits = place.hex().encode()
        if not digits.startswith(path) or (leaves and leaves[-1][0] >= digits):
            raise _bad("entries of a chunk are out of place or out of order")
        leaves.append((digits, place, place + value_digest(value)))
    root, nodes = subtree(path, leaves)
    if root != expected:
        raise _bad(f"chunk {path.decode() or 'all'} is not what stands under the root")
    return nodes


def sort_chunk(entries: list[Entry]) -> list[Entry]:
    """Put entries into the order of chunks: by the digest of their keys."""
    return sorted(entries, key=lambda entry: key_digest(entry[0]))


def _children(path: bytes, content: bytes) -> list[bytes]:
    bitmap = int.from_bytes(content[:BITMAP_BYTES], "big")
    return [path + _DIGITS[n] for n in range(NIBBLES) if bitmap >> n & 1]


def _bad(reason: str) -> InvalidInput:
    return InvalidInput(Code.BAD_PROOF, f"state chunk: {reason}", hint="fetch it from another peer")

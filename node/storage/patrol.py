"""Walk a store in small steps and name what is damaged, so that a running node finds it first.

`scrub` reads a whole store at once and wants it to stand still. A patrol reads some values a step,
each step in a snapshot of its own, and goes on where it was while the chain grows: blocks against
their headers, entries of the state against the leaves of the tree, nodes of the tree against
their parents, and at the end the order and number of the entries of every table.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from andon.core.block import block_hash
from andon.core.errors import AndonError, Corrupt
from andon.core.state_proof import (
    LEAF_BYTES,
    StateProof,
    child_of,
    inner_hash,
    key_digest,
    leaf_hash,
    value_digest,
)
from consensus.ledger import state_proof, tree_root
from node.storage.effects import check_begun
from node.storage.scrub import check_height, next_stored
from node.storage.snapshot import BASE_KEY, GENESIS_KEY, TABLES, Snapshot, height_key
from node.storage.undo import check_kept
from node.storage.values import damaged

_SMALL = ("meta", "epochs", "validators")


class Part(Enum):
    """What a damage is in, by what repairs it."""

    BLOCK = "block"
    ENTRY = "state"
    TREE = "tree"


@dataclass(frozen=True, slots=True)
class Damage:
    """One damaged part: `key` is a height's key, a state key or a path of the tree."""

    part: Part
    key: bytes
    reason: str

    @property
    def height(self) -> int:
        """Height of a damaged block."""
        return int.from_bytes(self.key, "big")


class _Stage(Enum):
    BLOCKS = 0
    STATE = 1
    TREE = 2
    ORDER = 3


class Patrol:
    """Where a walk is; begins anew after the last stage. Blocking: call it in a thread."""

    def __init__(self) -> None:
        self._stage = _Stage.BLOCKS
        self._height = 0
        self._after: bytes | None = None
        self.is_done = False

    def step(self, snapshot: Snapshot, count_max: int) -> tuple[int, list[Damage]]:
        """Read on for about `count_max` values; gives how many it were and what is damaged.

        Raises:
            Corrupt: STORAGE_DAMAGED for what no peer can replace in a running node.
        """
        self.is_done = False
        match self._stage:
            case _Stage.BLOCKS:
                return self._blocks(snapshot, count_max)
            case _Stage.STATE:
                return self._state(snapshot, count_max)
            case _Stage.TREE:
                return self._tree(snapshot, count_max)
            case _Stage.ORDER:
                return self._order(snapshot), []

    def _order(self, snapshot: Snapshot) -> int:
        """Count one table a step, key by key, and at last what is small: no read lasts long."""
        if self._height < len(TABLES):
            self._height += 1
            return snapshot.count_keys(TABLES[self._height - 1])
        self._next(_Stage.BLOCKS)
        self.is_done = True
        return _check_order(snapshot)

    def _next(self, stage: _Stage) -> None:
        self._stage, self._after, self._height = stage, None, 0

    def _blocks(self, snapshot: Snapshot, count_max: int) -> tuple[int, list[Damage]]:
        read, found, head = 0, list[Damage](), snapshot.height()
        while read < count_max and (at := next_stored(snapshot, self._height)) <= head:
            self._height = at + 1
            read += 1
            try:
                read += check_height(snapshot, at)
            except AndonError as error:
                found.append(Damage(Part.BLOCK, height_key(at), error.message))
        if self._height > head:
            self._next(_Stage.STATE)
        return read, found

    def _state(self, snapshot: Snapshot, count_max: int) -> tuple[int, list[Damage]]:
        page = snapshot.page("state", self._after, count_max)
        found = []
        for key, value in page:
            if value is None:
                found.append(Damage(Part.ENTRY, key, "it does not fit its checksum"))
                continue
            try:
                proof = state_proof(snapshot, key)
            except Corrupt as error:
                found.append(Damage(Part.TREE, key_digest(key), error.message))
                continue
            if proof.leaf != key_digest(key) + value_digest(value):
                # The leaf or the entry: the tree is checked from its root when that is repaired.
                found.append(Damage(Part.ENTRY, key, "it is not what the tree says"))
        self._turn(page, count_max, _Stage.TREE)
        return len(page), found

    def _tree(self, snapshot: Snapshot, count_max: int) -> tuple[int, list[Damage]]:
        page = snapshot.page("tree", self._after, count_max)
        found = []
        for key, content in page:
            path = key[1:]
            try:
                is_sound = content is not None and _hangs(snapshot, path, content)
            except Corrupt:
                is_sound = False
            if not is_sound:
                found.append(Damage(Part.TREE, path, "a node does not hang under the root"))
        self._turn(page, count_max, _Stage.ORDER)
        return len(page), found

    def _turn(
        self, page: list[tuple[bytes, bytes | None]], count_max: int, following: _Stage
    ) -> None:
        if len(page) < count_max:
            self._next(following)
        else:
            self._after = page[-1][0]


def _hangs(snapshot: Snapshot, path: bytes, content: bytes) -> bool:
    found = leaf_hash(content) if len(content) == LEAF_BYTES else inner_hash(content)
    if not path:
        header = snapshot.header(snapshot.height())
        return header is not None and header.state_root == found
    above = snapshot.tree_node(path[:-1])
    return (
        above is not None
        and len(above) != LEAF_BYTES
        and child_of(above, int(path[-1:], 16)) == found
    )


def _check_order(snapshot: Snapshot) -> int:
    """Compare numbers of entries and read small tables; a lost page breaks one or the other."""
    read = 0
    for table in _SMALL:
        for _ in snapshot.entries(table):
            read += 1
    genesis = snapshot.header(0)
    if genesis is None or block_hash(genesis) != snapshot.meta(GENESIS_KEY):
        raise damaged("block 0 is not that of this network")
    if snapshot.length("hashes") != snapshot.length("headers"):
        raise damaged("the index of hashes and the headers differ in number")
    if snapshot.meta(BASE_KEY) is None and snapshot.length("headers") != snapshot.height() + 1:
        raise damaged("the headers are not as many as the height")
    check_kept(snapshot)
    check_begun(snapshot)
    header, leaves = snapshot.header(snapshot.height()), snapshot.leaves()
    if header is None or tree_root(snapshot) != header.state_root:
        raise damaged(f"the state is not that of block {snapshot.height()}")
    if leaves != snapshot.length("state"):
        raise damaged(f"the tree has {leaves} leaves and the state another number of entries")
    return read


def proof_of(snapshot: Snapshot, key: bytes) -> tuple[bytes, bytes, StateProof]:
    """The last state root, a key and its stored proof, as `check_state_proof` takes them.

    Raises:
        Corrupt: STORAGE_DAMAGED if a node on the way cannot be read.
    """
    header = snapshot.header(snapshot.height())
    if header is None:
        raise damaged("the last header is missing")
    return header.state_root, key, state_proof(snapshot, key)

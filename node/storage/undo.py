"""What the last blocks replaced, kept beside the state: the state of a recent height comes from it.

The store keeps one state, that of the head. With a block, in its transaction, go the values that
it replaces; put back over the head they give the state before any of those blocks, also after a
restart. It is an aid to people who look back, nothing that a rule depends on: bounded, and gone
where a state was fetched from peers. Blocks that write nothing take no room.
"""

from __future__ import annotations

from andon.core.codec import Record, decode, encode
from andon.core.errors import Code, InvalidInput, Misuse
from consensus.ledger import Overlay
from node.storage.snapshot import HEIGHT_BYTES, UNDO_KEY, Snapshot, height_key
from node.storage.values import damaged
from node.storage.writer import Writer

BLOCKS_MAX = 4096
BYTES_MAX = 32 * 1024 * 1024
PAGE_BLOCKS = 256
TABLE = "undo"


class Replaced(Record, frozen=True):
    """Keys that one block wrote, and what stood there before; None for nothing."""

    keys: tuple[bytes, ...]
    values: tuple[bytes | None, ...]


class Kept(Record, frozen=True):
    """What is kept: of all blocks from `first` on; so many of them wrote, in so many bytes."""

    first: int
    count: int
    size_bytes: int


def keep(table: Writer, height: int, before: dict[bytes, bytes | None]) -> None:
    """Keep what stood `before` where block `height` writes, and forget what is beyond bounds."""
    raw = table.get("meta", UNDO_KEY)
    kept = Kept(height, 0, 0) if raw is None else decode(Kept, raw)
    first, count, size = kept.first, kept.count, kept.size_bytes
    if before:
        encoded = encode(Replaced(tuple(before), tuple(before.values())))
        table.put(TABLE, height_key(height), encoded)
        count, size = count + 1, size + len(encoded)
    while count > BLOCKS_MAX or size > BYTES_MAX:
        oldest, length = table.take_first(TABLE)
        first, count, size = int.from_bytes(oldest, "big") + 1, count - 1, size - length
    now = Kept(first, count, size)
    if now != kept or raw is None:
        table.put("meta", UNDO_KEY, encode(now))


def forget(table: Writer) -> None:
    """Forget all: another state is installed."""
    table.clear(TABLE)
    table.setter("meta")(UNDO_KEY, None)


def kept_of(snapshot: Snapshot) -> Kept:
    """What a store keeps."""
    raw = snapshot.meta(UNDO_KEY)
    return Kept(snapshot.height() + 1, 0, 0) if raw is None else decode(Kept, raw)


def check_kept(snapshot: Snapshot) -> None:
    """Compare what is kept with what is said to be.

    Raises:
        Corrupt: STORAGE_DAMAGED.
    """
    kept, found = kept_of(snapshot), snapshot.length(TABLE)
    if found != kept.count:
        raise damaged(f"table {TABLE} has {found} entries, not {kept.count}")


def rewind(snapshot: Snapshot, height: int) -> PastState:
    """Give the state after block `height`; valid while the snapshot is open.

    Cost: what the blocks above it replaced.

    Raises:
        InvalidInput: HEIGHT_UNKNOWN with fields oldest and newest, the heights that can be given.
    """
    top, kept = snapshot.height(), kept_of(snapshot)
    if not kept.first - 1 <= height <= top:
        raise _not_kept(height, kept.first - 1, top)
    past = Overlay(snapshot)
    replaced = past.writes
    place = height_key(height)
    while page := snapshot.page(TABLE, place, PAGE_BLOCKS):
        for place, raw in page:
            if raw is None:
                raise _not_kept(height, int.from_bytes(place[:HEIGHT_BYTES], "big"), top)
            entry = decode(Replaced, raw)
            for key, value in zip(entry.keys, entry.values, strict=True):
                if key not in replaced:  # The lowest block above `height` saw what stood there.
                    past.put(key, value)
    past.forget_journal()
    return PastState(past)


def _not_kept(height: int, oldest: int, newest: int) -> InvalidInput:
    reason = "is not final here yet" if height > newest else "is no longer kept here"
    return InvalidInput(
        Code.HEIGHT_UNKNOWN,
        f"the state after block {height} {reason}; those after blocks {oldest} to {newest} are",
        hint=f"a node keeps what its last {BLOCKS_MAX} blocks that wrote replaced, at most "
        f"{BYTES_MAX >> 20} MiB; andon replay executes all of the chain anew",
        oldest=oldest,
        newest=newest,
    )


class PastState:
    """A `StateReader` of an earlier height: values, but neither tree nor ids of transactions."""

    def __init__(self, values: Overlay) -> None:
        self._values = values
        self.get = values.get
        self.iterate = values.iterate

    def tree_node(self, path: bytes) -> bytes | None:
        """Refuse: only values are rebuilt.

        Raises:
            Misuse: always.
        """
        raise Misuse(Code.NOT_FOUND, f"the tree of an earlier state is not kept ({path.hex()})")

    def has_transaction(self, transaction_id: bytes) -> bool:
        """Hold none: what is executed again here was once checked to be new."""
        del transaction_id
        return False

"""What each block changed in the state, kept as long as its body: peers that catch up take it over.

Kept is the smallest set of writes between two states, so all nodes keep the same. A block that
changed nothing has no entry; neither has one that came without its writes (a state installed from
a snapshot, a block restored by a peer), and such a block is executed by those who catch up.
"""

from __future__ import annotations

from collections.abc import Mapping

from andon.core.block import Header
from andon.core.codec import decode, encode
from andon.core.errors import AndonError
from andon.core.wire import Writes
from node.storage.snapshot import WRITES_KEY, Leaves, Snapshot, height_key
from node.storage.values import damaged
from node.storage.writer import Writer

TABLE = "writes"
NO_WRITES = encode(Writes((), ()))
_NO_LEAVES = encode(Leaves(()))
_TWO, _THREE, _NONE = b"\x92", b"\x93", b"\x90"
"""Heads of MessagePack arrays: a record is the array of its fields."""


def put_writes(
    table: Writer,
    height: int,
    before: Mapping[bytes, bytes | None],
    writes: Mapping[bytes, bytes | None],
) -> None:
    """Keep what block `height` changed; `before` holds what stood at each key of `writes`."""
    changed = sorted(key for key, value in writes.items() if before[key] != value)
    if changed:
        kept = Writes(tuple(changed), tuple(writes[key] for key in changed))
        table.put(TABLE, height_key(height), encode(kept))


def begin(table: Writer, height: int) -> None:
    """Note that what blocks above `height` write is kept; what lies below is not."""
    table.put("meta", WRITES_KEY, height_key(height))


def check_begun(snapshot: Snapshot) -> None:
    """Check that it is noted from where on writes are kept.

    Raises:
        Corrupt: STORAGE_DAMAGED.
    """
    if snapshot.meta(WRITES_KEY) is None and snapshot.length(TABLE):
        raise damaged("it is not noted from where on writes are kept")


def give_up(table: Writer, height: int) -> None:
    """Put nothing in the place of an entry that is lost or damaged; a sound one stays."""
    place = height_key(height)
    try:
        raw = table.get(TABLE, place)
        if raw is not None:
            decode(Writes, raw)
            return
    except AndonError:
        pass
    table.put(TABLE, place, NO_WRITES)


def check_writes(snapshot: Snapshot, header: Header) -> None:
    """Check that what a block changed is kept, and can be read.

    Raises:
        Corrupt: STORAGE_DAMAGED. InvalidInput: a record of another shape.
    """
    raw, since = snapshot.value(TABLE, height_key(header.height)), snapshot.meta(WRITES_KEY)
    if raw is not None:
        decode(Writes, raw)
    elif since is None or header.height <= int.from_bytes(since, "big"):
        return
    elif _is_changed(snapshot, header.height):
        raise damaged(f"what block {header.height} wrote is missing")


def adoptable_block(snapshot: Snapshot, height: int) -> bytes | None:
    """Encode an `AdoptableBlock`; None if it, or what it wrote, is not here.

    The parts are joined as they are stored: a peer that catches up costs us little.
    """
    place = height_key(height)
    block, certificate = snapshot.value("blocks", place), snapshot.value("certificates", place)
    writes = kept_writes(snapshot, height)
    if block is None or writes is None:
        return None
    if certificate is not None:
        final = b"".join((_THREE, block, _NONE, certificate))
    else:  # A descendant proves it final.
        found = snapshot.final_block(height)
        if found is None:
            return None
        final = encode(found)
    effects = (snapshot.value(name, place) or _NO_LEAVES for name in ("receipts", "predictions"))
    leaves = b"".join(raw[1:] for raw in effects)  # without the head of the one-field record
    return b"".join((_TWO, final, _THREE, leaves, writes))


def kept_writes(snapshot: Snapshot, height: int) -> bytes | None:
    """What a block changed, as encoded `Writes`; None if that is not kept, or not any more."""
    writes = snapshot.value(TABLE, height_key(height)) or NO_WRITES
    return None if writes == NO_WRITES and _is_changed(snapshot, height) else writes


def _is_changed(snapshot: Snapshot, height: int) -> bool:
    header, below = snapshot.header(height), snapshot.header(height - 1)
    return header is None or below is None or header.state_root != below.state_root

"""What the last blocks overwrote, in memory: the state of a recent height can be rebuilt from it.

The store keeps one state, that of the head. Before a block is written, the values that it replaces
are taken here; put back over the head, newest first, they give the state before any of those
blocks. It is an aid to people who look at a transaction, nothing that a rule depends on: bounded,
not written to disk, and empty after a start.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from andon.core.errors import Code, InvalidInput, Misuse
from consensus.ledger import Overlay
from node.storage.snapshot import Snapshot

BLOCKS_MAX = 4096
BYTES_MAX = 16 * 1024 * 1024
ENTRY_OVERHEAD_BYTES = 128
"""About what Python needs for one key and its place, beside the bytes of key and value."""

Replaced = dict[bytes, bytes | None]


class UndoLog:
    """Replaced values by height. The writer of the chain takes, any thread rewinds."""

    def __init__(self) -> None:
        self._blocks: OrderedDict[int, tuple[Replaced, int]] = OrderedDict()
        self._size_bytes = 0
        self._lock = threading.Lock()

    @property
    def size_bytes(self) -> int:
        """About what is held, at most `BYTES_MAX` and one block more."""
        return self._size_bytes

    def take(self, height: int, writes: Replaced, read: Callable[[bytes], bytes | None]) -> None:
        """Keep what a block is about to replace; `read` gives the state before it."""
        replaced = {key: read(key) for key in writes}
        size = ENTRY_OVERHEAD_BYTES + sum(
            ENTRY_OVERHEAD_BYTES + len(key) + len(value or b"") for key, value in replaced.items()
        )
        with self._lock:
            self._blocks[height] = (replaced, size)
            self._size_bytes += size
            while len(self._blocks) > 1 and (
                len(self._blocks) > BLOCKS_MAX or self._size_bytes > BYTES_MAX
            ):
                self._size_bytes -= self._blocks.popitem(last=False)[1][1]

    def clear(self) -> None:
        """Forget all: the store was replaced."""
        with self._lock:
            self._blocks.clear()
            self._size_bytes = 0

    def rewind(self, snapshot: Snapshot, height: int) -> PastState:
        """Give the state after block `height`; valid while the snapshot is open.

        Raises:
            InvalidInput: HEIGHT_UNKNOWN if that is further back than is kept.
        """
        top = snapshot.height()
        with self._lock:
            found = [self._blocks.get(above) for above in range(height + 1, top + 1)]
            oldest = next(iter(self._blocks), top + 1)
        past = Overlay(snapshot)
        for entry in reversed(found):
            if entry is None:
                raise InvalidInput(
                    Code.HEIGHT_UNKNOWN,
                    f"the state before block {height + 1} is no longer kept here; what blocks "
                    f"from {oldest} on replaced is",
                    hint=f"a node keeps it for its last {BLOCKS_MAX} blocks, {BYTES_MAX >> 20} MiB "
                    "of values and since its start; andon replay executes all of the chain anew",
                )
            for key, value in entry[0].items():
                past.put(key, value)
        past.forget_journal()
        return PastState(past)


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

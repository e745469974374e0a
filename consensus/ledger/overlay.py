"""Writes that are not on disk yet, over a state that is: one overlay a block, stackable.

An overlay owns its journal, by which a failed call is undone, and the changed nodes of the state
tree once its block is finished. When the block is flushed, its children are re-based on the new
stored state.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Mapping
from enum import Enum
from typing import Final

from consensus.ledger.ports import StateReader

_INSERT_EACH_MAX: Final = 32
"""Up to so many new keys are inserted one by one; more are sorted at once."""


class _Missing(Enum):
    """The type of `_MISSING`: no write, as opposed to a deletion."""

    MISSING = "missing"


_MISSING: Final = _Missing.MISSING


class Overlay:
    """A mutable version of the state over an immutable parent."""

    __slots__ = (
        "_fresh_keys",
        "_parent",
        "_sorted_keys",
        "journal",
        "transaction_ids",
        "tree_writes",
        "writes",
    )

    def __init__(self, parent: StateReader) -> None:
        self._parent = parent
        self.writes: dict[bytes, bytes | None] = {}
        self.tree_writes: dict[bytes, bytes | None] = {}
        self.transaction_ids: set[bytes] = set()
        self.journal: list[tuple[bytes, bytes | _Missing | None]] = []
        """What stood before each write; its length is a mark to roll back to."""
        self._sorted_keys: list[bytes] = []
        self._fresh_keys: list[bytes] = []

    def rebase(self, parent: StateReader) -> None:
        """Put a parent of equal content below: the stored state after the old parent's flush."""
        self._parent = parent

    def get(self, key: bytes) -> bytes | None:
        """Value at a state key."""
        value = self.writes.get(key, _MISSING)
        if value is _MISSING:
            return self._parent.get(key)
        return value

    def put(self, key: bytes, value: bytes | None) -> None:
        """Set a state key; None deletes. Undone by `rollback` to an earlier mark."""
        previous = self.writes.get(key, _MISSING)
        if previous is _MISSING:
            self._fresh_keys.append(key)
        self.journal.append((key, previous))
        self.writes[key] = value

    def put_final(self, writes: Mapping[bytes, bytes | None]) -> None:
        """Set many state keys of which none was set before; no rollback undoes it."""
        self.writes.update(writes)
        self._fresh_keys += writes

    def checkpoint(self) -> int:
        """Mark the present state."""
        return len(self.journal)

    def rollback(self, mark: int) -> None:
        """Undo every write since the mark."""
        journal = self.journal
        while len(journal) > mark:
            key, previous = journal.pop()
            if previous is _MISSING:
                del self.writes[key]
            else:
                self.writes[key] = previous

    def forget_journal(self) -> None:
        """Make the writes so far final for this overlay; earlier marks are void."""
        self.journal.clear()

    def iterate(
        self, prefix: bytes, after: bytes | None, count_max: int
    ) -> list[tuple[bytes, bytes]]:
        """Merge own writes with the parent's entries; ascending by key, deletions left out."""
        own = self._own_keys(prefix, after)
        result: list[tuple[bytes, bytes]] = []
        page: list[tuple[bytes, bytes]] = []
        cursor, position, own_position, is_exhausted = after, 0, 0, False
        while len(result) < count_max:
            if position == len(page) and not is_exhausted:
                page = self._parent.iterate(prefix, cursor, count_max)
                position, is_exhausted = 0, len(page) < count_max
                if page:
                    cursor = page[-1][0]
            own_key = own[own_position] if own_position < len(own) else None
            entry = page[position] if position < len(page) else None
            if own_key is None and entry is None:
                break
            if entry is not None and (own_key is None or entry[0] < own_key):
                result.append(entry)
                position += 1
                continue
            assert own_key is not None
            if entry is not None and entry[0] == own_key:
                position += 1
            own_position += 1
            value = self.writes[own_key]
            if value is not None:
                result.append((own_key, value))
        return result

    def tree_node(self, path: bytes) -> bytes | None:
        """Content of a node of the state tree, this block's changes included."""
        content = self.tree_writes.get(path, _MISSING)
        if content is _MISSING:
            return self._parent.tree_node(path)
        return content

    def has_transaction(self, transaction_id: bytes) -> bool:
        """Tell whether this block or an ancestor holds the transaction."""
        return transaction_id in self.transaction_ids or self._parent.has_transaction(
            transaction_id
        )

    def _own_keys(self, prefix: bytes, after: bytes | None) -> list[bytes]:
        """Written keys under `prefix` above `after`, ascending; rolled back ones are dropped."""
        keys = self._sorted_keys
        if len(self._fresh_keys) > _INSERT_EACH_MAX:
            keys.extend(self._fresh_keys)
            keys.sort()
        else:
            for key in self._fresh_keys:
                insort(keys, key)
        self._fresh_keys.clear()
        start = bisect_left(keys, prefix) if after is None else bisect_right(keys, after)
        found: list[bytes] = []
        for index in range(max(start, bisect_left(keys, prefix)), len(keys)):
            key = keys[index]
            if not key.startswith(prefix):
                break
            # A key that was rolled back and written again stands here twice.
            if key in self.writes and (not found or found[-1] != key):
                found.append(key)
        return found

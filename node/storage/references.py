"""Which blobs a stored chain still names, found without knowing what its records mean.

Contracts are written by users and keep digests where they like: in keys, in values, joined or as
hexadecimal text. So no record is parsed. A digest counts as named if its 32 bytes, or its 64 hex
digits in either case, stand anywhere in what is searched: the state, what the last blocks replaced
in it, and transactions, receipts and predictions of the blocks that are kept. This may find too
much and never too little, save a digest that a contract takes apart before it keeps it.
"""

from __future__ import annotations

import bisect
import itertools
import sys
from collections.abc import Iterable, Sequence

from andon.core.codec import decode
from andon.core.errors import Code, Unavailable
from andon.core.wire import Writes
from node.storage.effects import kept_writes
from node.storage.snapshot import HEIGHT_BYTES, Snapshot, height_key
from node.storage.undo import TABLE as UNDO
from node.storage.undo import kept_of
from node.storage.values import damaged

WORD_BYTES = 8
WINDOW_BYTES = 64 * 1024
"""Searched at a time: Python's lock is held no longer than that takes, about a millisecond."""
FEW_DIGESTS = 128
"""So few are looked for one by one, which is faster."""
PAGE_ENTRIES = 8
"""Read of the history at a time; a block may have megabytes."""
STATE_PAGE_ENTRIES = 32
STEP_BYTES = 1024 * 1024
STATE = "state"
HISTORY = (UNDO, "blocks", "receipts", "predictions")

Place = tuple[str, bytes]
"""Where a digest is named: a table, and a key of the state or of a height (at most the block's)."""


class Names:
    """Digests that are looked for; `missing` are those that were found nowhere yet."""

    def __init__(self, digests: Iterable[bytes], few: int = FEW_DIGESTS) -> None:
        self.missing = set(digests)
        self._few = few
        self._forms = {digest: _forms(digest) for digest in self.missing}
        self._words: dict[int, list[bytes]] = {}
        for digest, forms in self._forms.items():
            for form in forms:
                word = int.from_bytes(form[:WORD_BYTES], sys.byteorder)
                self._words.setdefault(word, []).append(digest)

    def look(self, data: bytes) -> set[bytes]:
        """Take out of `missing` what stands in `data`, and give it.

        Cost: half a nanosecond a byte and digest while there are few, then 200 ns a byte.
        """
        likely = self.missing
        if len(likely) > self._few:
            likely = self.missing & self._likely(data)
        found = {digest for digest in likely if any(form in data for form in self._forms[digest])}
        self.missing -= found
        return found

    def _likely(self, data: bytes) -> set[bytes]:
        """Those whose first word stands somewhere; every offset is looked at, in C."""
        likely: set[bytes] = set()
        for start in range(0, len(data), WINDOW_BYTES):
            window = memoryview(data)[start : start + WINDOW_BYTES + WORD_BYTES]
            for shift in range(min(WORD_BYTES, len(window) - WORD_BYTES + 1)):
                words = (len(window) - shift) // WORD_BYTES
                aligned = window[shift : shift + words * WORD_BYTES].cast("Q")
                for word in self._words.keys() & aligned:
                    likely.update(self._words[word])
        return likely


def _forms(digest: bytes) -> tuple[bytes, ...]:
    text = digest.hex()
    return digest, text.encode(), text.upper().encode()


def is_named_at(snapshot: Snapshot, digest: bytes, place: Place) -> bool:
    """Tell whether what was found at a place is still there; costs one read.

    Raises:
        Corrupt: STORAGE_DAMAGED.
    """
    table, key = place
    if table == STATE:
        value = snapshot.get(key)
        return value is not None and _stands_in(digest, key, value)
    first = kept_of(snapshot).first if table == UNDO else snapshot.first_height()
    return key >= height_key(first)


def _stands_in(digest: bytes, *parts: bytes) -> bool:
    return any(form in part for form in _forms(digest) for part in parts)


class Search:
    """Goes over state and kept blocks in steps, each in a view of its own, while the chain grows.

    The state is walked once, by its keys. What moves from where it was not yet looked to where it
    was is found in what the blocks since wrote; what they take away, in what they replaced.
    """

    def __init__(self, since: int) -> None:
        """`since` is a height of the chain before the first step."""
        self._height = since
        """What blocks wrote up to here stood in the state when it was looked at, or was seen."""
        self._is_walked = False
        self._after: dict[str, bytes | None] = dict.fromkeys((STATE, *HISTORY))
        self.is_done = False
        self.found: dict[bytes, Place] = {}

    def step(self, snapshot: Snapshot, names: Names, bytes_max: int = STEP_BYTES) -> None:
        """Search about `bytes_max`; done when all that this view has was searched.

        Raises:
            Corrupt: STORAGE_DAMAGED: what cannot be read may name anything.
            Unavailable: NOT_READY if what a block wrote since is not kept: search anew.
        """
        self.is_done = False
        left = bytes_max - self._look_in_writes(snapshot, names, bytes_max)
        while left > 0 and not self._is_walked:
            left -= self._look_in_state(snapshot, names)
        for table in HISTORY:
            while left > 0 and (size := self._look_in_history(snapshot, table, names)):
                left -= size
        self.is_done = left > 0

    def _look_in_writes(self, snapshot: Snapshot, names: Names, bytes_max: int) -> int:
        size, head = 0, snapshot.height()
        while self._height < head and size < bytes_max:
            raw = kept_writes(snapshot, self._height + 1)
            if raw is None:
                raise Unavailable(
                    Code.NOT_READY,
                    f"what block {self._height + 1} wrote is not kept, and may name a blob",
                )
            self._height += 1
            size += 1 + len(raw)
            writes = decode(Writes, raw)
            values = (value or b"" for value in writes.values)
            self._look_in_entries(list(zip(writes.keys, values, strict=True)), names)
        return size

    def _look_in_state(self, snapshot: Snapshot, names: Names) -> int:
        page = _sound(STATE, snapshot.page(STATE, self._after[STATE], STATE_PAGE_ENTRIES))
        self._is_walked = len(page) < STATE_PAGE_ENTRIES
        if page:
            self._after[STATE] = page[-1][0]
        return self._look_in_entries(page, names)

    def _look_in_entries(self, entries: Sequence[tuple[bytes, bytes]], names: Names) -> int:
        data = b"\0".join(key + b"\0" + value for key, value in entries)
        if found := names.look(data):
            ends = list(itertools.accumulate(len(key) + len(value) + 2 for key, value in entries))
            for digest in found:
                at = max(data.find(form) for form in _forms(digest))
                self.found[digest] = STATE, entries[bisect.bisect_right(ends, at)][0]
        return 1 + len(data)

    def _look_in_history(self, snapshot: Snapshot, table: str, names: Names) -> int:
        page = _sound(table, snapshot.page(table, self._after[table], PAGE_ENTRIES))
        if not page:
            return 0
        place = table, page[0][0][:HEIGHT_BYTES]
        data = b"\0".join(value for _, value in page)
        self.found |= dict.fromkeys(names.look(data), place)
        self._after[table] = page[-1][0]
        return 1 + len(data)


def _sound(table: str, page: list[tuple[bytes, bytes | None]]) -> list[tuple[bytes, bytes]]:
    sound = [(key, value) for key, value in page if value is not None]
    if len(sound) < len(page):
        raise damaged(f"table {table} cannot be searched for names of blobs")
    return sound

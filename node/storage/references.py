"""Which blobs a stored chain still names, found without knowing what its records mean.

Contracts are written by users and keep digests where they like: in keys, in values, joined or as
hexadecimal text. So no record is parsed. A digest counts as named if its 32 bytes, or its 64 hex
digits in either case, stand anywhere in what is searched: the state, what the last blocks replaced
in it, and transactions, receipts and predictions of the blocks that are kept. This may find too
much and never too little, save a digest that a contract takes apart before it keeps it.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable

from node.storage.snapshot import HEIGHT_BYTES, Snapshot
from node.storage.values import damaged

WORD_BYTES = 8
WINDOW_BYTES = 64 * 1024
"""Searched at a time: Python's lock is held no longer than that takes, about a millisecond."""
FEW_DIGESTS = 128
"""So few are looked for one by one, which is faster."""
PAGE_ENTRIES = 8
"""Read of the history at a time; a block may have megabytes."""
STEP_BYTES = 1024 * 1024
STATE = ("state", "undo")
HISTORY = ("blocks", "receipts", "predictions")


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


def look_in_state(snapshot: Snapshot, names: Names) -> None:
    """Search the whole state of a view: what moves within a state must not be missed.

    Raises:
        Corrupt: STORAGE_DAMAGED.
    """
    for table in STATE:
        entries = snapshot.entries(table)
        held, size = list[bytes](), 0
        for part in itertools.chain.from_iterable(entries):
            held.append(part)
            size += len(part)
            if size >= WINDOW_BYTES:
                names.look(b"\0".join(held))
                held, size = [], 0
        names.look(b"\0".join(held))


class HistorySearch:
    """Goes over the blocks that are kept, in steps, and goes on where it was as they grow."""

    def __init__(self) -> None:
        self._after: dict[str, bytes | None] = dict.fromkeys(HISTORY)
        self.is_done = False
        self.found: dict[bytes, int] = {}
        """A height of a block that names a digest, or one shortly below it."""

    def step(self, snapshot: Snapshot, names: Names, bytes_max: int = STEP_BYTES) -> None:
        """Search about `bytes_max`; done when all that this view has was searched.

        Raises:
            Corrupt: STORAGE_DAMAGED: what cannot be read may name anything.
        """
        self.is_done = False
        size = 0
        for table in HISTORY:
            while size < bytes_max:
                page = snapshot.page(table, self._after[table], PAGE_ENTRIES)
                if not page:
                    break
                size += self._look(table, page, names)
            else:
                return
        self.is_done = True

    def _look(self, table: str, page: list[tuple[bytes, bytes | None]], names: Names) -> int:
        values = [value for _, value in page if value is not None]
        if len(values) < len(page):
            raise damaged(f"table {table} cannot be searched for names of blobs")
        height = int.from_bytes(page[0][0][:HEIGHT_BYTES], "big")
        data = b"\0".join(values)
        self.found |= dict.fromkeys(names.look(data), height)
        self._after[table] = page[-1][0]
        return len(data)

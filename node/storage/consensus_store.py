"""What consensus must not forget: a small durable map in an environment of its own.

Apart from the chain's, because LMDB has one writer an environment and a vote must not wait for
the flush of a block.
"""

from __future__ import annotations

from pathlib import Path

from node.storage.environment import DATA_FILE, Environment
from node.storage.high_water import Mark, older, open_mark
from node.storage.values import seal, unseal

TABLE = "consensus"
_COUNT_KEY = b"writes"
_COUNT_BYTES = 8
MAP_BYTES = 1024**3


class LmdbConsensusStore:
    """A durable map from key to value; implements `ConsensusStore`."""

    def __init__(self, folder: Path, mark: Path | None = None) -> None:
        """Open or create; `mark` is the file that tells how many writes there once were.

        Raises:
            Unavailable: LOCKED. Corrupt: STORAGE_DAMAGED, also for a store behind its mark.
        """
        self._mark = open_mark(mark, folder / DATA_FILE)
        self._environment = Environment(folder, (TABLE,), MAP_BYTES)
        self._table = self._environment.tables[TABLE]
        try:
            self._writes = self._count()
            self._check_mark()
        except BaseException:
            self.close()
            raise

    def save(self, key: bytes, value: bytes) -> None:
        """Store durably before it returns (one fdatasync)."""
        self.replace({key: value})

    def replace(self, entries: dict[bytes, bytes | None]) -> None:
        """Store or delete (None) several entries in one durable step."""
        writes = self._writes + 1
        count = writes.to_bytes(_COUNT_BYTES, "big")
        with self._environment.write() as transaction:
            transaction.put(_COUNT_KEY, seal(_COUNT_KEY, count), db=self._table)
            for key, value in entries.items():
                if value is None:
                    transaction.delete(key, db=self._table)
                else:
                    transaction.put(key, seal(key, value), db=self._table)
        self._writes = writes
        if self._mark is not None:
            self._mark.write(Mark(writes))

    def load(self) -> dict[bytes, bytes]:
        """Read everything."""
        transaction = self._environment.read()
        try:
            with transaction.cursor(db=self._table) as cursor:
                return {
                    bytes(key): unseal(TABLE, bytes(key), bytes(value))
                    for key, value in cursor
                    if bytes(key) != _COUNT_KEY
                }
        finally:
            transaction.abort()

    def close(self) -> None:
        """Close the environment."""
        self._environment.close()
        if self._mark is not None:
            self._mark.close()

    def _check_mark(self) -> None:
        known = None if self._mark is None else self._mark.mark
        if known is not None and self._writes < known.number:
            raise older("what consensus remembers", self._writes, known)

    def _count(self) -> int:
        transaction = self._environment.read()
        try:
            stored = transaction.get(_COUNT_KEY, db=self._table)
            if stored is None:
                return 0
            return int.from_bytes(unseal(TABLE, _COUNT_KEY, bytes(stored)), "big")
        finally:
            transaction.abort()

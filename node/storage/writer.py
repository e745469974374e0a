"""Writing sealed values into the tables of one write transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import lmdb

from node.storage.snapshot import HEAD_KEY, HEIGHT_BYTES
from node.storage.values import CHECKSUM_BYTES, damaged, seal, unseal


class Writer:
    """Puts sealed values into the tables of one write transaction."""

    def __init__(self, transaction: lmdb.Transaction, tables: Mapping[str, lmdb._Database]) -> None:
        self._transaction = transaction
        self._tables = tables

    def put(self, table: str, key: bytes, value: bytes) -> None:
        """Seal and store a value."""
        self._transaction.put(key, seal(key, value), db=self._tables[table])

    def setter(self, table: str) -> Callable[[bytes, bytes | None], None]:
        """Give a fast function that puts or deletes in one table."""
        database, put, delete = self._tables[table], self._transaction.put, self._transaction.delete

        def set_value(key: bytes, value: bytes | None) -> None:
            if value is None:
                delete(key, db=database)
            else:
                put(key, seal(key, value), db=database)

        return set_value

    def height(self) -> int:
        """Height of the last stored block."""
        raw = self._transaction.get(HEAD_KEY, db=self._tables["meta"])
        if raw is None:
            raise damaged("the database holds no chain")
        return int.from_bytes(bytes(raw)[-HEIGHT_BYTES:], "big")

    def get(self, table: str, key: bytes) -> bytes | None:
        """Read a value and check it."""
        raw = self._transaction.get(key, db=self._tables[table])
        return None if raw is None else unseal(table, key, bytes(raw))

    def take_first(self, table: str) -> tuple[bytes, int]:
        """Delete the entry with the lowest key of a table that has one; its key and size."""
        with self._transaction.cursor(db=self._tables[table]) as cursor:
            if not cursor.first():
                raise damaged(f"table {table} is empty")
            key, length = bytes(cursor.key()), len(cursor.value()) - CHECKSUM_BYTES
            cursor.delete()
        return key, length

    def clear(self, table: str) -> None:
        """Empty a table."""
        self._transaction.drop(self._tables[table], delete=False)

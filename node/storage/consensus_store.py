"""What consensus must not forget: a small durable map in an environment of its own.

Apart from the chain's, because LMDB has one writer an environment and a vote must not wait for
the flush of a block.
"""

from __future__ import annotations

from pathlib import Path

from node.storage.environment import Environment
from node.storage.values import seal, unseal

TABLE = "consensus"
MAP_BYTES = 1024**3


class LmdbConsensusStore:
    """A durable map from key to value; implements `ConsensusStore`."""

    def __init__(self, folder: Path) -> None:
        self._environment = Environment(folder, (TABLE,), MAP_BYTES)
        self._table = self._environment.tables[TABLE]

    def save(self, key: bytes, value: bytes) -> None:
        """Store durably before it returns (one fdatasync)."""
        with self._environment.write() as transaction:
            transaction.put(key, seal(key, value), db=self._table)

    def replace(self, entries: dict[bytes, bytes | None]) -> None:
        """Store or delete (None) several entries in one durable step."""
        with self._environment.write() as transaction:
            for key, value in entries.items():
                if value is None:
                    transaction.delete(key, db=self._table)
                else:
                    transaction.put(key, seal(key, value), db=self._table)

    def load(self) -> dict[bytes, bytes]:
        """Read everything."""
        transaction = self._environment.read()
        try:
            with transaction.cursor(db=self._table) as cursor:
                return {
                    bytes(key): unseal(TABLE, bytes(key), bytes(value)) for key, value in cursor
                }
        finally:
            transaction.abort()

    def close(self) -> None:
        """Close the environment."""
        self._environment.close()

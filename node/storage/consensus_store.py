"""What consensus must not forget: a small durable map in an environment of its own.

Apart from the chain's, because LMDB has one writer an environment and a vote must not wait for
the flush of a block.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from node.storage.environment import DATA_FILE, Environment, mapped
from node.storage.high_water import Mark, older, open_mark
from node.storage.values import CHECKSUM_BYTES, damaged, seal, unseal

TABLE = "consensus"
_TALLY_KEY = b"writes"
_NUMBER_BYTES = 8
_SUM_MODULUS = 2**64
MAP_BYTES = 1024**3


@dataclass(frozen=True, slots=True)
class Tally:
    """What was written: so many times, so many entries now, and the sum of their checksums."""

    writes: int = 0
    entries: int = 0
    sum: int = 0

    def after_write(self) -> Tally:
        """One write later, before its entries."""
        return Tally(self.writes + 1, self.entries, self.sum)

    def with_entry(self, stored: bytes) -> Tally:
        """With one more sealed entry."""
        return Tally(self.writes, self.entries + 1, (self.sum + _check(stored)) % _SUM_MODULUS)

    def without(self, stored: bytes) -> Tally:
        """Without a sealed entry."""
        return Tally(self.writes, self.entries - 1, (self.sum - _check(stored)) % _SUM_MODULUS)

    def to_bytes(self) -> bytes:
        """As it is stored."""
        numbers = (self.writes, self.entries, self.sum)
        return b"".join(number.to_bytes(_NUMBER_BYTES, "big") for number in numbers)


def tally_of(raw: bytes) -> Tally:
    """Read a tally.

    Raises:
        Corrupt: STORAGE_DAMAGED if it is none.
    """
    if len(raw) != 3 * _NUMBER_BYTES:
        raise damaged("what consensus remembers has no tally")
    starts = range(0, len(raw), _NUMBER_BYTES)
    return Tally(*(int.from_bytes(raw[at : at + _NUMBER_BYTES], "big") for at in starts))


def _check(stored: bytes) -> int:
    """The checksum in front of a sealed value, which covers its key, too."""
    return int.from_bytes(stored[:CHECKSUM_BYTES], "big")


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
            self._tally = self._read_tally()
            self._check_mark()
        except BaseException:
            self.close()
            raise

    def save(self, key: bytes, value: bytes) -> None:
        """Store durably before it returns (one fdatasync)."""
        self.replace({key: value})

    def replace(self, entries: dict[bytes, bytes | None]) -> None:
        """Store or delete (None) several entries in one durable step."""
        tally = self._tally.after_write()
        with self._environment.write() as transaction:
            for key, value in entries.items():
                before = transaction.get(key, db=self._table)
                if before is not None:
                    tally = tally.without(bytes(before))
                if value is None:
                    transaction.delete(key, db=self._table)
                else:
                    stored = seal(key, value)
                    tally = tally.with_entry(stored)
                    transaction.put(key, stored, db=self._table)
            transaction.put(_TALLY_KEY, seal(_TALLY_KEY, tally.to_bytes()), db=self._table)
        self._tally = tally
        if self._mark is not None:
            self._mark.write(Mark(tally.writes))

    def load(self) -> dict[bytes, bytes]:
        """Read everything.

        Raises:
            Corrupt: STORAGE_DAMAGED, also if an entry is missing or of an earlier time: a lost page
            leaves no trace in the entries that are still there.
        """
        found: dict[bytes, bytes] = {}
        tally = Tally(self._tally.writes)
        transaction = self._environment.read()
        try:
            with mapped(), transaction.cursor(db=self._table) as cursor:
                for raw_key, raw_value in cursor:
                    key, stored = bytes(raw_key), bytes(raw_value)
                    if key != _TALLY_KEY:
                        found[key] = unseal(TABLE, key, stored)
                        tally = tally.with_entry(stored)
        finally:
            transaction.abort()
        if tally != self._tally:
            raise damaged(
                f"what consensus remembers has {tally.entries} entries, and not the "
                f"{self._tally.entries} that were written"
            )
        return found

    def close(self) -> None:
        """Close the environment."""
        self._environment.close()
        if self._mark is not None:
            self._mark.close()

    def _check_mark(self) -> None:
        known = None if self._mark is None else self._mark.mark
        if known is not None and self._tally.writes < known.number:
            raise older("what consensus remembers", self._tally.writes, known)

    def _read_tally(self) -> Tally:
        transaction = self._environment.read()
        try:
            with mapped():
                stored = transaction.get(_TALLY_KEY, db=self._table)
        finally:
            transaction.abort()
        return Tally() if stored is None else tally_of(unseal(TABLE, _TALLY_KEY, bytes(stored)))

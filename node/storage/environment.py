"""The LMDB environment: opened once a process, default (durable) sync, errors mapped.

Any failed write or sync ends the environment: pages may be marked clean after a failed fsync, so
only a fresh process that re-reads the disk may go on (reliability reference 3.1).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import lmdb

from andon.core.errors import AndonError, Code, Corrupt, Unavailable
from node.disk import FULL_ERRORS, full, on_disk
from node.storage.durable import flush, make_folder
from node.storage.values import damaged

READERS_MAX = 126
DATA_FILE = "data.mdb"
BEGUN_FOLDER = "begun"
GROWTH = 4
FREE_BYTES_MIN = 1024 * 1024


class Environment:
    """One LMDB folder with its named tables."""

    def __init__(
        self, folder: Path, tables: Sequence[str], map_bytes: int, *, is_readonly: bool = False
    ) -> None:
        """Open or create; a map that is half full is made larger, here where nobody reads yet.

        Only `is_readonly` may be opened beside the process that writes.

        Raises:
            Unavailable: LOCKED or STORAGE_FULL. Corrupt: STORAGE_DAMAGED.
        """
        if not is_readonly:
            _make(folder)
        self.folder = folder
        self._is_failed = False
        with mapped():
            self._lmdb = lmdb.open(
                str(folder),
                map_size=grown_map(folder / DATA_FILE, map_bytes),
                max_dbs=len(tables),
                max_readers=READERS_MAX,
                max_spare_txns=8,
                subdir=True,
                readahead=False,
                mode=0o600,
                readonly=is_readonly,
            )
            self._lmdb.reader_check()
            self.tables = {
                name: self._lmdb.open_db(name.encode(), create=not is_readonly) for name in tables
            }

    @contextmanager
    def write(self) -> Iterator[lmdb.Transaction]:
        """Open the one write transaction; durable when the block ends, undone if it raises.

        Raises:
            Corrupt: STORAGE_FULL or STORAGE_DAMAGED; the process must end then.
        """
        if self._is_failed:
            raise damaged("an earlier write failed; the process must be started anew")
        try:
            with mapped(), self._lmdb.begin(write=True) as transaction:
                yield transaction
        except Corrupt as error:
            self._is_failed = True
            # LMDB calls a write that was cut short an I/O error; a disk that just became full
            # cuts writes short.
            if error.code is Code.STORAGE_DAMAGED and self._free_bytes() < FREE_BYTES_MIN:
                raise full(error.message) from None
            raise

    def read(self) -> lmdb.Transaction:
        """Begin a read transaction; the caller ends it with `abort`."""
        with mapped():
            return self._lmdb.begin()

    def reader_check(self) -> int:
        """Clear slots of dead readers; returns how many there were."""
        with mapped():
            count: int = self._lmdb.reader_check()
        return count

    def reader_lag(self) -> int:
        """How many commits ago the oldest open read began; its pages are not used again."""
        with mapped():
            info, table = self._lmdb.info(), self._lmdb.readers()
        # A head line, then `pid thread txnid` for each slot; a slot without a read has `-`.
        fields = [line.split() for line in table.splitlines()[1:]]
        begun = [int(field[2]) for field in fields if len(field) == 3 and field[2].isdecimal()]
        newest: int = info["last_txnid"]
        return max(0, newest - min(begun, default=newest))

    def size_bytes(self) -> int:
        """Bytes of the map in use."""
        with mapped():
            info, stat = self._lmdb.info(), self._lmdb.stat()
        used: int = (info["last_pgno"] + 1) * stat["psize"]
        return used

    def map_bytes(self) -> int:
        """Bytes that the map may grow to before the next start."""
        with mapped():
            size: int = self._lmdb.info()["map_size"]
        return size

    def _free_bytes(self) -> int:
        try:
            return shutil.disk_usage(self.folder).free
        except OSError:
            return FREE_BYTES_MIN

    def close(self) -> None:
        """Close; all transactions must have ended."""
        self._lmdb.close()


def _make(folder: Path) -> None:
    """Make folder and file, whole and with names that outlive a loss of power.

    LMDB flushes neither the names nor the first two pages of a new file: without this, a chain
    that was acknowledged could be gone with its file, or a torn file refuse every start.
    """
    if (folder / DATA_FILE).exists():
        return
    with mapped(), on_disk("the database"):
        begun = folder / BEGUN_FOLDER
        make_folder(begun)
        (begun / DATA_FILE).unlink(missing_ok=True)
        lmdb.open(str(begun), subdir=True, mode=0o600, lock=False).close()
        flush(begun / DATA_FILE)
        (begun / DATA_FILE).rename(folder / DATA_FILE)
        begun.rmdir()
        flush(folder)


def grown_map(data: Path, map_bytes: int) -> int:
    """Size of the map to open a file with: room for as much again, and twice that.

    A map must not grow while anybody reads (LMDB, `mdb_env_set_mapsize`); address space costs
    nothing until it is written. So it is taken ahead, at every start anew.
    """
    used = data.stat().st_size if data.exists() else 0
    return max(map_bytes, GROWTH * used)


@contextmanager
def mapped() -> Iterator[None]:
    """Turn LMDB's and the system's errors into ours."""
    try:
        yield
    except AndonError:
        raise
    except (lmdb.MapFullError, lmdb.DiskError) as error:
        raise full(str(error)) from None
    except (lmdb.LockError, lmdb.ReadersFullError) as error:
        raise Unavailable(
            Code.LOCKED,
            f"the data folder is in use: {error}",
            hint="stop the other process of this data folder",
        ) from None
    except lmdb.Error as error:
        if any(os.strerror(number) in str(error) for number in FULL_ERRORS):
            raise full(str(error)) from None
        raise damaged(f"LMDB: {error}") from None

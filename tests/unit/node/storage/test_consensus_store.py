"""What consensus remembers is all there, or the node says that it is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import lmdb
import pytest

from andon.core.errors import Code, Corrupt
from node.storage import LmdbConsensusStore
from node.storage.values import seal

ENTRIES = {b"k%d" % number: b"value %d" % number for number in range(5)}


def written(folder: Path) -> None:
    store = LmdbConsensusStore(folder)
    store.replace({**ENTRIES, b"gone": b"x"})
    store.replace({b"gone": None, b"k1": b"other"})
    store.save(b"k1", ENTRIES[b"k1"])
    store.close()


def loaded(folder: Path) -> dict[bytes, bytes]:
    store = LmdbConsensusStore(folder)
    try:
        return store.load()
    finally:
        store.close()


def alter(folder: Path, change: Callable[[lmdb.Transaction, object], object]) -> None:
    environment = lmdb.open(str(folder), max_dbs=1)
    table = environment.open_db(b"consensus")
    with environment.begin(write=True) as transaction:
        change(transaction, table)
    environment.close()


def test_what_was_written_replaced_and_deleted_comes_back(tmp_path: Path) -> None:
    written(tmp_path)
    assert loaded(tmp_path) == ENTRIES


@pytest.mark.parametrize(
    "change",
    [
        lambda transaction, table: transaction.delete(b"k3", db=table),
        lambda transaction, table: transaction.put(b"k3", seal(b"k3", b"older"), db=table),
        lambda transaction, table: transaction.put(b"gone", seal(b"gone", b"x"), db=table),
        lambda transaction, table: transaction.put(b"k3", seal(b"k2", ENTRIES[b"k2"]), db=table),
        lambda transaction, table: transaction.delete(b"writes", db=table),
        lambda transaction, table: transaction.put(b"writes", seal(b"writes", b"x"), db=table),
    ],
    ids=["lost", "older", "come back", "another's", "no tally", "bad tally"],
)
def test_an_entry_that_is_lost_or_of_another_time_is_noticed(
    tmp_path: Path, change: Callable[[lmdb.Transaction, object], object]
) -> None:
    written(tmp_path)
    alter(tmp_path, change)
    with pytest.raises(Corrupt) as caught:
        loaded(tmp_path)
    assert caught.value.code is Code.STORAGE_DAMAGED

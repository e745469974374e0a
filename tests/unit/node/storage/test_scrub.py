"""The scrub: a sound store passes, and what checksums cannot show is found."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import lmdb
import pytest

from andon.core.errors import Code, Corrupt
from node.checkout import CHECKOUT
from node.storage import ChainStore, scrub
from node.storage.snapshot import TABLES
from node.storage.values import seal
from node.testing.lab import Damage, LabChain, Memory, is_traceable

MAP_BYTES = 64 * 1024 * 1024
HEIGHTS = 6
IMAGES = 100
EMPTY_TABLES = ("predictions", "epochs")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sound store of a few blocks."""
    chain, path = LabChain(), tmp_path / "chain"
    store = ChainStore(path, MAP_BYTES)
    chain.open(store)
    for _ in range(HEIGHTS):
        with store.snapshot() as snapshot:
            block = chain.next_block(snapshot)
        store.append([block])
    store.close()
    return path


def scrubbed(folder: Path) -> int:
    store = ChainStore(folder, MAP_BYTES)
    try:
        with store.snapshot() as snapshot:
            return scrub(snapshot).height
    finally:
        store.close()


def alter(folder: Path, table: str, change: Callable[[lmdb.Cursor], None]) -> None:
    with lmdb.open(str(folder), map_size=MAP_BYTES, max_dbs=20) as raw:
        database = raw.open_db(table.encode())
        with raw.begin(write=True, db=database) as transaction, transaction.cursor() as cursor:
            change(cursor)


def test_a_sound_store_passes(folder: Path) -> None:
    assert scrubbed(folder) == HEIGHTS


@pytest.mark.parametrize("table", [name for name in TABLES if name not in EMPTY_TABLES])
def test_a_lost_entry_of_any_table_is_found(folder: Path, table: str) -> None:
    def lose_last(cursor: lmdb.Cursor) -> None:
        assert cursor.last()
        assert cursor.delete()

    alter(folder, table, lose_last)
    with pytest.raises(Corrupt) as caught:
        scrubbed(folder)
    assert caught.value.code is Code.STORAGE_DAMAGED


@pytest.mark.parametrize("table", ["blocks", "headers", "receipts", "state", "tree", "hashes"])
def test_another_entrys_value_under_a_right_checksum_is_found(folder: Path, table: str) -> None:
    def repeat(cursor: lmdb.Cursor) -> None:
        assert cursor.last()
        key = bytes(cursor.key())
        while bytes(cursor.key())[:2] == key[:2] and cursor.prev():
            if bytes(cursor.value())[4:] != b"":
                break
        other = bytes(cursor.value())[4:]
        cursor.put(key, seal(key, other))

    alter(folder, table, repeat)
    with pytest.raises(Corrupt):
        scrubbed(folder)


def test_a_head_of_an_earlier_time_is_found(folder: Path) -> None:
    earlier = (HEIGHTS - 1).to_bytes(8, "big")
    alter(folder, "meta", lambda cursor: cursor.put(b"head", seal(b"head", earlier)))
    with pytest.raises(Corrupt):
        scrubbed(folder)


def test_a_short_campaign_of_kills_and_damage_finds_nothing_lost_or_wrong() -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "scripts.storage_lab"),
            *(
                "--cycles",
                "40",
                "--damages",
                "6",
                "--images",
                str(IMAGES if is_traceable() else 0),
            ),
        ],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "kill -9: 40 cycles" in done.stdout
    assert done.stdout.count(" 0 wrong") == len(Damage) + len(Memory)
    assert " 0 not repaired" in done.stdout
    if is_traceable():
        assert f"power loss: {IMAGES} images" in done.stdout


def test_a_page_that_lmdb_itself_cannot_read_is_damage_and_not_a_crash(folder: Path) -> None:
    class Broken:
        def get(self, key: bytes, db: object) -> bytes:
            del key, db
            raise lmdb.PageNotFoundError("page is not there")

    store = ChainStore(folder, MAP_BYTES)
    with contextlib.closing(store), store.snapshot() as snapshot:
        sound = snapshot._transaction
        snapshot._transaction = Broken()  # type: ignore[assignment] # a transaction whose pages are gone
        try:
            for read in (
                lambda: snapshot.get(b"identity\0validators\0"),
                lambda: snapshot.tree_node(b""),
                lambda: snapshot.has_transaction(bytes(32)),
                lambda: snapshot.block(1),
            ):
                with pytest.raises(Corrupt) as caught:
                    read()
                assert caught.value.code is Code.STORAGE_DAMAGED
        finally:
            snapshot._transaction = sound

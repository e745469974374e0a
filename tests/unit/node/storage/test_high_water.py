"""How far a store once was: a store behind its mark is refused, and legal ways back are open."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from andon.core.errors import Code, Corrupt
from node.storage import ChainStore, ConsensusLog
from node.storage.high_water import SLOT_BYTES, HighWater, Mark
from node.testing.lab import LabChain

MAP_BYTES = 64 * 1024 * 1024


def grow(home: Path, count: int) -> int:
    """Open the chain of a home as a node does, add blocks, close; gives the height."""
    chain = LabChain()
    store = ChainStore(home / "chain", MAP_BYTES, mark=home / "chain_mark")
    try:
        chain.open(store)
        for _ in range(count):
            with store.snapshot() as snapshot:
                block = chain.next_block(snapshot)
            store.append([block])
        return store.head_height()
    finally:
        store.close()


def test_a_mark_comes_back_and_survives_one_spoiled_slot(tmp_path: Path) -> None:
    path = tmp_path / "mark"
    water = HighWater(path)
    assert water.mark is None
    for number in (1, 2, 3):
        water.write(Mark(number, bytes([number]) * 32))
    water.close()
    assert HighWater(path).mark == Mark(3, b"\3" * 32)
    content = bytearray(path.read_bytes())
    content[SLOT_BYTES * (3 % 2) + 20] ^= 1
    path.write_bytes(content)
    assert HighWater(path).mark == Mark(2, b"\2" * 32)
    path.write_bytes(bytes(len(content)))
    with pytest.raises(Corrupt) as caught:
        HighWater(path)
    assert caught.value.code is Code.STORAGE_DAMAGED


def test_a_chain_put_back_from_a_backup_is_refused_with_what_to_do(tmp_path: Path) -> None:
    grow(tmp_path, 3)
    shutil.copytree(tmp_path / "chain", tmp_path / "backup")
    grow(tmp_path, 1)
    shutil.rmtree(tmp_path / "chain")
    shutil.copytree(tmp_path / "backup", tmp_path / "chain")
    with pytest.raises(Corrupt) as caught:
        grow(tmp_path, 0)
    assert caught.value.code is Code.STORAGE_DAMAGED
    assert "move data/ away" in caught.value.hint
    assert caught.value.fields["found"] == 3
    assert caught.value.fields["expected"] == 4


def test_an_empty_database_in_place_of_a_chain_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other"
    grow(tmp_path, 2)
    ChainStore(other, MAP_BYTES).close()
    shutil.copyfile(other / "data.mdb", tmp_path / "chain" / "data.mdb")
    with pytest.raises(Corrupt):
        grow(tmp_path, 0)


def test_a_chain_ahead_of_its_mark_is_the_crash_between_the_two_writes(tmp_path: Path) -> None:
    grow(tmp_path, 3)
    before = (tmp_path / "chain_mark").read_bytes()
    grow(tmp_path, 1)
    (tmp_path / "chain_mark").write_bytes(before)
    assert grow(tmp_path, 1) == 5


def test_a_home_of_an_earlier_release_gets_its_mark_at_the_start(tmp_path: Path) -> None:
    grow(tmp_path, 3)
    (tmp_path / "chain_mark").unlink()
    assert grow(tmp_path, 0) == 3
    mark = HighWater(tmp_path / "chain_mark").mark
    assert mark is not None
    assert mark.number == 3


def test_a_chain_moved_away_on_purpose_begins_anew(tmp_path: Path) -> None:
    grow(tmp_path, 3)
    shutil.rmtree(tmp_path / "chain")
    assert grow(tmp_path, 0) == 0
    # Fetching anew was cut off: still no reason to refuse.
    assert grow(tmp_path, 1) == 1


def test_what_consensus_remembers_may_not_be_older_than_its_mark(tmp_path: Path) -> None:
    def remember(*values: bytes) -> dict[bytes, bytes]:
        store = ConsensusLog(tmp_path / "consensus", tmp_path / "votes_mark")
        try:
            for value in values:
                store.save(b"key", value)
            return store.load()
        finally:
            store.close()

    remember(b"1", b"2")
    shutil.copytree(tmp_path / "consensus", tmp_path / "backup")
    assert remember(b"3") == {b"key": b"3"}
    shutil.rmtree(tmp_path / "consensus")
    shutil.copytree(tmp_path / "backup", tmp_path / "consensus")
    with pytest.raises(Corrupt):
        remember()
    shutil.rmtree(tmp_path / "consensus")
    assert remember() == {}

"""What consensus remembers is all there, or the node says that it is not."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from andon.core.errors import Code, Corrupt
from node.storage import ConsensusLog, consensus_log
from node.storage.append_file import HEAD_BYTES, PAGE_BYTES

ENTRIES = {b"k%d" % number: b"value %d" % number for number in range(5)}
SMALL = 8 * PAGE_BYTES
"""Seven records."""


def small(folder: Path) -> ConsensusLog:
    return ConsensusLog(folder / "log", folder / "mark", file_bytes=SMALL)


def loaded(folder: Path) -> dict[bytes, bytes]:
    store = small(folder)
    try:
        return store.load()
    finally:
        store.close()


def write(folder: Path, first: int, last: int) -> None:
    """One entry a write; those of ten writes ago are deleted."""
    store = small(folder)
    for number in range(first, last + 1):
        store.replace({b"%d" % number: b"%d" % number, b"%d" % (number - 10): None})
    store.close()


def expected(last: int) -> dict[bytes, bytes]:
    return {b"%d" % number: b"%d" % number for number in range(max(1, last - 9), last + 1)}


def test_what_was_written_replaced_and_deleted_comes_back(tmp_path: Path) -> None:
    store = small(tmp_path)
    store.replace({**ENTRIES, b"gone": b"x"})
    store.replace({b"gone": None, b"k1": b"other", b"never": None})
    store.save(b"k1", ENTRIES[b"k1"])
    assert store.load() == ENTRIES
    store.close()
    assert loaded(tmp_path) == ENTRIES


def test_two_files_take_turns_and_grow_no_more(tmp_path: Path) -> None:
    for last in range(1, 60):
        write(tmp_path, last, last)
        assert loaded(tmp_path) == expected(last)
    sizes = [path.stat().st_size for path in sorted((tmp_path / "log").iterdir())]
    assert sizes == [SMALL, SMALL]


def test_files_are_as_large_as_what_is_remembered_needs_and_no_larger(tmp_path: Path) -> None:
    store = small(tmp_path)
    store.save(b"large", bytes(5 * SMALL))
    assert (tmp_path / "log" / "log.0").stat().st_size == 16 * SMALL
    assert loaded(tmp_path) == {b"large": bytes(5 * SMALL)}
    store.replace({b"large": None})
    for number in range(300):
        store.save(b"k", b"%d" % number)
    store.close()
    assert loaded(tmp_path) == {b"k": b"299"}
    sizes = [path.stat().st_size for path in sorted((tmp_path / "log").iterdir())]
    assert sizes == [SMALL, SMALL]


def test_more_than_it_may_hold_is_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consensus_log, "CONTENT_BYTES_MAX", 100)
    store = small(tmp_path)
    store.save(b"a", bytes(100))
    with pytest.raises(Corrupt) as caught:
        store.save(b"b", b"x")
    assert caught.value.code is Code.STORAGE_FULL
    store.close()
    assert loaded(tmp_path) == {b"a": bytes(100)}


@pytest.mark.parametrize("last", range(1, 24))
def test_a_loss_in_any_page_of_any_moment_is_noticed_or_harmless(tmp_path: Path, last: int) -> None:
    write(tmp_path, 1, last)
    files = {path: path.read_bytes() for path in (tmp_path / "log").iterdir()}
    noticed = 0
    for path, good in files.items():
        for at in range(0, len(good), PAGE_BYTES):
            path.write_bytes(good[:at] + bytes(PAGE_BYTES) + good[at + PAGE_BYTES :])
            try:
                found = loaded(tmp_path)
            except Corrupt:
                noticed += 1
                continue
            assert found == expected(last)
        path.write_bytes(good)
    # All records of the file in use, and the heads of both.
    assert noticed == (last - 1) % 7 + 1 + len(files)
    assert loaded(tmp_path) == expected(last)


@pytest.mark.parametrize("last", range(1, 24))
def test_without_the_mark_only_the_last_write_can_be_lost_unnoticed(
    tmp_path: Path, last: int
) -> None:
    """After a loss of power the mark may be behind: a torn write must not stop the node."""
    write(tmp_path, 1, last)
    (tmp_path / "mark").unlink()
    found = []
    for path in sorted((tmp_path / "log").iterdir()):
        good = path.read_bytes()
        for at in range(PAGE_BYTES, len(good), PAGE_BYTES):
            path.write_bytes(good[:at] + bytes(PAGE_BYTES) + good[at + PAGE_BYTES :])
            try:
                found.append(loaded(tmp_path))
            except Corrupt:
                continue
        path.write_bytes(good)
    assert found.count(expected(last - 1)) == 1
    assert all(item in (expected(last), expected(last - 1)) for item in found)


@pytest.mark.parametrize("last", [2, 7, 8, 9, 14, 15])
def test_a_torn_write_is_none_wherever_it_was_to_go(tmp_path: Path, last: int) -> None:
    write(tmp_path, 1, last - 1)
    mark = (tmp_path / "mark").read_bytes()
    write(tmp_path, last, last)
    (tmp_path / "mark").write_bytes(mark)
    path = tmp_path / "log" / f"log.{(last - 1) // 7 % 2}"
    content = bytearray(path.read_bytes())
    content[PAGE_BYTES * ((last - 1) % 7 + 1) + HEAD_BYTES] ^= 1
    path.write_bytes(content)
    assert loaded(tmp_path) == expected(last - 1)
    write(tmp_path, last, last + 20)
    assert loaded(tmp_path) == expected(last + 20)


def test_a_lost_file_is_noticed(tmp_path: Path) -> None:
    write(tmp_path, 1, 9)  # the second file is in use
    path = tmp_path / "log" / "log.1"
    good = path.read_bytes()
    path.unlink()
    with pytest.raises(Corrupt, match="stands at 7"):
        loaded(tmp_path)
    path.write_bytes(good)
    (tmp_path / "log" / "log.0").unlink()
    assert loaded(tmp_path) == expected(9)
    write(tmp_path, 10, 30)
    assert loaded(tmp_path) == expected(30)


@pytest.mark.parametrize("call", ["pwrite", "fdatasync"])
def test_after_a_write_that_failed_nothing_more_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    store = small(tmp_path)
    store.save(b"a", b"1")

    def refuse(*_: object) -> int:
        raise OSError(errno.EIO, "no")

    with monkeypatch.context() as patched:
        patched.setattr(os, call, refuse)
        with pytest.raises(Corrupt, match="refuses"):
            store.save(b"a", b"2")
    with pytest.raises(Corrupt, match="earlier write failed"):
        store.save(b"a", b"3")
    store.close()
    assert loaded(tmp_path) in ({b"a": b"1"}, {b"a": b"2"})


@pytest.mark.parametrize("dies_at", ["pwrite", "fsync"])
def test_a_crash_while_a_file_is_made_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies_at: str
) -> None:
    def die(*_: object) -> int:
        raise KeyboardInterrupt

    for last in (0, 7):
        store = small(tmp_path)
        with monkeypatch.context() as patched:
            patched.setattr(f"node.storage.append_file.os.{dies_at}", die)
            with pytest.raises(KeyboardInterrupt):
                store.save(b"more", b"x")
        assert loaded(tmp_path) == expected(last)
        write(tmp_path, last + 1, last + 7)


def test_the_database_of_an_earlier_release_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "data.mdb").write_bytes(b"x")
    with pytest.raises(Corrupt, match="earlier release") as caught:
        small(tmp_path)
    assert "one node after another" in caught.value.hint

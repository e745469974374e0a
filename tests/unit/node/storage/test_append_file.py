"""Records are appended; a torn last one is cut, and nothing else may look like an end."""

from __future__ import annotations

from pathlib import Path

import pytest

from andon.core.errors import Code, Corrupt
from node.storage.append_file import HEAD_BYTES, PAGE_BYTES, AppendFile

SIZE = 16 * PAGE_BYTES
RECORDS = [(7, b"a" * 10), (8, b"b" * PAGE_BYTES), (9, b"")]
"""The second takes two pages."""


def written(path: Path) -> bytes:
    file = AppendFile.create(path, SIZE)
    for sequence, content in RECORDS:
        file.append(sequence, content)
    file.close()
    return path.read_bytes()


def opened(path: Path, content: bytes | None = None) -> AppendFile:
    if content is not None:
        path.write_bytes(content)
    return AppendFile(path)


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def test_what_was_appended_comes_back_and_more_goes_behind_it(tmp_path: Path) -> None:
    written(tmp_path / "f")
    file = opened(tmp_path / "f")
    assert file.read() == RECORDS
    file.append(10, b"more")
    assert opened(tmp_path / "f").read() == [*RECORDS, (10, b"more")]
    assert file.newest() == 10


@pytest.mark.parametrize("at", [0, 8, HEAD_BYTES - 1, HEAD_BYTES, PAGE_BYTES])
def test_a_torn_last_record_is_cut_and_the_next_takes_its_place(tmp_path: Path, at: int) -> None:
    path = tmp_path / "f"
    good = written(path)
    file = opened(path)
    file.read()
    file.append(10, b"c" * (2 * PAGE_BYTES))
    torn = path.read_bytes()
    start = 5 * PAGE_BYTES
    file = opened(path, torn[: start + at] + good[start + at :])
    assert file.read() == RECORDS
    assert file.newest() <= 10
    file.append(10, b"other")
    assert opened(path).read() == [*RECORDS, (10, b"other")]


@pytest.mark.parametrize("at", [0, 9, 13, HEAD_BYTES, HEAD_BYTES + 9])
def test_damage_before_the_last_record_shows_by_what_lies_beyond(tmp_path: Path, at: int) -> None:
    path = tmp_path / "f"
    file = opened(path, flipped(written(path), PAGE_BYTES + at))
    assert file.read() == []
    assert file.newest() == 9


@pytest.mark.parametrize("at", [0, 20, 33, 43])
def test_a_spoiled_head_and_another_size_are_refused(tmp_path: Path, at: int) -> None:
    path = tmp_path / "f"
    good = written(path)
    for bad in (flipped(good, at), good[:-1], good + b"\0", b"", good[:40]):
        with pytest.raises(Corrupt, match="remembers is damaged") as caught:
            opened(path, bad)
        assert caught.value.code is Code.STORAGE_DAMAGED
        assert "leave keys/, sign_state" in caught.value.hint


def test_what_was_there_before_a_new_beginning_is_no_part_of_it(tmp_path: Path) -> None:
    written(tmp_path / "f")
    file = opened(tmp_path / "f")
    file.read()
    file.begin_anew()
    file.append(20, b"new")
    file = opened(tmp_path / "f")
    assert file.read() == [(20, b"new")]
    assert file.newest() == 20


def test_a_record_of_another_file_and_one_that_a_peer_made_are_none(tmp_path: Path) -> None:
    other = written(tmp_path / "other")
    file = AppendFile.create(tmp_path / "f", SIZE)
    # As content: what a peer has us store, with a record of its making at the start of a page.
    forged = other[PAGE_BYTES : 2 * PAGE_BYTES]
    file.append(1, bytes(PAGE_BYTES - HEAD_BYTES) + forged)
    assert file.newest() == 1
    content = (tmp_path / "f").read_bytes()
    file = opened(tmp_path / "f", content[: 3 * PAGE_BYTES] + other[3 * PAGE_BYTES :])
    assert [sequence for sequence, _ in file.read()] == [1]
    assert file.newest() == 1


def test_a_file_is_full_by_whole_pages(tmp_path: Path) -> None:
    file = AppendFile.create(tmp_path / "f", 3 * PAGE_BYTES)
    assert file.has_room(2 * PAGE_BYTES - HEAD_BYTES)
    assert not file.has_room(2 * PAGE_BYTES - HEAD_BYTES + 1)
    file.append(1, b"x")
    assert file.has_room(PAGE_BYTES - HEAD_BYTES)
    file.append(2, b"y")
    assert not file.has_room(0)
    assert (tmp_path / "f").stat().st_size == 3 * PAGE_BYTES

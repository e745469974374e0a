"""Blobs by digest: stored once, served in pieces, checked when read whole."""

from __future__ import annotations

import os
import resource
import time
import tracemalloc
from pathlib import Path

import pytest

from andon.core.errors import Code, Corrupt, InvalidInput, Unavailable
from andon.core.hashing import Domain, digest
from andon.core.pieces import PIECE_BYTES
from node.storage import BlobStore
from node.storage.blobs import PARTIALS_MAX, UPLOAD_REST_S

UNREADABLE = "/proc/self/mem"
"""Its first byte is not mapped: reading it is an input/output error."""


def test_a_blob_comes_back_by_its_digest(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    identity = store.put(b"weights")
    assert identity == digest(Domain.BLOB, b"weights") == store.put(b"weights")
    assert store.get(identity) == b"weights"
    assert store.has(identity)
    assert store.digests() == [identity]
    assert store.piece(identity, 2, 3) == (7, b"igh")
    assert store.piece(identity, 100, 3) == (7, b"")
    store.remove(identity)
    assert not store.has(identity)


def test_a_stray_file_in_the_folder_is_left_alone(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    identity = store.put(b"weights")
    strays = [tmp_path / "copy of model.blob", tmp_path / "ab.blob", tmp_path / "x.upload"]
    for path in strays:
        path.write_bytes(b"somebody's")
    later = time.time_ns() + 10**12
    assert store.digests() == store.older(later) == [identity]
    store.forget_uploads(later)
    assert all(path.exists() for path in strays)


def test_rot_is_found_and_absence_is_said(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    identity = store.put(b"weights")
    (tmp_path / f"{identity.hex()}.blob").write_bytes(b"wejghts")
    with pytest.raises(Corrupt):
        store.get(identity)
    for unknown in (bytes(32), b"short", b"../../etc/passwd"):
        with pytest.raises(InvalidInput) as caught:
            store.get(unknown)
        assert caught.value.code is Code.NOT_FOUND
        assert not store.has(unknown)


def test_what_the_disk_cannot_read_is_damage_and_can_be_mended(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    identity = store.put(b"weights")
    path = tmp_path / f"{identity.hex()}.blob"
    path.unlink()
    path.symlink_to(UNREADABLE)
    for read in (
        lambda: store.get(identity),
        lambda: store.piece(identity, 0, 7),
        lambda: store.leaves(identity),
        lambda: store.check(identity),
    ):
        with pytest.raises(Corrupt, match="cannot be read"):
            read()
    store.mend(b"weights")
    assert store.get(identity) == b"weights"


def test_an_upload_that_the_disk_cannot_read_is_dropped(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    identity = digest(Domain.BLOB, b"weights")
    (tmp_path / f"{identity.hex()}.upload").symlink_to(UNREADABLE)
    with pytest.raises(Unavailable) as caught:
        store.complete(identity)
    assert caught.value.code is Code.STORAGE_FULL
    assert store.append(identity, 0, b"weights") == store.complete(identity) == 7


def test_a_process_without_open_files_takes_no_sound_blob_for_damaged(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    identity = store.put(b"weights")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        with pytest.raises(Unavailable) as caught:
            store.get(identity)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert caught.value.code is Code.RATE_LIMITED


def test_a_disk_that_refuses_the_folder_is_named_as_the_storage(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Corrupt, match="blobs: the disk refuses") as caught:
        BlobStore(tmp_path / "file" / "blobs")
    assert caught.value.code is Code.STORAGE_DAMAGED


def test_leftovers_of_a_crash_are_removed(tmp_path: Path) -> None:
    part = tmp_path / "00.1.part"
    part.write_bytes(b"half")
    BlobStore(tmp_path)
    assert not part.exists()


def test_a_blob_that_comes_in_parts_goes_on_where_it_broke_off(tmp_path: Path) -> None:
    parts = [b"first ", b"second ", b"third"]
    blob = b"".join(parts)
    identity = digest(Domain.BLOB, blob)
    store = BlobStore(tmp_path)
    assert store.append(identity, 0, parts[0]) == 6
    # Killed, and opened again.
    store = BlobStore(tmp_path)
    assert (store.uploaded(identity), store.size(identity), store.has(identity)) == (6, 6, False)
    for offset in (0, 5, 7):
        with pytest.raises(InvalidInput, match="6 bytes are here"):
            store.append(identity, offset, parts[1])
    assert store.append(identity, 6, parts[1]) == 13
    with pytest.raises(InvalidInput) as caught:
        BlobStore(tmp_path / "other").complete(identity)
    assert caught.value.code is Code.NOT_FOUND
    store.append(identity, 13, parts[2])
    assert store.complete(identity) == len(blob) == store.complete(identity)
    assert store.get(identity) == blob
    assert store.check(identity) == len(blob)
    assert store.uploaded(identity) == 0


def test_parts_that_are_another_blob_are_dropped(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    identity = digest(Domain.BLOB, b"weights")
    store.append(identity, 0, b"wejghts")
    with pytest.raises(InvalidInput) as caught:
        store.complete(identity)
    assert caught.value.code is Code.DIGEST_MISMATCH
    assert (store.size(identity), store.has(identity)) == (0, False)


def test_many_small_uploads_do_not_push_out_a_large_one_that_goes_on(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    large = digest(Domain.BLOB, b"large")
    store.append(large, 0, b"lar")
    for number in range(PARTIALS_MAX - 1):
        store.append(digest(Domain.BLOB, b"%d" % number), 0, b"x")
    with pytest.raises(Unavailable) as caught:
        store.append(digest(Domain.BLOB, b"one more"), 0, b"x")
    assert caught.value.code is Code.BLOB_QUOTA
    assert "another node" in caught.value.hint
    assert store.append(large, 3, b"ge") == store.complete(large) == 5
    # It is whole, so there is room for another one.
    assert store.append(digest(Domain.BLOB, b"one more"), 0, b"x") == 1


def test_an_upload_that_rested_for_long_makes_room_for_a_new_one(tmp_path: Path) -> None:
    store = BlobStore(tmp_path, lambda: (UPLOAD_REST_S + 5) * 10**9)
    many = [digest(Domain.BLOB, b"%d" % number) for number in range(PARTIALS_MAX)]
    for number, identity in enumerate(many):
        store.append(identity, 0, b"x")
        touched_s = 5 if number == 3 else 6
        os.utime(tmp_path / f"{identity.hex()}.upload", (touched_s, touched_s))
    store.append(digest(Domain.BLOB, b"one more"), 0, b"x")
    assert [identity for identity in many if not store.uploaded(identity)] == [many[3]]
    with pytest.raises(Unavailable):
        store.append(digest(Domain.BLOB, b"yet another"), 0, b"x")


def test_a_blob_of_a_gibibyte_is_taken_checked_and_given_in_the_memory_of_a_piece(
    tmp_path: Path,
) -> None:
    size, last = 1024 * 1024 * 1024, b"the last part"
    # The digest of so many zeros and the last part, as computed once.
    identity = bytes.fromhex("ad7220f19332426780f9c2292f8d339fcaa2a25778201a5cec9e0f3f3ff10b2d")
    store = BlobStore(tmp_path)
    # Its first gibibyte has been sent; on disk it is a hole.
    with (tmp_path / f"{identity.hex()}.upload").open("wb") as file:
        file.truncate(size)
    tracemalloc.start()
    try:
        assert store.append(identity, size, last) == size + len(last)
        assert store.complete(identity) == size + len(last)
        assert store.piece(identity, size - 3, 100) == (size + len(last), b"\0\0\0" + last)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * PIECE_BYTES
    # What would need all of it in memory is refused.
    with pytest.raises(InvalidInput) as caught:
        store.get(identity)
    assert caught.value.code is Code.TOO_LARGE

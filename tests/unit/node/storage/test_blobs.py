"""Blobs by digest: stored once, served in pieces, checked when read whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from andon.core.errors import Code, Corrupt, InvalidInput
from andon.core.hashing import Domain, digest
from node.storage import BlobStore


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


def test_leftovers_of_a_crash_are_removed(tmp_path: Path) -> None:
    part = tmp_path / "00.1.part"
    part.write_bytes(b"half")
    BlobStore(tmp_path)
    assert not part.exists()

"""Blobs (model packages) as content-addressed files: the name is the digest of the content.

A blob is written to a temporary file, synced and renamed, so a file under its final name is whole;
reading it whole checks its digest, so rot is found before use. A blob that is still on its way from
peers grows as `<digest>.partial`, piece by piece, and survives a kill.
"""

from __future__ import annotations

import os
from pathlib import Path

from andon.core.errors import Code, InvalidInput, Unavailable
from andon.core.hashing import DIGEST_BYTES, Digest, Domain, digest
from andon.core.pieces import PIECE_BYTES, piece_digests, piece_proof
from node.storage.durable import flush, make_folder, replace_file
from node.storage.values import damaged

BLOB_BYTES_MAX = 256 * 1024 * 1024
LEAVES_KEPT_MAX = 8
PARTIALS_MAX = 16


class BlobStore:
    """A folder of blobs. Blocking: call it from a thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._leaves: dict[bytes, list[Digest]] = {}
        make_folder(folder)
        for leftover in folder.glob("*.part"):
            leftover.unlink()
        growing = sorted(folder.glob("*.partial"), key=lambda path: path.stat().st_mtime)
        for forgotten in growing[:-PARTIALS_MAX]:
            forgotten.unlink()

    def put(self, blob: bytes) -> Digest:
        """Store durably; storing the same content again changes nothing.

        Raises:
            InvalidInput: TOO_LARGE. Unavailable: STORAGE_FULL.
        """
        if len(blob) > BLOB_BYTES_MAX:
            raise InvalidInput(
                Code.TOO_LARGE, f"blob of {len(blob)} bytes exceeds {BLOB_BYTES_MAX}"
            )
        identity = digest(Domain.BLOB, blob)
        path = self._path(identity)
        if path.exists():
            return identity
        self._replace(path, blob)
        return identity

    def mend(self, blob: bytes) -> None:
        """Put sound content in the place of what is damaged.

        Raises:
            Unavailable: STORAGE_FULL.
        """
        self._replace(self._path(digest(Domain.BLOB, blob)), blob)

    def get(self, identity: bytes) -> bytes:
        """Read a whole blob and check it.

        Raises:
            InvalidInput: NOT_FOUND. Corrupt: STORAGE_DAMAGED.
        """
        try:
            blob = self._path(identity).read_bytes()
        except FileNotFoundError:
            raise _not_found(identity) from None
        if digest(Domain.BLOB, blob) != identity:
            raise damaged(f"blob {identity.hex()[:16]} does not fit its digest")
        return blob

    def piece(self, identity: bytes, offset: int, size: int) -> tuple[int, bytes]:
        """Read part of a blob, unchecked (the receiver checks the whole); also its total size.

        Raises:
            InvalidInput: NOT_FOUND.
        """
        try:
            with self._path(identity).open("rb") as file:
                total = file.seek(0, os.SEEK_END)
                file.seek(min(max(offset, 0), total))
                return total, file.read(max(size, 0))
        except FileNotFoundError:
            raise _not_found(identity) from None

    def proof(self, identity: bytes, index: int) -> bytes:
        """The Merkle proof of one piece of a blob (`andon.core.pieces`); leaves are kept for a few.

        Raises:
            InvalidInput: NOT_FOUND. Corrupt: STORAGE_DAMAGED.
        """
        leaves = self._leaves.get(identity)
        if leaves is None:
            leaves = piece_digests(self.get(identity))
            if len(self._leaves) >= LEAVES_KEPT_MAX:
                self._leaves.pop(next(iter(self._leaves)))
            self._leaves[identity] = leaves
        if not 0 <= index < len(leaves):
            raise _not_found(identity)
        return piece_proof(leaves, index)

    def pieces_here(self, identity: bytes) -> int:
        """How many whole pieces of an unfinished blob are on disk; a torn last one is cut off."""
        path = self._partial(identity)
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            return 0
        whole = size // PIECE_BYTES
        if size % PIECE_BYTES:
            os.truncate(path, whole * PIECE_BYTES)
        return whole

    def add_piece(self, identity: bytes, index: int, piece: bytes) -> None:
        """Append a proved piece durably.

        Raises:
            Unavailable: STORAGE_FULL.
        """
        try:
            with self._partial(identity).open("r+b" if index else "wb") as file:
                file.seek(index * PIECE_BYTES)
                file.write(piece)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise Unavailable(
                Code.STORAGE_FULL, f"piece cannot be stored: {error.strerror}", hint="free space"
            ) from None

    def finish(self, identity: bytes) -> bytes:
        """Take the pieces as the blob if they are it; otherwise drop them all.

        Raises:
            InvalidInput: DIGEST_MISMATCH. Unavailable: STORAGE_FULL.
        """
        path = self._partial(identity)
        blob = path.read_bytes()
        if digest(Domain.BLOB, blob) != identity:
            path.unlink()
            raise InvalidInput(
                Code.DIGEST_MISMATCH, f"the pieces are not blob {identity.hex()[:16]}; fetch again"
            )
        path.replace(self._path(identity))
        flush(self._folder)
        return blob

    def has(self, identity: bytes) -> bool:
        """Tell whether the blob is here."""
        return len(identity) == DIGEST_BYTES and self._path(identity).exists()

    def digests(self) -> list[Digest]:
        """Digests of all stored blobs, ascending."""
        return [Digest(bytes.fromhex(path.stem)) for path in sorted(self._folder.glob("*.blob"))]

    def remove(self, identity: bytes) -> None:
        """Forget a blob; nothing happens if it is not here."""
        self._path(identity).unlink(missing_ok=True)

    def _replace(self, path: Path, blob: bytes) -> None:
        try:
            replace_file(path, blob)
        except OSError as error:
            raise Unavailable(
                Code.STORAGE_FULL, f"blob cannot be stored: {error.strerror}", hint="free space"
            ) from None

    def _partial(self, identity: bytes) -> Path:
        return self._path(identity).with_suffix(".partial")

    def _path(self, identity: bytes) -> Path:
        if len(identity) != DIGEST_BYTES:
            raise _not_found(identity)
        return self._folder / f"{identity.hex()}.blob"


def _not_found(identity: bytes) -> InvalidInput:
    return InvalidInput(Code.NOT_FOUND, f"no blob {identity.hex()[:16]} is stored here")

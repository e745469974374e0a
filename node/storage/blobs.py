"""Blobs (packages, updates, states) as content-addressed files: the name is the content's digest.

A blob is written to a temporary file, synced and renamed, so a file under its final name is whole;
reading it whole checks its digest, so rot is found before use. A blob that is still on its way from
peers grows as `<digest>.partial`, proved piece by piece; one that a client sends in parts grows as
`<digest>.upload`, unproved, so that it cannot spoil the former; what shall replace a damaged one
grows as `<digest>.mend`, which no client can touch. All survive a kill. Whatever may be large is
read and checked a piece at a time.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Lock

from andon.core.errors import Code, InvalidInput, Unavailable
from andon.core.hashing import DIGEST_BYTES, Digest, Domain, digest, digest_of_parts
from node.disk import on_disk
from node.storage.blob_files import (
    BLOB_BYTES_MAX,
    WHOLE_BYTES_MAX,
    forget_oldest,
    full,
    not_found,
    pieces_of,
    reading,
    too_large,
    touched_ns,
    whole_pieces,
    write_piece,
)
from node.storage.durable import flush, make_folder, replace_file
from node.storage.values import damaged

_DIGEST_NAME = re.compile(f"[0-9a-f]{{{2 * DIGEST_BYTES}}}")
PARTIALS_MAX = 16
"""Blobs that are not whole yet, of each kind."""
UPLOAD_REST_S = 3600
"""An upload that got no part for so long may be forgotten for another one."""


class BlobStore:
    """A folder of blobs. Blocking: call it from a thread."""

    def __init__(self, folder: Path, now_ns: Callable[[], int] = time.time_ns) -> None:
        """Make the folder if it is missing, and remove what a crash left in it.

        Raises:
            Corrupt: STORAGE_DAMAGED or STORAGE_FULL if the disk refuses.
        """
        self._folder = folder
        self._now_ns = now_ns
        self._growing = Lock()
        self._ageing = Lock()
        """Held while a blob is found old and removed, or found here and made new."""
        self._checked: set[bytes] = set()
        with on_disk(folder.name):
            make_folder(folder)
            for leftover in folder.glob("*.part"):
                leftover.unlink()
            forget_oldest(folder, "*.partial", PARTIALS_MAX)
            forget_oldest(folder, "*.mend", PARTIALS_MAX)
            forget_oldest(folder, "*.upload", PARTIALS_MAX)

    def put(self, blob: bytes) -> Digest:
        """Store durably; storing the same content again only makes it new (see `older`).

        Raises:
            InvalidInput: TOO_LARGE. Unavailable: STORAGE_FULL.
        """
        if len(blob) > WHOLE_BYTES_MAX:
            raise too_large(len(blob))
        identity = digest(Domain.BLOB, blob)
        if not self._renew(identity):
            self._replace(self._path(identity), blob)
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
            InvalidInput: NOT_FOUND, TOO_LARGE. Corrupt: STORAGE_DAMAGED, also for what the disk
            cannot read. Unavailable: RATE_LIMITED if the process has no file to open.
        """
        with reading(identity), self._path(identity).open("rb") as file:
            if (size := os.fstat(file.fileno()).st_size) > WHOLE_BYTES_MAX:
                raise too_large(size)
            blob = file.read()
        if digest(Domain.BLOB, blob) != identity:
            raise damaged(f"blob {identity.hex()[:16]} does not fit its digest")
        return blob

    def piece(self, identity: bytes, offset: int, size: int) -> tuple[int, bytes]:
        """Read part of a blob, unchecked (the receiver checks the whole); also its total size.

        Raises:
            InvalidInput: NOT_FOUND. Corrupt: STORAGE_DAMAGED. Unavailable: RATE_LIMITED.
        """
        with reading(identity), self._path(identity).open("rb") as file:
            total = file.seek(0, os.SEEK_END)
            file.seek(min(max(offset, 0), total))
            return total, file.read(max(size, 0))

    def leaves(self, identity: bytes) -> list[Digest]:
        """The digests of a blob's pieces, from which proofs are made (`node/blob_proofs.py`).

        Cost: it is read and hashed once.

        Raises:
            InvalidInput: NOT_FOUND. Corrupt: STORAGE_DAMAGED. Unavailable: RATE_LIMITED.
        """
        leaves: list[Digest] = []
        self._check(identity, leaves)
        return leaves

    def size_of(self, identity: bytes) -> int:
        """Bytes of a whole blob.

        Raises:
            InvalidInput: NOT_FOUND. Corrupt: STORAGE_DAMAGED if the disk does not say.
        """
        with reading(identity):
            return self._path(identity).stat().st_size

    def pieces_here(self, identity: bytes) -> int:
        """How many whole pieces of an unfinished blob are on disk; a torn last one is cut off."""
        return whole_pieces(self._partial(identity))

    def add_piece(self, identity: bytes, index: int, piece: bytes) -> None:
        """Append a proved piece durably.

        Raises:
            Unavailable: STORAGE_FULL.
        """
        write_piece(self._partial(identity), index, piece)

    def finish(self, identity: bytes) -> bytes:
        """Take the pieces as the blob if they are it, and read it; otherwise drop them all.

        Raises:
            InvalidInput: DIGEST_MISMATCH, TOO_LARGE. Unavailable: STORAGE_FULL.
        """
        self._accept(self._partial(identity), identity)
        return self.get(identity)

    def mending(self, identity: bytes) -> int:
        """How many pieces are here of what shall replace a damaged blob."""
        return whole_pieces(self._mended(identity))

    def add_mending(self, identity: bytes, index: int, piece: bytes) -> None:
        """Append an unproved piece durably to it; `end_mending` checks the whole.

        Raises:
            Unavailable: STORAGE_FULL.
        """
        if not index:
            forget_oldest(self._folder, "*.mend", PARTIALS_MAX - 1)
        write_piece(self._mended(identity), index, piece)

    def end_mending(self, identity: bytes) -> int:
        """Put the pieces in the blob's place if they are it, else drop them; returns its size.

        Raises:
            InvalidInput: DIGEST_MISMATCH. Unavailable: STORAGE_FULL, also if there are no pieces.
        """
        return self._accept(self._mended(identity), identity)

    def uploaded(self, identity: bytes) -> int:
        """How many bytes of a blob that a client sends in parts are on disk."""
        try:
            return self._upload(identity).stat().st_size
        except FileNotFoundError:
            return 0

    def append(self, identity: bytes, offset: int, part: bytes) -> int:
        """Append a part durably at `offset`, where the last one ended; returns how much is here.

        Raises:
            InvalidInput: BAD_ARGUMENTS elsewhere, TOO_LARGE. Unavailable: STORAGE_FULL, BLOB_QUOTA
            if too many uploads are under way.
        """
        with self._growing:
            self._refuse_checked(identity)
            here = self.uploaded(identity)
            if offset != here:
                raise InvalidInput(
                    Code.BAD_ARGUMENTS,
                    f"a part at {offset}, and {here} bytes are here",
                    hint="go on where the node says that it is",
                )
            if offset + len(part) > BLOB_BYTES_MAX:
                raise too_large(offset + len(part))
            if not self._upload(identity).exists():
                self._make_room()
            try:
                with self._upload(identity).open("ab") as file:
                    file.write(part)
                    file.flush()
                    os.fsync(file.fileno())
            except OSError as error:
                # What was written of the part would be taken for a whole one.
                with contextlib.suppress(OSError):
                    os.truncate(self._upload(identity), here)
                raise full("part", error) from None
            return here + len(part)

    def size(self, identity: bytes) -> int:
        """How many bytes of a blob are here, whole or sent so far."""
        try:
            return self._path(identity).stat().st_size
        except FileNotFoundError:
            return self.uploaded(identity)

    def complete(self, identity: bytes) -> int:
        """Take what was sent as the blob if it is it, else drop it all; returns its size.

        Cost: it is read once, in the memory of a piece.

        Raises:
            InvalidInput: DIGEST_MISMATCH, NOT_FOUND if nothing was sent, BAD_ARGUMENTS if another
            check of it is under way. Unavailable: STORAGE_FULL.
        """
        upload = self._upload(identity)
        with self._growing:
            if not upload.exists():
                if self._renew(identity):
                    return self._path(identity).stat().st_size
                raise not_found(identity)
            self._refuse_checked(identity)
            # It is read without the lock, which parts of others need; no part may come to it now.
            self._checked.add(identity)
        try:
            return self._accept(upload, identity)
        finally:
            with self._growing:
                self._checked.discard(identity)

    def check(self, identity: bytes) -> int:
        """Read a blob a piece at a time and compare its digest; returns its size.

        Raises:
            InvalidInput: NOT_FOUND. Corrupt: STORAGE_DAMAGED. Unavailable: RATE_LIMITED.
        """
        return self._check(identity, [])

    def has(self, identity: bytes) -> bool:
        """Tell whether the blob is here."""
        return len(identity) == DIGEST_BYTES and self._path(identity).exists()

    def digests(self) -> list[Digest]:
        """Digests of all stored blobs, ascending."""
        return [Digest(bytes.fromhex(path.stem)) for path in sorted(self._files(".blob"))]

    def remove(self, identity: bytes) -> None:
        """Forget a blob; nothing happens if it is not here."""
        self._path(identity).unlink(missing_ok=True)

    def older(self, before_ns: int) -> list[Digest]:
        """Digests of the blobs that were last stored, or stored again, before a time."""
        return [
            Digest(bytes.fromhex(path.stem))
            for path in self._files(".blob")
            if 0 < touched_ns(path) < before_ns
        ]

    def remove_old(self, identity: bytes, before_ns: int) -> int | None:
        """Forget a blob if it is still as old; returns its size, None if it stays."""
        path = self._path(identity)
        with self._ageing:
            if not 0 < touched_ns(path) < before_ns:
                return None
            size = path.stat().st_size
            path.unlink()
        return size

    def forget_uploads(self, before_ns: int) -> None:
        """Forget what clients sent in parts and left before a time."""
        with self._growing:
            for path in self._files(".upload"):
                is_checked = bytes.fromhex(path.stem) in self._checked
                if not is_checked and 0 < touched_ns(path) < before_ns:
                    path.unlink(missing_ok=True)

    def _files(self, ending: str) -> Iterator[Path]:
        """Files named by a digest; what else lies in the folder is not ours."""
        found = self._folder.glob(f"*{ending}")
        return (path for path in found if _DIGEST_NAME.fullmatch(path.stem))

    def _renew(self, identity: bytes) -> bool:
        """Make a blob new, so that it is not taken for forgotten; False if it is not here."""
        with self._ageing:
            try:
                os.utime(self._path(identity))
            except FileNotFoundError:
                return False
            except OSError:  # a disk that takes no times: what is here is here
                return self.has(identity)
        return True

    def _accept(self, path: Path, identity: bytes) -> int:
        try:
            found = digest_of_parts(Domain.BLOB, pieces_of(path))
        except OSError as error:
            # What the disk does not give back is not worth keeping.
            path.unlink(missing_ok=True)
            raise full("blob", error) from None
        if found != identity:
            path.unlink()
            raise InvalidInput(
                Code.DIGEST_MISMATCH, f"the parts are not blob {identity.hex()[:16]}; start again"
            )
        try:
            size = path.stat().st_size
            with self._ageing:  # or it could take the place of an old one that is being removed
                path.replace(self._path(identity))
            flush(self._folder)
        except OSError as error:
            raise full("blob", error) from None
        return size

    def _check(self, identity: bytes, leaves: list[Digest]) -> int:
        size = 0

        def pieces() -> Iterator[bytes]:
            nonlocal size
            for piece in pieces_of(self._path(identity)):
                leaves.append(digest(Domain.LEAF, piece))
                size += len(piece)
                yield piece

        with reading(identity):
            found = digest_of_parts(Domain.BLOB, pieces())
        if found != identity:
            raise damaged(f"blob {identity.hex()[:16]} does not fit its digest")
        return size

    def _refuse_checked(self, identity: bytes) -> None:
        if identity in self._checked:
            raise InvalidInput(
                Code.BAD_ARGUMENTS,
                f"blob {identity.hex()[:16]} is being checked",
                hint="ask again how much of it is here",
            )

    def _make_room(self) -> None:
        """Forget the upload that has rested longest.

        One that goes on makes room for nobody: a few of a byte would drop what somebody sends for
        an hour.
        """
        uploads = sorted(self._files(".upload"), key=touched_ns)
        if len(uploads) < PARTIALS_MAX:
            return
        resting = [path for path in uploads if bytes.fromhex(path.stem) not in self._checked]
        if not resting or self._now_ns() - touched_ns(resting[0]) < UPLOAD_REST_S * 1_000_000_000:
            raise Unavailable(
                Code.BLOB_QUOTA,
                f"{len(uploads)} blobs in parts are under way here",
                hint="go on with one that was begun, publish to another node, or wait an hour",
            )
        resting[0].unlink(missing_ok=True)

    def _replace(self, path: Path, blob: bytes) -> None:
        try:
            replace_file(path, blob)
        except OSError as error:
            raise full("blob", error) from None

    def _partial(self, identity: bytes) -> Path:
        return self._path(identity).with_suffix(".partial")

    def _mended(self, identity: bytes) -> Path:
        return self._path(identity).with_suffix(".mend")

    def _upload(self, identity: bytes) -> Path:
        return self._path(identity).with_suffix(".upload")

    def _path(self, identity: bytes) -> Path:
        if len(identity) != DIGEST_BYTES:
            raise not_found(identity)
        return self._folder / f"{identity.hex()}.blob"

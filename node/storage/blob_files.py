"""The files of a folder of blobs: those that grow piece by piece, and what their errors mean."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from andon.core.errors import Code, InvalidInput, Unavailable
from andon.core.pieces import PIECE_BYTES
from node.storage.values import damaged

BLOB_BYTES_MAX = 4 * 1024 * 1024 * 1024
"""Of any blob. Bytes from an offset on are a part; a piece is a part of `PIECE_BYTES` that has a
proof; a chunk is a file of a snapshot."""
WHOLE_BYTES_MAX = 256 * 1024 * 1024
"""What is put or read at once, in memory; larger blobs come and go in parts."""

NO_DAMAGE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""Errors of reading that say nothing about the disk; a sound blob must not be removed for them."""


def whole_pieces(path: Path) -> int:
    """How many whole pieces of a file are on disk; a torn last one is cut off."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return 0
    whole = size // PIECE_BYTES
    if size % PIECE_BYTES:
        os.truncate(path, whole * PIECE_BYTES)
    return whole


def write_piece(path: Path, index: int, piece: bytes) -> None:
    """Write a piece durably at its place; the first one begins the file anew.

    Raises:
        Unavailable: STORAGE_FULL.
    """
    try:
        with path.open("r+b" if index else "wb") as file:
            file.seek(index * PIECE_BYTES)
            file.write(piece)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise full("piece", error) from None


def forget_oldest(folder: Path, pattern: str, kept: int) -> None:
    """Remove all files of a pattern but the youngest few."""
    growing = sorted(folder.glob(pattern), key=lambda path: path.stat().st_mtime)
    for forgotten in growing[: max(0, len(growing) - kept)]:
        forgotten.unlink()


def touched_ns(path: Path) -> int:
    """When a file was last written; 0 if it is gone."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:  # completed or removed meanwhile
        return 0


def pieces_of(path: Path) -> Iterator[bytes]:
    """Read a file piece by piece."""
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield piece


@contextlib.contextmanager
def reading(identity: bytes) -> Iterator[None]:
    """Say of an error of the disk what it is: peers have the blob, so it must not end a node."""
    try:
        yield
    except FileNotFoundError:
        raise not_found(identity) from None
    except OSError as error:
        if error.errno in NO_DAMAGE:
            raise Unavailable(
                Code.RATE_LIMITED, f"no blob can be read now: {error.strerror}", hint="try again"
            ) from None
        raise damaged(f"blob {identity.hex()[:16]} cannot be read: {error.strerror}") from None


def full(what: str, error: OSError) -> Unavailable:
    """Make the error for what the disk does not take."""
    return Unavailable(
        Code.STORAGE_FULL, f"{what} cannot be stored: {error.strerror}", hint="free space"
    )


def too_large(size: int) -> InvalidInput:
    """Make the error for what exceeds a blob's size."""
    return InvalidInput(
        Code.TOO_LARGE,
        f"blob of {size} bytes exceeds {WHOLE_BYTES_MAX} at once or {BLOB_BYTES_MAX} in all",
        hint="send and fetch it in parts",
    )


def not_found(identity: bytes) -> InvalidInput:
    """Make the error for a blob that is not here."""
    return InvalidInput(Code.NOT_FOUND, f"no blob {identity.hex()[:16]} is stored here")

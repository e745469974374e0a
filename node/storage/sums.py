"""Checksums of a portable state's files, piece by piece, so that no rotted byte is given to peers.

Whoever fetches a state proves it, and punishes the peer that gave what does not fit. A disk that
rots must not make an honest node a liar: each piece is checked before it leaves.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from zlib import crc32

from andon.core.codec import Record, decode, encode
from andon.core.errors import InvalidInput
from andon.core.pieces import PIECE_BYTES
from node.storage.values import damaged, seal, unseal

SUMS = "sums"
SUMS_BYTES_MAX = 64 * 1024 * 1024
FILES_MAX = 256 * 1024
_KEY = SUMS.encode()


class FileSums(Record, frozen=True):
    """Size of one file and the CRC-32 of each of its pieces."""

    name: str
    size: int
    pieces: tuple[int, ...]


class Sums(Record, frozen=True):
    """All files of one state."""

    files: tuple[FileSums, ...]


def write_file(path: Path, data: bytes) -> FileSums:
    """Write a file durably and give its checksums.

    Raises:
        OSError: the disk refuses.
    """
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    starts = range(0, len(data), PIECE_BYTES)
    pieces = tuple(crc32(memoryview(data)[at : at + PIECE_BYTES]) for at in starts)
    return FileSums(path.name, len(data), pieces)


def write_sums(folder: Path, files: Iterable[FileSums]) -> None:
    """Write the checksums of a folder's files; raises as `write_file`."""
    write_file(folder / SUMS, seal(_KEY, encode(Sums(tuple(files)))))


def read_sums(folder: Path) -> dict[str, FileSums]:
    """Read them, by name of the file.

    Raises:
        Corrupt: STORAGE_DAMAGED, also where there are none. OSError: the disk does not read.
    """
    try:
        stored = (folder / SUMS).read_bytes()
        sums = decode(Sums, unseal(SUMS, _KEY, stored), SUMS_BYTES_MAX)
    except FileNotFoundError:
        raise damaged("the snapshot has no checksums") from None
    except InvalidInput as error:
        raise damaged(f"checksums of the snapshot: {error.message}") from None
    return {file.name: file for file in sums.files[:FILES_MAX]}


def check_piece_of(file: FileSums, offset: int, piece: bytes) -> None:
    """Check one piece as it was read, at a multiple of the size of a piece.

    Raises:
        Corrupt: STORAGE_DAMAGED.
    """
    wanted = max(0, min(PIECE_BYTES, file.size - offset))
    index = offset // PIECE_BYTES
    is_sound = len(piece) == wanted and (not wanted or crc32(piece) == file.pieces[index])
    if not is_sound:
        raise damaged(f"piece {index} of {file.name} does not fit its checksum")

"""A preallocated file to whose end records are written, each with length, sequence and checksums.

Only the last record may be half there after a crash, for each is durable before the next begins: it
is cut, nobody was told of it. A sound head beyond that is a record whose predecessor is spoiled,
and that is damage. Records begin at pages, so that none shares a sector with an earlier one, and no
space or metadata is needed to write them. A file is begun anew from its first place; what is left
behind the new records has lower sequences. The name in the head page is random and goes into every
checksum: nothing that a peer makes us store can look like a record, nor one of another file.
"""

from __future__ import annotations

import os
import secrets
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

from andon.core.errors import Code, Corrupt
from node.disk import on_disk
from node.storage.durable import flush

PAGE_BYTES = 4096
"""The largest sector of a disk that is made."""
ZEROS_BYTES = 64 * 1024
"""Written at once: Linux counts the whole of what was written at once as written again later."""
_MAGIC = b"andon/records/1\0"
_NAME_BYTES = 16
_FILE_HEAD = struct.Struct(f">{len(_MAGIC)}s{_NAME_BYTES}sQ")
_HEAD = struct.Struct(">QII")
_CHECK = struct.Struct(">I")
HEAD_BYTES = _HEAD.size + _CHECK.size


@dataclass(frozen=True, slots=True)
class _Head:
    sequence: int
    size: int
    checksum: int


class AppendFile:
    """One file. One thread uses it at a time."""

    def __init__(self, path: Path) -> None:
        """Open a file that `create` made; `read` comes next.

        Raises:
            Corrupt: STORAGE_DAMAGED if its head is spoiled, or it has another size.
        """
        self._path = path
        self._end = PAGE_BYTES
        with on_disk(path.name):
            self._descriptor = os.open(path, os.O_RDWR)
            head = os.pread(self._descriptor, _FILE_HEAD.size + _CHECK.size, 0)
            found = os.fstat(self._descriptor).st_size
        body, check = head[: _FILE_HEAD.size], head[_FILE_HEAD.size :]
        if not body.startswith(_MAGIC) or _CHECK.pack(zlib.crc32(body)) != check:
            self.close()
            raise damaged_votes(f"the head of {path.name} is spoiled")
        _, name, size_bytes = _FILE_HEAD.unpack(body)
        self.size_bytes: int = size_bytes
        self._seed = zlib.crc32(name)
        if found != self.size_bytes:
            self.close()
            raise damaged_votes(f"{path.name} has {found} bytes, not {self.size_bytes}")

    @classmethod
    def create(cls, path: Path, size_bytes: int) -> AppendFile:
        """Make a file of so many bytes, or put it durably in the place of another.

        Raises:
            Corrupt: STORAGE_FULL or STORAGE_DAMAGED.
        """
        # Whole before it has its name: a crash must leave no file without a head.
        part = path.with_suffix(".part")
        head = _FILE_HEAD.pack(_MAGIC, secrets.token_bytes(_NAME_BYTES), size_bytes)
        with on_disk(path.name):
            descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                # Real zeros, not a hole: later writes must not need space or metadata.
                for at in range(0, size_bytes, ZEROS_BYTES):
                    _write(descriptor, bytes(min(ZEROS_BYTES, size_bytes - at)), at)
                _write(descriptor, head + _CHECK.pack(zlib.crc32(head)), 0)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            part.replace(path)
            flush(path.parent)
        return cls(path)

    def read(self) -> list[tuple[int, bytes]]:
        """Give sequence and content of all records that follow each other; what is next goes there.

        Raises:
            Corrupt: STORAGE_DAMAGED if the disk refuses.
        """
        found: list[tuple[int, bytes]] = []
        self._end = PAGE_BYTES
        while (head := self._head(self._end)) is not None:
            content = self._content(self._end, head)
            if content is None or (found and head.sequence != found[-1][0] + 1):
                break
            found.append((head.sequence, content))
            self._end += _pages(len(content))
        return found

    def newest(self) -> int:
        """Highest sequence in any sound head, wherever it lies; 0 without one."""
        heads = (self._head(at) for at in range(PAGE_BYTES, self.size_bytes, PAGE_BYTES))
        return max((head.sequence for head in heads if head is not None), default=0)

    def has_room(self, size_bytes: int) -> bool:
        """Tell whether a record of so many bytes fits behind the last one."""
        return self._end + _pages(size_bytes) <= self.size_bytes

    def begin_anew(self) -> None:
        """Write the next record to the first place."""
        self._end = PAGE_BYTES

    def append(self, sequence: int, content: bytes) -> None:
        """Write a record, durable when it returns (one fdatasync).

        Raises:
            Corrupt: STORAGE_DAMAGED or STORAGE_FULL; the process must end.
        """
        with on_disk(self._path.name):
            _write(self._descriptor, self._seal(sequence, content), self._end)
            os.fdatasync(self._descriptor)
        self._end += _pages(len(content))

    def close(self) -> None:
        """Close; twice is once."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _seal(self, sequence: int, content: bytes) -> bytes:
        head = _HEAD.pack(sequence, len(content), zlib.crc32(content, self._seed))
        return head + _CHECK.pack(zlib.crc32(head, self._seed)) + content

    def _head(self, at: int) -> _Head | None:
        with on_disk(self._path.name):
            raw = os.pread(self._descriptor, HEAD_BYTES, at)
        head, check = raw[: _HEAD.size], raw[_HEAD.size :]
        if _CHECK.pack(zlib.crc32(head, self._seed)) != check:
            return None
        return _Head(*_HEAD.unpack(head))

    def _content(self, at: int, head: _Head) -> bytes | None:
        with on_disk(self._path.name):
            content = os.pread(self._descriptor, head.size, at + HEAD_BYTES)
        is_sound = len(content) == head.size and zlib.crc32(content, self._seed) == head.checksum
        return content if is_sound else None


def needed_bytes(content_bytes: int) -> int:
    """Size of a file that has room for this one record."""
    return PAGE_BYTES + _pages(content_bytes)


def damaged_votes(reason: str) -> Corrupt:
    """Make the error for what consensus remembers, which nobody can repair."""
    return Corrupt(
        Code.STORAGE_DAMAGED,
        f"what consensus remembers is damaged: {reason}",
        hint="move data/ away, leave keys/, sign_state and the marks where they are, and "
        "start: the node fetches everything from its peers (docs/operator.md)",
    )


def _pages(content_bytes: int) -> int:
    return -(-(HEAD_BYTES + content_bytes) // PAGE_BYTES) * PAGE_BYTES


def _write(descriptor: int, data: bytes, at: int) -> None:
    if os.pwrite(descriptor, data, at) != len(data):
        raise damaged_votes("a write was cut short")

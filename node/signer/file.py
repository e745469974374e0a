"""The sign state on disk: two slots in one preallocated file, written in turn, each checksummed.

No rename once it exists, so no folder to flush: a torn write spoils one slot, and the other
still holds the state before, whose vote had not left yet. Any error of the disk is final: the
process must end.

Each slot is there twice, far apart. Rot cannot be told from a torn write, and if it took the newest
slot, the state before would be believed, though the vote behind the newest has left: the key would
contradict itself. So one spoiled place changes nothing, and is mended when the file is opened.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from andon.core.codec import decode, encode
from andon.core.errors import Code, Corrupt, InvalidInput
from node.disk import on_disk
from node.lock import locked
from node.signer.state import EMPTY, SignState

SLOT_BYTES = 16 * 1024
COPIES = 2
FILE_BYTES = 2 * COPIES * SLOT_BYTES
_MAGIC = b"andon/sign/1\0\0\0\0"
_HEAD_BYTES = len(_MAGIC) + 8 + 4 + 4


@dataclass(frozen=True, slots=True)
class Slot:
    """A sealed state as read back."""

    sequence: int
    state: SignState


class SignStateFile:
    """Owner of the file and of its lock; use as a context manager."""

    def __init__(self, path: Path, *, may_create: bool) -> None:
        """Open the file.

        `may_create` is for a chain that has no block yet: there, a missing file means "nothing
        was signed". On any other chain it means that what was signed is not known.

        Raises:
            Corrupt: STORAGE_DAMAGED if the file is missing or both slots are spoiled.
            Unavailable: LOCKED if another process has it.
        """
        self._path = path
        self._lock = locked(path.with_suffix(".lock"))
        self._lock.__enter__()
        try:
            with on_disk(path.name):
                self._descriptor = self._open(may_create=may_create)
            try:
                newest = self._newest()
            except BaseException:
                os.close(self._descriptor)
                raise
        except BaseException:
            self._lock.__exit__(None, None, None)
            raise
        self._sequence = newest.sequence
        self.state = newest.state

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def write(self, state: SignState) -> None:
        """Make a state durable before returning (one fdatasync).

        Raises:
            Corrupt: STORAGE_DAMAGED or STORAGE_FULL; nothing may be signed then.
        """
        sequence = self._sequence + 1
        self._put(sequence, state, _offsets(sequence))
        self._sequence, self.state = sequence, state

    def close(self) -> None:
        """Close the file and give the lock back."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            self._lock.__exit__(None, None, None)

    def _put(self, sequence: int, state: SignState, offsets: Iterable[int]) -> None:
        content = seal(sequence, state)
        with on_disk(self._path.name):
            for offset in offsets:
                if os.pwrite(self._descriptor, content, offset) != len(content):
                    raise _damaged(self._path, "a write was cut short")
            os.fdatasync(self._descriptor)

    def _open(self, *, may_create: bool) -> int:
        if self._path.exists():
            descriptor = os.open(self._path, os.O_RDWR)
            if (size := os.fstat(descriptor).st_size) != FILE_BYTES:
                os.close(descriptor)
                raise _damaged(self._path, f"it has {size} bytes, not {FILE_BYTES}")
            return descriptor
        if not may_create:
            raise Corrupt(
                Code.STORAGE_DAMAGED,
                f"{self._path.name} is missing, but the chain has blocks",
                hint="what this key signed is not known: docs/operator.md, 'The signer refuses'",
            )
        # Under another name until it is whole: a crash in between must leave no file, for one
        # without a slot is refused for ever.
        part = self._path.with_suffix(".part")
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        # Real zeros, not a hole: later writes must not need space or metadata.
        os.pwrite(descriptor, bytes(FILE_BYTES), 0)
        for offset in _offsets(0):
            os.pwrite(descriptor, seal(0, EMPTY), offset)
        os.fsync(descriptor)
        part.rename(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return descriptor

    def _newest(self) -> Slot:
        found = [slot for offset in range(0, FILE_BYTES, SLOT_BYTES) if (slot := self._at(offset))]
        if not found:
            raise _damaged(self._path, "both slots are spoiled")
        newest = max(found, key=lambda slot: slot.sequence)
        # Never the sound copy: torn in that, the vote behind it would be forgotten.
        spoiled = [at for at in _offsets(newest.sequence) if self._at(at) != newest]
        if spoiled:
            self._put(newest.sequence, newest.state, spoiled)
        return newest

    def _at(self, offset: int) -> Slot | None:
        with on_disk(self._path.name):
            return unseal(os.pread(self._descriptor, SLOT_BYTES, offset))


def _offsets(sequence: int) -> tuple[int, ...]:
    """Where the copies of a slot lie: as far apart as the file lets them."""
    return tuple(SLOT_BYTES * (sequence % 2 + 2 * copy) for copy in range(COPIES))


def seal(sequence: int, state: SignState) -> bytes:
    """Give the bytes of a slot."""
    payload = encode(state)
    if _HEAD_BYTES + len(payload) > SLOT_BYTES:
        raise AssertionError("ENTRIES_MAX keeps a state far below SLOT_BYTES")
    head = _MAGIC + sequence.to_bytes(8, "big") + len(payload).to_bytes(4, "big")
    return head + zlib.crc32(head + payload).to_bytes(4, "big") + payload


def unseal(content: bytes) -> Slot | None:
    """Read a slot; None if it is empty or spoiled."""
    head = content[: _HEAD_BYTES - 4]
    if not head.startswith(_MAGIC) or len(content) < _HEAD_BYTES:
        return None
    sequence = int.from_bytes(head[len(_MAGIC) : len(_MAGIC) + 8], "big")
    length = int.from_bytes(head[-4:], "big")
    payload = content[_HEAD_BYTES : _HEAD_BYTES + length]
    checksum = int.from_bytes(content[_HEAD_BYTES - 4 : _HEAD_BYTES], "big")
    if len(payload) != length or zlib.crc32(head + payload) != checksum:
        return None
    try:
        return Slot(sequence, decode(SignState, payload))
    except InvalidInput:
        return None


def _damaged(path: Path, reason: str) -> Corrupt:
    return Corrupt(
        Code.STORAGE_DAMAGED,
        f"{path.name}: {reason}",
        hint="stop the node; never copy a sign state from a backup (docs/operator.md)",
    )

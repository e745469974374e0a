"""How far a store once was, written down outside of it: what a store cannot know of itself.

A page that was lost, or a folder put back from a backup, can leave a store that is sound and yet
older than what this node acknowledged and signed upon. The mark lies in a file of its own beside
the sign state. It is written after the store's own durable write and before anybody hears of it,
so a mark is never ahead of a sound store; nothing waits for its flush but every `SYNC_EVERY`th
time, so after a power loss it may be a little behind, which is harmless.
"""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass
from pathlib import Path

from andon.core.errors import Code, Corrupt
from andon.core.hashing import DIGEST_BYTES, ZERO_DIGEST
from node.disk import on_disk
from node.storage.durable import flush
from node.storage.values import damaged

SLOT_BYTES = 512
"""One sector: a torn write spoils one slot of the two."""
SYNC_EVERY = 64
_MAGIC = b"andon/mark/1\0\0\0\0"
_NUMBER_BYTES = 8
_CHECK_BYTES = 4
_BODY_BYTES = len(_MAGIC) + 2 * _NUMBER_BYTES + DIGEST_BYTES


@dataclass(frozen=True, slots=True)
class Mark:
    """A number that only grows (a height, or a count of writes) and the hash that stands there."""

    number: int
    digest: bytes = ZERO_DIGEST


class HighWater:
    """One mark on disk. One thread writes at a time."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it on the first `write`.

        Raises:
            Corrupt: STORAGE_DAMAGED if the file holds no readable mark.
        """
        self._path = path
        self._sequence = 0
        self._descriptor = -1
        self.mark: Mark | None = None
        """None if nothing was written yet, as in a home of an earlier release."""
        if path.exists():
            self._descriptor = os.open(path, os.O_RDWR)
            self._sequence, self.mark = self._newest()

    def write(self, mark: Mark) -> None:
        """Replace the mark; whether it may go back is for the caller to know.

        Raises:
            Corrupt: STORAGE_DAMAGED or STORAGE_FULL; the process must end.
        """
        sequence = self._sequence + 1
        with on_disk(self._path.name):
            if self._descriptor < 0:
                self._create()
            content = _seal(sequence, mark)
            if os.pwrite(self._descriptor, content, SLOT_BYTES * (sequence % 2)) != len(content):
                raise damaged(f"{self._path.name}: a write was cut short")
            if sequence % SYNC_EVERY == 0:
                os.fdatasync(self._descriptor)
        self._sequence, self.mark = sequence, mark

    def reset(self) -> None:
        """Go back to nothing, durably, for a store that is begun anew on purpose."""
        if self.mark is not None and self.mark != Mark(0):
            self.write(Mark(0))
            os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Flush and close; twice is once."""
        if self._descriptor >= 0:
            os.fdatasync(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def _create(self) -> None:
        # Whole before it has its name: a crash must not leave a file without a mark.
        part = self._path.with_suffix(".part")
        self._descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        os.pwrite(self._descriptor, bytes(2 * SLOT_BYTES), 0)
        os.pwrite(self._descriptor, _seal(0, Mark(0)), 0)
        os.fsync(self._descriptor)
        part.rename(self._path)
        flush(self._path.parent)

    def _newest(self) -> tuple[int, Mark]:
        found = [
            slot
            for index in range(2)
            if (slot := _unseal(os.pread(self._descriptor, SLOT_BYTES, SLOT_BYTES * index)))
        ]
        if not found:
            os.close(self._descriptor)
            raise Corrupt(
                Code.STORAGE_DAMAGED,
                f"{self._path.name} holds no readable mark",
                hint="`python -m node --home DIR --check` after moving this file away, and only if "
                "the height it shows is that of the network's last hours, start without the file",
            )
        return max(found, key=lambda slot: slot[0])


def open_mark(mark: Path | None, *data: Path) -> HighWater | None:
    """Open the mark of the store that lies in `data`; where nothing does, both begin anew.

    Raises:
        Corrupt: STORAGE_DAMAGED.
    """
    if mark is None:
        return None
    found = HighWater(mark)
    if not any(path.exists() for path in data):
        found.reset()
    return found


def older(name: str, found: int, mark: Mark) -> Corrupt:
    """Make the error for a store that is behind its mark, or on another branch."""
    return Corrupt(
        Code.STORAGE_DAMAGED,
        f"{name} stands at {found}, but this node was at {mark.number} "
        f"({mark.digest.hex()[:16]}) before: it is older, or another one",
        hint="move data/ away, leave keys/, sign_state and the marks where they are, and start: "
        "the node fetches everything from its peers; or `andon snapshot restore` first "
        "(docs/operator.md, 'Storage is damaged')",
        found=found,
        expected=mark.number,
    )


def _seal(sequence: int, mark: Mark) -> bytes:
    body = (
        _MAGIC
        + sequence.to_bytes(_NUMBER_BYTES, "big")
        + mark.number.to_bytes(_NUMBER_BYTES, "big")
        + mark.digest
    )
    return body + zlib.crc32(body).to_bytes(_CHECK_BYTES, "big")


def _unseal(content: bytes) -> tuple[int, Mark] | None:
    body = content[:_BODY_BYTES]
    checksum = content[_BODY_BYTES : _BODY_BYTES + _CHECK_BYTES]
    if not body.startswith(_MAGIC) or zlib.crc32(body).to_bytes(_CHECK_BYTES, "big") != checksum:
        return None
    at = len(_MAGIC)
    sequence = int.from_bytes(body[at : at + _NUMBER_BYTES], "big")
    number = int.from_bytes(body[at + _NUMBER_BYTES : at + 2 * _NUMBER_BYTES], "big")
    return sequence, Mark(number, body[at + 2 * _NUMBER_BYTES :])

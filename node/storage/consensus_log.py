"""What consensus must not forget: a small durable map, kept as a log of its changes.

Apart from the chain's database: a vote waits for one flush here and must not wait for a block's.
Two files take turns. One begins with the whole map and goes on with changes; when it is full, the
other one is begun with the whole map, and what the first one holds is needed no more. So the size
on disk is bounded by what is remembered, and what is remembered by consensus (R20).
"""

from __future__ import annotations

from pathlib import Path

from andon.core.codec import Record, decode, encode
from andon.core.errors import Code, Corrupt, InvalidInput
from node.disk import full, on_disk
from node.storage.append_file import AppendFile, damaged_votes, needed_bytes
from node.storage.durable import make_folder
from node.storage.high_water import Mark, older, open_mark

FILES = ("log.0", "log.1")
FILE_BYTES = 4 * 1024 * 1024
CONTENT_BYTES_MAX = 1024**3
"""Of all that is remembered: a few blocks and certificates, if consensus does what it should."""
_EARLIER = "data.mdb"


class Changes(Record, frozen=True):
    """Keys with what stands there now; None if it is deleted."""

    keys: tuple[bytes, ...]
    values: tuple[bytes | None, ...]


class ConsensusLog:
    """A durable map from key to value; implements `ConsensusStore`."""

    def __init__(
        self, folder: Path, mark: Path | None = None, *, file_bytes: int = FILE_BYTES
    ) -> None:
        """Open, or begin where nothing is; `mark` is the file that counts the writes.

        `file_bytes` is the least size of a file; one that is begun later may have another.

        Raises:
            Corrupt: STORAGE_DAMAGED, also for a log behind its mark or of an earlier release.
        """
        _refuse_earlier(folder)
        self._paths = [folder / name for name in FILES]
        self._file_bytes = file_bytes
        self._mark = open_mark(mark, *self._paths)
        with on_disk("what consensus remembers"):
            make_folder(folder)
        self._files: list[AppendFile | None] = [None, None]
        self._current = 1
        """So that the file with index 0 is begun first."""
        self._entries: dict[bytes, bytes] = {}
        self._size_bytes = 0
        self._sequence = 0
        self._is_failed = False
        try:
            self._open()
            self._check_mark()
        except BaseException:
            self.close()
            raise

    def save(self, key: bytes, value: bytes) -> None:
        """Store durably before it returns."""
        self.replace({key: value})

    def replace(self, entries: dict[bytes, bytes | None]) -> None:
        """Store or delete (None) several entries in one durable step (one fdatasync).

        Raises:
            Corrupt: STORAGE_FULL or STORAGE_DAMAGED; the process must end then.
        """
        if self._is_failed:
            raise damaged_votes("an earlier write failed; the process must be started anew")
        self._is_failed = True  # until it is done
        sequence = self._sequence + 1
        changes = encode(Changes(tuple(entries), tuple(entries.values())))
        self._apply(entries)
        if self._size_bytes > CONTENT_BYTES_MAX:
            raise full(f"consensus remembers more than {CONTENT_BYTES_MAX} bytes")
        file = self._files[self._current]
        if file is not None and file.has_room(len(changes)):
            file.append(sequence, changes)
        else:
            self._swap(sequence)
        self._sequence = sequence
        if self._mark is not None:
            self._mark.write(Mark(sequence))
        self._is_failed = False

    def load(self) -> dict[bytes, bytes]:
        """Give everything."""
        return dict(self._entries)

    def close(self) -> None:
        """Close the files."""
        for file in self._files:
            if file is not None:
                file.close()
        if self._mark is not None:
            self._mark.close()

    def _swap(self, sequence: int) -> None:
        """Begin the other file with the whole map. Until that is durable, this one counts."""
        whole = encode(Changes(tuple(self._entries), tuple(self._entries.values())))
        wanted = self._file_bytes
        while wanted < 2 * needed_bytes(len(whole)):
            wanted *= 2
        other = 1 - self._current
        file = self._files[other]
        if file is None or file.size_bytes != wanted:
            if file is not None:
                file.close()
            file = self._files[other] = AppendFile.create(self._paths[other], wanted)
        file.begin_anew()
        file.append(sequence, whole)
        self._current = other

    def _open(self) -> None:
        found: list[list[tuple[int, bytes]]] = [[], []]
        for index, path in enumerate(self._paths):
            if path.exists():
                file = self._files[index] = AppendFile(path)
                found[index] = file.read()
        self._current = max((1, 0), key=lambda index: found[index][-1][0] if found[index] else 0)
        for sequence, content in found[self._current]:
            self._apply(_changes_of(content))
            self._sequence = sequence
        # A record that is half there was the last, and nobody heard of it. One behind it shows that
        # it was not the last: it is spoiled, or its file is of another time.
        newest = max((file.newest() for file in self._files if file is not None), default=0)
        if newest > self._sequence + 1:
            raise damaged_votes(f"write {self._sequence + 1} of {newest} is spoiled")

    def _apply(self, entries: dict[bytes, bytes | None]) -> None:
        for key, value in entries.items():
            self._size_bytes -= len(self._entries.pop(key, b""))
            if value is not None:
                self._entries[key] = value
                self._size_bytes += len(value)

    def _check_mark(self) -> None:
        known = None if self._mark is None else self._mark.mark
        if known is not None and self._sequence < known.number:
            raise older("what consensus remembers", self._sequence, known)


def _changes_of(content: bytes) -> dict[bytes, bytes | None]:
    try:
        changes = decode(Changes, content, 2 * CONTENT_BYTES_MAX)
        return dict(zip(changes.keys, changes.values, strict=True))
    except (InvalidInput, ValueError) as error:
        raise damaged_votes(f"a record cannot be read: {error}") from None


def _refuse_earlier(folder: Path) -> None:
    if (folder / _EARLIER).exists():
        raise Corrupt(
            Code.STORAGE_DAMAGED,
            f"{folder.name}/{_EARLIER} was written by an earlier release",
            hint="while the other validators run, move data/consensus/ and votes_mark away, leave "
            "keys/ and sign_state where they are, and start; one node after another "
            "(docs/operator.md)",
        )

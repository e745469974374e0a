"""What a plant must not forget: one file a round and attempt, replaced atomically and synced.

The secret of an attempt and the encoded update are on disk before anything derived from them
leaves. After a kill the plant says exactly the same again; if the journal is lost it must sit the
attempt out, which the ledger sees as a dropout.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from andon.core.codec import Record, decode, encode
from andon.core.errors import Code, Corrupt, InvalidInput, Misuse, Unavailable
from models.durable import SECRET_MODE, flush_folder, replace_file

_MAGIC = b"andon-fl-journal-2\n"
SECRET_BYTES = 32


class Entry(Record, frozen=True):
    """One attempt of one round. `update` is the encoded update in plain units, empty until made.

    `frozen` are the survivors for which shares were revealed, empty until then; it never
    changes afterwards. `rho` is the privacy that the update cost, in micro-rho. `received` is
    the update of the plant whose model wandered here, empty until then. `norm` is the length of
    the update before the round's bound shortened it, in units.
    """

    run: str
    round: int
    attempt: int
    secret: bytes
    update: bytes
    rho: int
    frozen: tuple[bytes, ...]
    received: bytes = b""
    norm: int = 0


@contextmanager
def open_journal(folder: Path) -> Iterator[Journal]:
    """The journal in a folder, for this process alone: two would mask two updates by one secret.

    Raises:
        Unavailable: LOCKED while another process has it.
    """
    journal = Journal(folder)
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, SECRET_MODE)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Unavailable(
                Code.LOCKED,
                f"another process takes part with the journal {folder}",
                hint="stop it first: a plant runs once",
            ) from None
        yield journal
    finally:
        os.close(descriptor)


class Journal:
    """The plant's folder of one run, for one process: `open_journal` keeps others away."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        self._folder = folder

    @property
    def folder(self) -> Path:
        """Where it lies; what else the plant must not forget lies beside it."""
        return self._folder

    def load(self, run: str, number: int, attempt: int) -> Entry | None:
        """Read an attempt, or None if this plant has no part in it.

        Raises:
            Corrupt: STORAGE_DAMAGED for a file that is not what was written.
        """
        path = self._path(number, attempt)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            entry = decode(Entry, content.removeprefix(_MAGIC), size_max=2**31)
        except InvalidInput as error:
            raise Corrupt(
                Code.STORAGE_DAMAGED,
                f"{path.name} is damaged: {error.message}",
                hint="move the file away; the plant then sits this attempt out",
            ) from None
        if not content.startswith(_MAGIC) or (entry.run, entry.round) != (run, number):
            raise Corrupt(Code.STORAGE_DAMAGED, f"{path.name} belongs to another run")
        return entry

    def save(self, entry: Entry) -> None:
        """Write an attempt durably.

        Raises:
            Misuse: BAD_ARGUMENTS if it would change a secret, an update or a survivor set that
                is already on disk.
        """
        before = self.load(entry.run, entry.round, entry.attempt)
        if before is not None and (
            before.secret != entry.secret
            or before.update not in (b"", entry.update)
            or before.frozen not in ((), entry.frozen)
            or before.received not in (b"", entry.received)
        ):
            raise Misuse(Code.BAD_ARGUMENTS, "a journal entry is never rewritten")
        path = self._path(entry.round, entry.attempt)
        replace_file(path, _MAGIC + encode(entry), SECRET_MODE)

    def forget(self, number: int) -> None:
        """Wipe the attempts of rounds up to `number`: their masks are no longer needed."""
        for path in self._folder.glob("round-*.journal"):
            if int(path.name.split("-")[1]) <= number:
                path.unlink(missing_ok=True)
        flush_folder(self._folder)

    def wipe(self) -> None:
        """Forget everything: the run has ended, and its secrets would only tell about updates."""
        for path in self._folder.glob("round-*.journal*"):
            path.unlink(missing_ok=True)
        flush_folder(self._folder)

    def _path(self, number: int, attempt: int) -> Path:
        return self._folder / f"round-{number:08d}-{attempt}.journal"

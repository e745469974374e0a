"""What this validator committed to: salt and output of each open request, durable before sent.

A float model may give other bits after a restart; without the journal a member could not reveal.
Each file has a checksum over its number and content: what rotted is none, and never another output.
"""

from __future__ import annotations

from pathlib import Path

import structlog

from andon.core.codec import Value, decode_value, encode_value
from andon.core.errors import Corrupt, InvalidInput
from node.storage.durable import make_folder, replace_file
from node.storage.values import seal, unseal

SUFFIX = ".commit"
ENTRIES_MAX = 4096

log = structlog.get_logger()


class AttestationJournal:
    """One small file a request in a folder (blocking)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, number: int) -> tuple[bytes, tuple[int, ...]] | None:
        """Salt and output that were committed to; None if there are none, or they are damaged."""
        value, reason = self._read(number)
        if reason:
            log.error("attestation.journal_damaged", request=number, reason=reason[:200])
        if not isinstance(value, list) or len(value) != 2:
            return None
        salt, listed = value
        if not isinstance(salt, bytes) or not isinstance(listed, list):
            return None
        output = tuple(item for item in listed if isinstance(item, int))
        return (salt, output) if len(output) == len(listed) else None

    def _read(self, number: int) -> tuple[Value, str]:
        """The content of a file, None without one; and what is wrong with it, "" if nothing."""
        try:
            stored = self._path(number).read_bytes()
            return decode_value(unseal("attestations", _key(number), stored)), ""
        except FileNotFoundError:
            return None, ""
        except (OSError, InvalidInput, Corrupt) as error:
            return None, str(error)

    def save(self, number: int, salt: bytes, output: tuple[int, ...]) -> None:
        """Keep them, flushed to disk."""
        make_folder(self._folder)
        listed: Value = [salt, [*output]]
        replace_file(self._path(number), seal(_key(number), encode_value(listed)))

    def keep_only(self, numbers: set[int]) -> None:
        """Forget requests that are decided."""
        if not self._folder.is_dir():
            return
        for path in sorted(self._folder.glob(f"*{SUFFIX}"))[: 2 * ENTRIES_MAX]:
            if not path.stem.isdigit() or int(path.stem) not in numbers:
                path.unlink(missing_ok=True)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number}{SUFFIX}"


def _key(number: int) -> bytes:
    return b"%d" % number

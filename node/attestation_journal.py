"""What this validator committed to: salt and output of each open request, durable before sent.

A float model may give other bits after a restart; without the journal a member could not reveal.
"""

from __future__ import annotations

from pathlib import Path

from andon.core.codec import Value, decode_value, encode_value
from andon.core.errors import InvalidInput
from node.storage.durable import make_folder, replace_file

SUFFIX = ".commit"
ENTRIES_MAX = 4096


class AttestationJournal:
    """One small file a request in a folder (blocking)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, number: int) -> tuple[bytes, tuple[int, ...]] | None:
        """Salt and output that were committed to; None if there are none, or they are damaged."""
        try:
            value = decode_value(self._path(number).read_bytes())
        except (FileNotFoundError, InvalidInput):
            return None
        if not isinstance(value, list) or len(value) != 2:
            return None
        salt, listed = value
        if not isinstance(salt, bytes) or not isinstance(listed, list):
            return None
        output = tuple(item for item in listed if isinstance(item, int))
        return (salt, output) if len(output) == len(listed) else None

    def save(self, number: int, salt: bytes, output: tuple[int, ...]) -> None:
        """Keep them, flushed to disk."""
        make_folder(self._folder)
        listed: Value = [salt, [*output]]
        replace_file(self._path(number), encode_value(listed))

    def keep_only(self, numbers: set[int]) -> None:
        """Forget requests that are decided."""
        if not self._folder.is_dir():
            return
        for path in sorted(self._folder.glob(f"*{SUFFIX}"))[: 2 * ENTRIES_MAX]:
            if not path.stem.isdigit() or int(path.stem) not in numbers:
                path.unlink(missing_ok=True)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number}{SUFFIX}"

"""Names on disk that outlive a loss of power: a new name is durable once its folder is flushed."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

FOLDER_MODE = 0o700


def make_folder(folder: Path) -> None:
    """Make a folder and those above it that are missing, their names durable; cheap if it is there.

    Raises:
        OSError: the disk refuses.
    """
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True, mode=FOLDER_MODE)
    flush(folder.parent)


def flush(path: Path) -> None:
    """Make the content of a file, or the names in a folder, durable.

    Raises:
        OSError: the disk refuses.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(path: Path, data: bytes) -> None:
    """Put a whole file in the place of another, or make it, durably; nobody ever sees half of it.

    Raises:
        OSError: the disk refuses.
    """
    part = path.with_suffix(".part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        flush(path.parent)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise

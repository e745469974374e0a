"""Files of training that outlive a kill or a loss of power: each is whole, or the one before it."""

from __future__ import annotations

import os
from pathlib import Path

SECRET_MODE = 0o600
PLAIN_MODE = 0o666
"""As the process's mask has it."""


def replace_file(path: Path, data: bytes, mode: int) -> None:
    """Put a whole file in the place of another, or make it, durably.

    Raises:
        OSError: the disk refuses.
    """
    part = path.with_name(path.name + ".part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(path)
    # Without it a loss of power may bring the older file back.
    flush_folder(path.parent)


def flush_folder(folder: Path) -> None:
    """Make the names in a folder durable.

    Raises:
        OSError: the disk refuses.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

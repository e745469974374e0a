"""One process a home: an advisory lock that dies with the process."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from andon.core.errors import Code, Unavailable


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file.

    Raises:
        Unavailable: LOCKED with the process id of the holder.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(descriptor, 32).decode("ascii", "replace").strip()
            raise Unavailable(
                Code.LOCKED,
                f"{path.parent} is in use by process {holder or 'unknown'}",
                hint="stop it first: two nodes with one key would sign against each other",
            ) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)

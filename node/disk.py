"""What the system says when it refuses to read or write, as the errors that stop a node."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from andon.core.errors import Code, Corrupt

FULL_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def full(reason: str) -> Corrupt:
    """Make the error for a disk, a quota or a map without room; it ends the process too."""
    return Corrupt(
        Code.STORAGE_FULL,
        f"nothing more can be stored: {reason}",
        hint="free disk space, then start the node again; a map that is full grows at the start",
    )


@contextmanager
def on_disk(what: str) -> Iterator[None]:
    """Turn the system's refusals to read or write `what` into the errors that stop a node."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL_ERRORS:
            raise full(f"{what}: {error.strerror}") from None
        raise Corrupt(
            Code.STORAGE_DAMAGED,
            f"{what}: the disk refuses: {error.strerror}",
            hint="check the disk; the next start checks the store before it is used",
        ) from None

"""What a file needs besides its content to survive a loss of power: its name on disk."""

from __future__ import annotations

import os
from pathlib import Path


def flush_name(path: Path) -> None:
    """Flush the folder that names `path`, and the one above it, for the folder may be new too."""
    for above in (path.parent, path.parent.parent):
        descriptor = os.open(above, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

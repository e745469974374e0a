"""Read a whole store in a process of its own, and say what is wrong with it: LMDB aborts on some.

`python -m node.find_damage FOLDER MAP_BYTES` prints the reason, or nothing if it is sound.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

from andon.core.errors import AndonError, Code
from node.storage import ChainStore, scrub

REASON_CHARS_MAX = 512


def find_damage(folder: Path, map_bytes: int) -> str:
    """Say what is wrong with the store in `folder`; empty if it is sound, or if there is none."""
    if not folder.exists():
        return ""  # to look would make one, and it would be taken for what was lost
    done = subprocess.run(  # noqa: S603 - our own module
        [sys.executable, "-m", "node.find_damage", str(folder), str(map_bytes)],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        return "the process that read it was ended by LMDB"
    return done.stdout[:REASON_CHARS_MAX]


def _read(folder: Path, map_bytes: int) -> str:
    try:
        store = ChainStore(folder, map_bytes)
        with contextlib.closing(store), store.snapshot() as snapshot:
            if not store.is_empty():
                scrub(snapshot)
    except AndonError as error:
        # A full disk or a lock is no damage; opening in earnest will say so.
        return error.message if error.code is Code.STORAGE_DAMAGED else ""
    return ""


if __name__ == "__main__":
    sys.stdout.write(_read(Path(sys.argv[1]), int(sys.argv[2])))

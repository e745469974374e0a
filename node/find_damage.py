"""Read a whole store in a process of its own, and say what is wrong with it: LMDB aborts on some.

`python -m node.find_damage FOLDER MAP_BYTES` prints the reason, or nothing if the chain's store is
sound; `python -m node.find_damage FOLDER` does the same of what consensus remembers.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

from andon.core.errors import AndonError, Code
from node.storage import ChainStore, LmdbConsensusStore, scrub

REASON_CHARS_MAX = 512


def find_damage(folder: Path, map_bytes: int) -> str:
    """Say what is wrong with the store in `folder`; empty if it is sound, or if there is none."""
    return _look(folder, str(map_bytes))


def find_damage_of_votes(folder: Path) -> str:
    """The same of the store of what consensus remembers."""
    return _look(folder)


def _look(folder: Path, *more: str) -> str:
    if not folder.exists():
        return ""  # to look would make one, and it would be taken for what was lost
    done = subprocess.run(  # noqa: S603 - our own module
        [sys.executable, "-m", "node.find_damage", str(folder), *more],
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
        return _reason(error)
    return ""


def _read_votes(folder: Path) -> str:
    try:
        with contextlib.closing(LmdbConsensusStore(folder)) as votes:
            votes.load()
    except AndonError as error:
        return _reason(error)
    return ""


def _reason(error: AndonError) -> str:
    # A full disk or a lock is no damage; opening in earnest will say so.
    return error.message if error.code is Code.STORAGE_DAMAGED else ""


if __name__ == "__main__":
    place = Path(sys.argv[1])
    is_chain = len(sys.argv) > 2
    sys.stdout.write(_read(place, int(sys.argv[2])) if is_chain else _read_votes(place))

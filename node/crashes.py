"""Notes that a process leaves when the system ends it over what its libraries did.

LMDB aborts, or touches a page that is not there, where it meets a damaged file: the process ends by
a signal, no Python runs any more, and no error is raised. What still runs is the handler of
`faulthandler`, which writes where every thread was. Whatever it has written makes the store
suspect: the next start checks it before it is used. Killing a node, or the power, writes nothing.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
from pathlib import Path

from node.config import Home

MODE = 0o600
KEPT_FILE = "crash.log"
"""The last such note, in the folder of logs."""
NOTE_BYTES_MAX = 256 * 1024


def note_crashes(path: Path) -> None:
    """From now on, let this process write into its home if it crashes. Once a process.

    A home that takes no file is not worth a refusal: opening it will say what is wrong.
    """
    home = Home(path.resolve())
    with contextlib.suppress(OSError):
        # Appended to and never emptied here: it may be the file of a process that runs.
        note = os.open(home.crash, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, MODE)
        faulthandler.enable(note)


def has_crashed(home: Home) -> bool:
    """Tell whether the last process of this home left a note."""
    return home.crash.exists() and home.crash.stat().st_size > 0


def keep_note(home: Home) -> None:
    """Move what was written to the logs, so that it counts no more. Only under the home's lock."""
    with home.crash.open("rb") as note:
        text = note.read(NOTE_BYTES_MAX)
    home.logs.mkdir(mode=0o700, parents=True, exist_ok=True)
    (home.logs / KEPT_FILE).write_bytes(text)
    # Our own handler may have it open: emptied, not replaced.
    os.truncate(home.crash, 0)

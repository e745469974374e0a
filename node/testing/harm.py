"""Harm to one node's processes and disk: for verbs, plans and tests. Needs Linux."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path

from andon.core.errors import Code, InvalidInput

HARMLESS = {"worker_fault": "none", "clock_skew_ms": 0, "storage_delay_ms": 0}
"""Settings of a node without faults."""


def resume(pid: int) -> None:
    """Let a paused node and its hanging worker go on."""
    for process in (pid, *_children(pid)):
        os.kill(process, signal.SIGCONT)


def hang_worker(pid: int) -> None:
    """Stop the clock of the node's worker."""
    for worker in _children(pid):
        os.kill(worker, signal.SIGSTOP)


def fill_disk(pid: int, data: Path) -> None:
    """Let no file grow beyond what the largest in `data` has: as on a full disk."""
    if not hasattr(resource, "prlimit"):
        raise InvalidInput(Code.BAD_REQUEST, "a full disk needs Linux")
    sizes = [path.stat().st_size for path in data.rglob("*") if path.is_file()]
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (max(sizes, default=0), hard))


def _children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children")
    try:
        return [int(word) for word in found.read_text().split()]
    except OSError:
        raise InvalidInput(Code.BAD_REQUEST, "finding a node's worker needs Linux") from None

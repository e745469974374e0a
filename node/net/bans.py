"""Bans on disk: a peer that was banned stays so across our restarts.

The file holds wall-clock times, because the monotonic clock starts anew with the machine. It is
advice, not truth: a missing or damaged file means that nobody is banned.
"""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import structlog

from node.net.limits import BAN_MAX_S, BAN_MEMORY_S, RECORDS_MAX, Ban, PeerScores

FILE_BYTES_MAX = 1024 * 1024

log = structlog.get_logger()


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    peer: str
    until_ms: int
    bans: int


def load_bans(path: Path, scores: PeerScores, now_s: float) -> int:
    """Put the bans of the file into `scores`; returns how many still hold."""
    try:
        with path.open("rb") as file:
            entries = msgspec.json.decode(file.read(FILE_BYTES_MAX), type=list[_Entry])
        found = [(bytes.fromhex(entry.peer), entry) for entry in entries[:RECORDS_MAX]]
    except FileNotFoundError:
        return 0
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        log.warning("bans.unreadable", reason=str(error)[:200])
        return 0
    count = 0
    for peer, entry in found:
        left_s = min(entry.until_ms / 1000 - time.time_ns() / 1e9, BAN_MAX_S)
        if left_s > -BAN_MEMORY_S:
            scores.restore(Ban(peer=peer, until_s=now_s + left_s, count=entry.bans))
            count += left_s > 0
    return count


def save_bans(path: Path, scores: PeerScores, now_s: float) -> None:
    """Write the bans that hold or are remembered; replaces the file whole."""
    wall_ms = time.time_ns() // 1_000_000
    entries = [
        _Entry(ban.peer.hex(), wall_ms + int((ban.until_s - now_s) * 1000), ban.count)
        for ban in scores.bans(now_s)
    ]
    part = path.with_suffix(".part")
    try:
        part.write_bytes(msgspec.json.encode(entries))
        part.replace(path)
    except OSError as error:
        log.warning("bans.not_saved", reason=str(error)[:200])

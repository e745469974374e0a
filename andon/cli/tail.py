"""`andon tail`: the logs of all local nodes in one stream, by time, filtered by level and event."""

from __future__ import annotations

import fnmatch
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import click

from andon.cli.context import Context
from andon.core.errors import Code, InvalidInput

PAUSE_S = 0.25
LINE_CHARACTERS_MAX = 64 * 1024
BACKLOG_BYTES_MAX = 1024 * 1024
"""Of each log, so much of the end is looked at for the lines before now."""
LEVELS = ("debug", "info", "warning", "error")
FIXED = ("ts", "level", "event", "node")


@dataclass(slots=True)
class Log:
    """One node's log, reopened when the node rotates it."""

    node: str
    path: Path
    file: TextIO | None = None
    inode: int = 0
    part: str = ""

    def lines(self) -> Iterator[str]:
        """Whole lines that came since the last look."""
        if self.file is None:
            self._open(is_first=False)
        if self.file is None:
            return
        yield from iter(self._readline, "")
        if self._is_rotated():
            self.close()

    def close(self) -> None:
        """Close the file; the next look opens it again."""
        if self.file is not None:
            self.file.close()
            self.file = None

    def _readline(self) -> str:
        assert self.file is not None, "opened before"
        text = self.part + self.file.readline(LINE_CHARACTERS_MAX)
        is_whole = text.endswith("\n") or len(text) >= LINE_CHARACTERS_MAX
        self.part = "" if is_whole else text
        return text if is_whole else ""

    def backlog(self) -> list[str]:
        """The lines at the end that are there now."""
        self._open(is_first=True)
        return list(self.lines())

    def _open(self, *, is_first: bool) -> None:
        try:
            self.file = self.path.open(encoding="utf-8", errors="replace")
        except OSError:
            return  # it has not run yet
        status = os.fstat(self.file.fileno())
        self.inode = status.st_ino
        if is_first and status.st_size > BACKLOG_BYTES_MAX:
            self.file.seek(status.st_size - BACKLOG_BYTES_MAX)
            self.file.readline(LINE_CHARACTERS_MAX)

    def _is_rotated(self) -> bool:
        try:
            return self.path.stat().st_ino != self.inode
        except OSError:
            return False


@click.command("tail")
@click.argument("nodes", nargs=-1)
@click.option("--level", type=click.Choice(LEVELS), default="info", show_default=True)
@click.option("--event", "pattern", default="*", help="Only events like this: 'vote.*'.")
@click.option("-n", "lines", type=int, default=10, show_default=True, help="Lines before now.")
@click.option("--no-follow", is_flag=True, help="End after what is there.")
@click.pass_obj
def tail_command(
    context: Context,
    *,
    nodes: tuple[str, ...],
    level: str,
    pattern: str,
    lines: int,
    no_follow: bool,
) -> None:
    """Follow the logs of NODES (all by default); with --json each line as it was written."""
    logs = _logs(context, nodes)
    try:
        backlog = [(line, log.node) for log in logs for line in log.backlog()]
        wanted = [item for item in backlog if matches(item[0], level, pattern)]
        _print(context, sorted(wanted, key=_moment)[-lines:] if lines else [])
        while not no_follow:
            fresh = [(line, log.node) for log in logs for line in log.lines()]
            wanted = [item for item in fresh if matches(item[0], level, pattern)]
            _print(context, sorted(wanted, key=_moment))
            time.sleep(PAUSE_S)
    finally:
        for log in logs:
            log.close()


def _logs(context: Context, names: tuple[str, ...]) -> list[Log]:
    network = context.network()
    chosen = [network.node(name) for name in names] or network.manifest.nodes
    logs = [Log(node.name, network.home / node.home / "logs" / "node.log") for node in chosen]
    if not any(log.path.exists() for log in logs):
        raise InvalidInput(
            Code.NOT_FOUND, f"no node of {network.home} has a log", hint="did they ever run?"
        )
    return logs


def matches(line: str, level: str, pattern: str) -> bool:
    """Tell whether a log line is wanted; what is no JSON (a crash) always is."""
    entry = _entry(line)
    if entry is None:
        return bool(line.strip())
    found = str(entry.get("level", "info"))
    rank = LEVELS.index(found) if found in LEVELS else len(LEVELS)
    return rank >= LEVELS.index(level) and fnmatch.fnmatch(str(entry.get("event", "")), pattern)


def line_text(line: str, node: str) -> str:
    """A log line for people: time, node, level, event, and what else it says."""
    entry = _entry(line)
    if entry is None:
        return f"{node:<11} {line.rstrip()}"
    rest = " ".join(f"{key}={value}" for key, value in entry.items() if key not in FIXED)
    moment = str(entry.get("ts", ""))[11:23]
    return f"{moment:<12} {node:<11} {entry.get('level', '')!s:<8} {entry.get('event', '')} {rest}"


def _moment(item: tuple[str, str]) -> str:
    """Time of a line; a crash, which has none, stands behind the lines of its round."""
    entry = _entry(item[0])
    return "9" if entry is None else str(entry.get("ts", ""))


def _print(context: Context, items: list[tuple[str, str]]) -> None:
    for line, node in items:
        print(line.rstrip() if context.as_json else line_text(line, node), flush=True)


def _entry(line: str) -> dict[str, object] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None

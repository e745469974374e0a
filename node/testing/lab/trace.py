"""What a process asked of the disk, in order: read from the output of `strace -f -y -xx`.

Only calls on files below one folder count. A write through a descriptor opened with O_DSYNC or
O_SYNC is durable when it returns; every other one waits for an fsync or fdatasync of its file.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from andon.core.errors import Code, Unavailable

CALLS = (
    "openat,mkdir,pwrite64,write,writev,lseek,fsync,fdatasync,ftruncate,rename,unlink,close,"
    "pwritev,pwritev2,renameat,renameat2,unlinkat,fallocate,copy_file_range,sendfile,mmap"
)
TEXT_BYTES_MAX = 4 * 1024 * 1024
TRACE_S = 120.0
_CALL = re.compile(r"^(?:\d+ +)?(\w+)\((.*)\) += (-?\d+)(?:<.*>)?(?: .*)?$")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_DESCRIPTOR = re.compile(r"^(\d+)<((?:\\x[0-9a-f]{2})*)>")
_MAPPED = re.compile(r"PROT_WRITE.*MAP_SHARED[^,]*, (\d+)<")
_UNKNOWN = ("pwritev", "pwritev2", "renameat", "renameat2", "fallocate", "copy_file_range")


@dataclass(frozen=True, slots=True)
class Made:
    """A file (or folder) got a name; an existing file of that name is cut to nothing."""

    path: str
    is_folder: bool


@dataclass(frozen=True, slots=True)
class Wrote:
    """Bytes at an offset; a synchronous descriptor makes just these durable."""

    path: str
    offset: int
    data: bytes
    is_durable: bool


@dataclass(frozen=True, slots=True)
class Cut:
    """The size was set."""

    path: str
    size: int


@dataclass(frozen=True, slots=True)
class Synced:
    """A file or folder was flushed."""

    path: str


@dataclass(frozen=True, slots=True)
class Renamed:
    """Another name in the same or another folder."""

    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Removed:
    """A name went."""

    path: str


Event = Made | Wrote | Cut | Synced | Renamed | Removed


@dataclass(slots=True)
class _Open:
    path: str
    is_durable: bool
    at: int = 0


def is_traceable() -> bool:
    """Tell whether this machine has strace."""
    return shutil.which("strace") is not None


def trace(command: Sequence[str], folder: Path, output: Path) -> list[Event]:
    """Run a command under strace and give its events below `folder`, paths relative to it."""
    program = shutil.which("strace")
    if program is None:
        raise Unavailable(Code.NOT_FOUND, "strace is not installed", hint="apt install strace")
    subprocess.run(  # noqa: S603 - our own command
        [
            program,
            *("-f", "-y", "-xx", "-s", str(TEXT_BYTES_MAX), "-e", f"trace={CALLS}"),
            *("-o", str(output), *command),
        ],
        check=True,
        timeout=TRACE_S,
    )
    with output.open(encoding="ascii") as lines:
        return list(_Reader(str(folder)).events(lines))


class _Reader:
    """Follows descriptors; knows each file by the name it has at the time."""

    def __init__(self, folder: str) -> None:
        self._prefix = folder + "/"
        self._folder = folder
        self._open: dict[int, _Open] = {}
        self._names: set[str] = set()

    def events(self, lines: Iterator[str]) -> Iterator[Event]:
        for line in lines:
            found = _CALL.match(line)
            if found is None:
                continue
            name, arguments, result = found[1], found[2], int(found[3])
            if result >= 0:
                yield from self._call(name, arguments, result)

    def _inside(self, path: str) -> str | None:
        if path == self._folder:
            return ""
        return path.removeprefix(self._prefix) if path.startswith(self._prefix) else None

    def _call(self, name: str, arguments: str, result: int) -> Iterator[Event]:
        texts = [bytes.fromhex(text.replace("\\x", "")) for text in _TEXT.findall(arguments)]
        match name:
            case "openat":
                yield from self._opened(texts[0].decode(), arguments, result)
            case "mkdir":
                path = self._inside(texts[0].decode())
                if path is not None:
                    self._names.add(path)
                    yield Made(path, is_folder=True)
            case "rename":
                old, new = (self._inside(text.decode()) for text in texts)
                if old is not None and new is not None:
                    yield from self._renamed(old, new)
            case "mmap":
                self._check_mapping(arguments)
            case "unlink" | "unlinkat":
                path = self._inside(texts[0].decode())
                if path is not None:
                    self._names.discard(path)
                    yield Removed(path)
            case _:
                yield from self._on_descriptor(name, arguments, texts, result)

    def _check_mapping(self, arguments: str) -> None:
        """Stores into a mapping are invisible here; LMDB maps only its table of readers so."""
        found = _MAPPED.search(arguments)
        item = None if found is None else self._open.get(int(found[1]))
        if item is not None and not item.path.endswith("lock.mdb"):
            raise AssertionError(f"{item.path} is written through a mapping")

    def _opened(self, name: str, arguments: str, result: int) -> Iterator[Event]:
        self._open.pop(result, None)
        path = self._inside(name)
        if path is None:
            return
        self._open[result] = _Open(path, "SYNC" in arguments)
        if "O_CREAT" in arguments and (path not in self._names or "O_TRUNC" in arguments):
            self._names.add(path)
            yield Made(path, is_folder=False)

    def _renamed(self, old: str, new: str) -> Iterator[Event]:
        for item in self._open.values():
            if item.path == old:
                item.path = new
            elif item.path.startswith(old + "/"):
                item.path = new + item.path.removeprefix(old)
        moved = {path for path in self._names if path == old or path.startswith(old + "/")}
        self._names -= moved
        self._names |= {new + path.removeprefix(old) for path in moved}
        yield Renamed(old, new)

    def _on_descriptor(
        self, name: str, arguments: str, texts: list[bytes], result: int
    ) -> Iterator[Event]:
        found = _DESCRIPTOR.match(arguments)
        item = None if found is None else self._open.get(int(found[1]))
        if found is None or item is None:
            return
        data = b"".join(texts)[:result]
        match name:
            case "close":
                del self._open[int(found[1])]
            case "lseek":
                item.at = result
            case "pwrite64":
                offset = int(arguments.rpartition(", ")[2])
                yield Wrote(item.path, offset, data, item.is_durable)
            case "write" | "writev":
                yield Wrote(item.path, item.at, data, item.is_durable)
                item.at += result
            case "fsync" | "fdatasync":
                yield Synced(item.path)
            case "ftruncate":
                yield Cut(item.path, int(arguments.rpartition(", ")[2]))
            case _:
                if name in _UNKNOWN:
                    raise AssertionError(f"{name} on {item.path} is not modelled")

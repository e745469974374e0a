"""Power-loss images: what a disk may hold if the power goes at any moment of a traced run.

At a drawn moment everything flushed before is there. Of what was written since, any subset may be,
and a single write may be torn between sectors; of the names made since in a folder that was not
flushed, any beginning may be. Each image is opened by a process of its own, as a node opens its
home: it must open without help, hold all that was acknowledged, answer only truth, and go on.
"""

from __future__ import annotations

import faulthandler
import os
import random
import shutil
import struct
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from andon.core.errors import AndonError
from andon.core.keys import PrivateKey
from node.keystore import load_key, save_key
from node.signer import SignState
from node.storage import BlobStore, scrub
from node.testing.lab.chain import LabChain
from node.testing.lab.kill import open_stores, position_of, remember
from node.testing.lab.trace import Cut, Event, Made, Removed, Renamed, Synced, Wrote, trace

SECTOR_BYTES = 512
ACKS = "acks"
BLOCKS = 12
_WORD = struct.Struct(">cQ")
_KEY_FILE = "keys/node.key"
_SECRET = PrivateKey(b"p" * 32)
BATCH = 25
"""Images opened by one process; each lies in a folder of its own."""
ANSWER_BYTES_MAX = 2000
TORN = 0.2
"""Part of the writes kept that are torn."""


@dataclass(slots=True)
class _File:
    durable: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes]] = field(default_factory=list)
    is_folder: bool = False


@dataclass(slots=True)
class Losses:
    """Counts of a campaign; no `findings` is good."""

    images: int = 0
    findings: list[str] = field(default_factory=list)


class Disk:
    """Files as they are durable, and what is under way; names are kept by folder."""

    def __init__(self) -> None:
        self._names: dict[str, _File] = {"": _File(is_folder=True)}
        """What the running process sees."""
        self._durable: dict[str, _File] = dict(self._names)
        self._changes: dict[str, list[Event]] = {}
        self.acks = b""

    def apply(self, event: Event, *, is_done: bool = True) -> None:
        """Take one event; the last one before the loss is under way, not done."""
        match event:
            case Wrote():
                if event.path == ACKS:
                    self.acks += event.data if is_done else b""
                    return
                file = self._names[event.path]
                file.pending.append((event.offset, event.data))
                if event.is_durable and is_done:
                    # O_DSYNC makes this write durable, and no earlier one of the same file.
                    file.pending.pop()
                    _put(file.durable, event.offset, event.data)
            case Synced():
                if is_done:
                    self._sync(event.path)
            case Cut():
                file = self._names[event.path]
                if len(file.durable) < event.size:
                    file.durable.extend(bytes(event.size - len(file.durable)))
            case Made() | Renamed() | Removed():
                self._rename(event)

    def image(self, draw: random.Random, target: Path) -> None:
        """Write one of the images that this moment allows."""
        names = dict(self._durable)
        for changes in self._changes.values():
            for change in changes[: draw.randrange(len(changes) + 1)]:
                _apply_name(names, change, self._names)
        kept = draw.choice((0.0, 0.5, 0.9, 1.0))
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for path, file in sorted(names.items()):
            if file.is_folder:
                if _has_parents(path, names):
                    (target / path).mkdir(exist_ok=True, mode=0o700)
            elif path != ACKS and _has_parents(path, names):
                _write(target / path, _content(file, draw, kept))

    def full(self) -> dict[str, bytes]:
        """Every file as the process saw it last."""
        found: dict[str, bytes] = {}
        for path, file in self._names.items():
            if not file.is_folder and path != ACKS:
                content = bytearray(file.durable)
                for offset, data in file.pending:
                    _put(content, offset, data)
                found[path] = bytes(content)
        return found

    def _sync(self, path: str) -> None:
        file = self._names[path]
        for offset, data in file.pending:
            _put(file.durable, offset, data)
        file.pending.clear()
        if file.is_folder:
            for change in self._changes.pop(path, []):
                _apply_name(self._durable, change, self._names)

    def _rename(self, event: Made | Renamed | Removed) -> None:
        if isinstance(event, Made):
            # The name is bound to this very file, whatever becomes of the name later.
            self._names[event.path] = _File(is_folder=event.is_folder)
            bound: Event = _Bound(event.path, self._names[event.path])
        elif isinstance(event, Renamed):
            bound = event
            _move(self._names, event.old, event.new)
        else:
            bound = event
            self._names.pop(event.path, None)
        path = event.new if isinstance(event, Renamed) else event.path
        self._changes.setdefault(_parent(path), []).append(bound)


@dataclass(frozen=True, slots=True)
class _Bound(Made):
    """A name and the file that it was given to."""

    file: _File

    def __init__(self, path: str, file: _File) -> None:
        object.__setattr__(self, "path", path)
        object.__setattr__(self, "is_folder", file.is_folder)
        object.__setattr__(self, "file", file)


def _apply_name(names: dict[str, _File], change: Event, seen: dict[str, _File]) -> None:
    match change:
        case _Bound():
            names[change.path] = change.file
        case Renamed():
            if change.old not in names and change.new in seen:
                names[change.new] = seen[change.new]  # it came from a folder not flushed
            _move(names, change.old, change.new)
        case Removed():
            names.pop(change.path, None)
        case _:
            raise AssertionError("only names are changed here")


def _move(names: dict[str, _File], old: str, new: str) -> None:
    for path in [path for path in names if path == old or path.startswith(old + "/")]:
        names[new + path.removeprefix(old)] = names.pop(path)


def _has_parents(path: str, names: dict[str, _File]) -> bool:
    while path:
        path = _parent(path)
        if path not in names:
            return False
    return True


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _put(content: bytearray, offset: int, data: bytes) -> None:
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


def _content(file: _File, draw: random.Random, kept: float) -> bytes:
    content = bytearray(file.durable)
    for offset, data in file.pending:
        if draw.random() >= kept:
            continue
        if draw.random() >= TORN:
            _put(content, offset, data)
            continue
        at = 0
        while at < len(data):
            end = at + SECTOR_BYTES - (offset + at) % SECTOR_BYTES
            if draw.random() < 0.5:
                _put(content, offset + at, data[at:end])
            at = end
    return bytes(content)


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o600)


def record(folder: Path) -> list[Event]:
    """Trace a writer's whole life on a fresh home; checks the trace against the real files."""
    home, output = folder / "home", folder / "strace.out"
    home.mkdir(parents=True)
    command = [sys.executable, "-m", "node.testing.lab.power", str(home)]
    events = trace(command, home, output)
    output.unlink()
    disk = Disk()
    for event in events:
        disk.apply(event)
    for path, content in disk.full().items():
        if not path.endswith((".lock", "lock.mdb")):
            assert (home / path).read_bytes() == content, f"the trace misses writes to {path}"
    shutil.rmtree(home)
    return events


def run_images(
    events: list[Event], count: int, seed: int, target: Path, *, until_s: float = float("inf")
) -> Losses:
    """Draw images, open each; a finding names what was lost, wrong or refused."""
    draw = random.Random(f"power {seed}")  # noqa: S311 - no secret
    result = Losses()
    begun = next(
        index for index, event in enumerate(events) if event == Made(ACKS, is_folder=False)
    )
    while result.images < count and time.monotonic() < until_s:
        ends = [
            draw.randrange(begun + 1, len(events)) for _ in range(min(BATCH, count - result.images))
        ]
        answers = _try(events, ends, draw.getrandbits(64), target)
        for number, end in enumerate(ends):
            trouble = answers[number] if number < len(answers) else "the process died"
            if trouble:
                result.findings.append(f"event {end} of {len(events)}, seed {seed}: {trouble}")
            if number >= len(answers):
                break
        result.images += len(ends)
    return result


def _at(events: list[Event], end: int) -> Disk:
    disk = Disk()
    for event in events[:end]:
        disk.apply(event)
    disk.apply(events[end], is_done=False)
    return disk


def _try(events: list[Event], ends: list[int], seed: int, target: Path) -> list[str]:
    """Open one image a moment, in a process of their own; empty texts if all is well."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            faulthandler.disable()  # a spoiled file may kill: that is told as a finding
            chain = LabChain()
            draw = random.Random(seed)  # noqa: S311 - no secret
            for number, end in enumerate(ends):
                disk, home = _at(events, end), target / str(number)
                disk.image(draw, home)
                answer = _answer(chain, home, disk.acks).replace("\n", " ")
                os.write(writing, answer.encode()[:ANSWER_BYTES_MAX] + b"\n")
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answers = pipe.read().decode(errors="replace").split("\n")[:-1]
    os.waitpid(child, 0)
    shutil.rmtree(target, ignore_errors=True)
    return answers


def _answer(chain: LabChain, home: Path, acks: bytes) -> str:
    try:
        return _reopen(chain, home, acks)
    except AndonError as error:
        return f"refused: {error}"
    except Exception as error:  # noqa: BLE001 - the root of a trial, which reports it
        return repr(error)


def _reopen(chain: LabChain, home: Path, acks: bytes) -> str:
    promised: dict[bytes, int] = {}
    for at in range(0, len(acks), _WORD.size):
        kind, value = _WORD.unpack_from(acks, at)
        promised[kind] = max(value, promised.get(kind, 0))
    if promised.get(b"k") and load_key(home / _KEY_FILE).public != _SECRET.public:
        return "another key came back"
    blobs = BlobStore(home / "blobs")
    if b"p" in promised and [blobs.get(identity) for identity in blobs.digests()] != [b"blob"]:
        return "an acknowledged blob is gone"
    store, signs, consensus = open_stores(home)
    chain.open(store)
    with store.snapshot() as snapshot:
        found = {
            b"b": scrub(snapshot).height,
            b"c": position_of(consensus),
            b"s": signs.state.floor,
        }
        block = chain.next_block(snapshot)
    for kind, value in found.items():
        acknowledged = promised.get(kind, 0)
        if not acknowledged <= value <= acknowledged + 1:
            return f"{kind!r} was acknowledged at {acknowledged}, found {value}"
    store.append([block])
    return ""


def _live(home: Path) -> None:
    """The traced life: a home from nothing to some blocks, all said aloud when it is durable."""
    acks = os.open(home / ACKS, os.O_WRONLY | os.O_CREAT, 0o600)

    def say(kind: bytes, value: int) -> None:
        os.write(acks, _WORD.pack(kind, value))

    save_key(home / _KEY_FILE, _SECRET)
    say(b"k", 1)
    BlobStore(home / "blobs").put(b"blob")
    say(b"p", 1)
    chain = LabChain()
    store, signs, consensus = open_stores(home)
    chain.open(store)
    for position in range(1, BLOCKS + 1):
        signs.write(SignState(epoch=0, floor=position, entries=()))
        say(b"s", position)
        remember(consensus, position)
        say(b"c", position)
        with store.snapshot() as snapshot:
            block = chain.next_block(snapshot)
        store.append([block])
        say(b"b", block.block.header.height)
    os._exit(0)


if __name__ == "__main__":
    _live(Path(sys.argv[1]))

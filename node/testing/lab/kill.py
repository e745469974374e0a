"""kill -9 cycles: a process stores and says so through a pipe; what it said must be there.

Tried together, as in a node: the chain, what consensus remembers and the sign state. The page
cache survives a kill, so this shows safety against crashes of the process, not of the machine.
"""

from __future__ import annotations

import os
import random
import select
import shutil
import signal
import struct
import time
from dataclasses import dataclass, field
from pathlib import Path

from andon.core.errors import AndonError
from node.signer import SignState, SignStateFile
from node.storage import ChainStore, ConsensusLog
from node.testing.lab.chain import LabChain

MAP_BYTES = 1024**3
FRESH_EVERY = 20
"""After so many cycles a new folder is begun, so that first starts are killed, too."""

KILL_BEFORE_S = 0.01
KILL_AFTER_S = 0.03
OPEN_S = 30.0
LOG_BYTES = 32 * 1024
"""So small that the two files of what consensus remembers take turns every few writes."""
_KEY, _BULK = b"position", b"bulk"
_BULK_BYTES = 24 * 1024
_WORD = struct.Struct(">cQ")
_OPENED = (b"B", b"C", b"S")
"""Found when opening: the block, the consensus position, the sign position."""

_STORED = (b"b", b"c", b"s")
"""Acknowledged while running."""


@dataclass(slots=True)
class Cycles:
    """Counts of a campaign; no `findings` is good."""

    cycles: int = 0
    killed_before_open: int = 0
    killed_at_first_start: int = 0
    acknowledged: int = 0
    took_s: float = 0.0
    findings: list[str] = field(default_factory=list)


def run_cycles(folder: Path, count: int, seed: int, *, until_s: float = float("inf")) -> Cycles:
    """Kill a writer `count` times; stops early at a finding or at monotonic time `until_s`."""
    draw = random.Random(f"kill {seed}")  # noqa: S311 - no secret
    chain = LabChain()
    result = Cycles()
    began_s = time.monotonic()
    promised: dict[bytes, int] = {}
    home = folder / "home-0"
    while result.cycles < count and not result.findings and time.monotonic() < until_s:
        if result.cycles % FRESH_EVERY == 0:
            shutil.rmtree(home, ignore_errors=True)
            home = folder / f"home-{result.cycles // FRESH_EVERY}"
            home.mkdir(parents=True)
            promised = dict.fromkeys(_STORED, 0)
        _cycle(chain, home, draw, promised, result)
        result.cycles += 1
    result.took_s = time.monotonic() - began_s
    return result


def _cycle(
    chain: LabChain, home: Path, draw: random.Random, promised: dict[bytes, int], result: Cycles
) -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _be_writer(chain, home, writing)
    os.close(writing)
    try:
        wait_s = draw.random() * KILL_BEFORE_S if draw.random() < 0.5 else OPEN_S
        select.select([reading], [], [], wait_s)
        if wait_s == OPEN_S:
            time.sleep(draw.random() * KILL_AFTER_S)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        words = _read_all(reading)
    finally:
        os.close(reading)
    is_first = not any(promised.values())
    _judge(words, promised, result, f"{home} cycle {result.cycles}")
    if not any(kind in _OPENED for kind, _ in words):
        result.killed_before_open += 1
        result.killed_at_first_start += is_first


def _judge(
    words: list[tuple[bytes, int]], promised: dict[bytes, int], result: Cycles, where: str
) -> None:
    for kind, value in words:
        if kind in _OPENED:
            stored = kind.lower()
            if value < promised[stored]:
                result.findings.append(
                    f"{where}: {stored!r} was acknowledged at {promised[stored]}, found {value}"
                )
            promised[stored] = max(promised[stored], value)
        elif kind in _STORED:
            promised[kind] = max(promised[kind], value)
            result.acknowledged += 1
        else:
            result.findings.append(f"{where}: the store refused to open: error {value}")


def _read_all(descriptor: int) -> list[tuple[bytes, int]]:
    data = b""
    while piece := os.read(descriptor, 65536):
        data += piece
    # A write of 9 bytes into a pipe is whole or absent.
    return [_WORD.unpack_from(data, at) for at in range(0, len(data), _WORD.size)]


def _be_writer(chain: LabChain, home: Path, writing: int) -> None:
    """Store until killed; never returns."""
    try:
        _write(chain, home, writing)
    except AndonError as error:
        os.write(2, f"{error}\n".encode())
        os.write(writing, _WORD.pack(b"!", error.code.value))
    finally:
        os._exit(1)


def open_stores(home: Path) -> tuple[ChainStore, SignStateFile, ConsensusLog]:
    """Open a home in the order of node/home.py: the sign state before the chain is begun."""
    store = ChainStore(home / "chain", MAP_BYTES, mark=home / "chain_mark")
    signs = SignStateFile(home / "sign_state", may_create=store.is_empty())
    votes = ConsensusLog(home / "consensus", home / "votes_mark", file_bytes=LOG_BYTES)
    return store, signs, votes


def remember(votes: ConsensusLog, position: int) -> None:
    """Write a position; now and then with so much beside it that the files change their size."""
    votes.replace({_KEY: position.to_bytes(8, "big"), _BULK: _bulk(position)})


def position_of(votes: ConsensusLog) -> int:
    """The position that is remembered; 0 if there is none, or not all that goes with it."""
    found = votes.load()
    position = int.from_bytes(found.get(_KEY, b""), "big")
    return position if found.get(_BULK) == _bulk(position) else 0


def _bulk(position: int) -> bytes | None:
    return position.to_bytes(8, "big") * (_BULK_BYTES // 8) if position % 8 in (3, 4) else None


def _write(chain: LabChain, home: Path, writing: int) -> None:
    def say(kind: bytes, value: int) -> None:
        os.write(writing, _WORD.pack(kind, value))

    store, signs, consensus = open_stores(home)
    chain.open(store)
    with store.snapshot() as snapshot:
        say(b"B", snapshot.height())
    say(b"C", position_of(consensus))
    say(b"S", signs.state.floor)
    position = signs.state.floor
    while True:
        position += 1
        signs.write(SignState(epoch=0, floor=position, entries=()))
        say(b"s", position)
        remember(consensus, position)
        say(b"c", position)
        with store.snapshot() as snapshot:
            block = chain.next_block(snapshot)
        store.append([block])
        say(b"b", block.block.header.height)

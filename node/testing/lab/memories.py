"""Damage of what a validator remembers beside its chain: sign state, vote log, journal, snapshots.

One file of a sound specimen is spoiled where it lies, and opened by a process of its own, as a node
does. It may go on as before (unharmed), say what is wrong, or die; it must never sign what
contradicts a vote that has left, reveal another output than it committed to, remember other votes,
or give a peer bytes of a snapshot that are not those that were written.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from andon.core.certificate import Vote, VoteKind
from andon.core.errors import AndonError, InvalidInput
from andon.core.genesis import Params
from andon.core.hashing import ZERO_DIGEST, Domain, digest
from andon.core.keys import PrivateKey
from andon.core.pieces import PIECE_BYTES
from node.attestation_journal import AttestationJournal
from node.signer import FileSigner, SignStateFile
from node.storage import ChainStore, ConsensusLog, PortableFiles
from node.storage.sums import SUMS
from node.testing.lab.certified import CertifiedChain
from node.testing.lab.rot import Outcome, in_child

SECTOR_BYTES = 512
SLOTS = 24
ENTRIES = 40
ENTRY_BYTES = 2000
REQUESTS = 12
HEIGHTS = 24
WINDOW = 16
MAP_BYTES = 64 * 1024 * 1024
LOG_BYTES = 128 * 1024
"""Both files of the vote log are in use."""
_KEY = PrivateKey(b"r" * 32)
_SIGN, _VOTES, _MARK, _JOURNAL, _SNAPSHOTS = "sign_state", "votes", "votes_mark", "journal", "snaps"


class Harm(Enum):
    """What the medium does to a file."""

    FLIP = "flipped bit"
    CUT = "file cut short"
    MISDIRECT = "sectors of another place"
    ZERO = "sectors lost"
    STALE = "sectors of an earlier time"


class Memory(Enum):
    """What is spoiled."""

    SIGN_STATE = "sign state"
    VOTE_LOG = "vote log"
    JOURNAL = "attestation journal"
    SNAPSHOT = "snapshot"


@dataclass(frozen=True, slots=True)
class Memories:
    """Sound files by name, the same of an earlier time, and what they must answer."""

    files: dict[str, bytes]
    older: dict[str, bytes]
    entries: dict[bytes, bytes]
    outputs: dict[int, tuple[bytes, tuple[int, ...]]]
    height: int

    def of(self, memory: Memory) -> list[str]:
        """Names of the files that a memory consists of."""
        start = {
            Memory.SIGN_STATE: (_SIGN,),
            Memory.VOTE_LOG: (f"{_VOTES}/log.", _MARK),
            Memory.JOURNAL: (_JOURNAL,),
            Memory.SNAPSHOT: (_SNAPSHOTS,),
        }[memory]
        return [name for name in sorted(self.files) if name.startswith(start)]


def make_memories(folder: Path) -> Memories:
    """Let a validator vote, attest and write a snapshot, and keep its files."""
    folder.mkdir(parents=True)
    entries: dict[bytes, bytes] = {}
    outputs: dict[int, tuple[bytes, tuple[int, ...]]] = {}
    older: dict[str, bytes] = {}
    file = SignStateFile(folder / _SIGN, may_create=True)
    signer, votes = (
        FileSigner("lab", _KEY, file),
        ConsensusLog(folder / _VOTES, folder / _MARK, file_bytes=LOG_BYTES),
    )
    journal = AttestationJournal(folder / _JOURNAL)
    for slot in range(1, SLOTS + 1):
        for vote in votes_in(slot):
            signer.sign(vote, 0)
        for number in range(ENTRIES // SLOTS + 1):
            key = b"certificate/%d/%d" % (slot, number)
            entries[key] = _filler(key, ENTRY_BYTES)
            votes.replace({key: entries[key]})
        if slot % 2 == 0 and len(outputs) < REQUESTS:
            outputs[slot] = (_filler(b"salt %d" % slot, 32), (slot, -slot, slot * 2**40))
            journal.save(slot, *outputs[slot])
        if slot == SLOTS * 3 // 4:
            older = dict(_files(folder))
    votes.close()
    file.close()
    height = _write_snapshot(folder)
    return Memories(dict(_files(folder)), older, entries, outputs, height)


def votes_in(slot: int) -> Iterator[Vote]:
    """What the specimen's validator signed in a slot: Notar, and Final or Skip behind it."""
    block = digest(Domain.BLOB, b"%d" % slot)
    yield Vote(VoteKind.NOTAR, 0, slot, block)
    is_final = slot % 3 != 0
    yield Vote(VoteKind.FINAL, 0, slot, block) if is_final else _skip(slot)


def contradictions(slot: int) -> Iterator[Vote]:
    """What would contradict it."""
    other = digest(Domain.BLOB, b"other %d" % slot)
    yield Vote(VoteKind.NOTAR, 0, slot, other)
    yield _skip(slot) if slot % 3 != 0 else Vote(VoteKind.FINAL, 0, slot, other)


def spoiled(
    memories: Memories, memory: Memory, harm: Harm, draw: random.Random
) -> tuple[str, bytes]:
    """Draw a file, larger ones more often, and spoil one place of it."""
    names = memories.of(memory)
    weights = [len(memories.files[name]) + SECTOR_BYTES for name in names]
    name = draw.choices(names, weights)[0]
    content = bytearray(memories.files[name])
    at = draw.randrange(-(-len(content) // SECTOR_BYTES)) * SECTOR_BYTES
    end = min(len(content), at + SECTOR_BYTES * draw.choice((1, 8)))
    match harm:
        case Harm.FLIP:
            content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        case Harm.CUT:
            del content[draw.randrange(len(content)) :]
        case Harm.ZERO:
            content[at:end] = bytes(end - at)
        case Harm.STALE:
            before = memories.older.get(name, b"")[at:end]
            content[at : at + len(before)] = before
        case Harm.MISDIRECT:
            source = memories.files[draw.choice([name, *names])]
            start = draw.randrange(-(-len(source) // SECTOR_BYTES)) * SECTOR_BYTES
            piece = source[start : start + end - at]
            content[at : at + len(piece)] = piece
    return name, bytes(content)


def try_memory(
    memories: Memories, memory: Memory, name: str, content: bytes, folder: Path
) -> Outcome:
    """Open a memory with one spoiled file, in a process of its own."""
    shutil.rmtree(folder, ignore_errors=True)
    for sound in memories.of(memory):
        path = folder / sound
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if sound == name else memories.files[sound])
    read = _READERS[memory]
    status = in_child(lambda: _outcome(read, memories, folder).value)
    return Outcome(Outcome.STOPPED.value if status is None else status)


def _outcome(
    read: Callable[[Memories, Path], Outcome], memories: Memories, folder: Path
) -> Outcome:
    try:
        return read(memories, folder)
    except AndonError:
        return Outcome.DETECTED


def _read_sign_state(memories: Memories, folder: Path) -> Outcome:
    del memories
    with SignStateFile(folder / _SIGN, may_create=False) as file:
        signer = FileSigner("lab", _KEY, file)
        for slot in range(1, SLOTS + 1):
            for vote in contradictions(slot):
                try:
                    signer.sign(vote, 0)
                except InvalidInput:
                    continue
                return Outcome.WRONG
    # Mended while it was open, or whole: the next start must find it so.
    SignStateFile(folder / _SIGN, may_create=False).close()
    return Outcome.UNHARMED


def _read_votes(memories: Memories, folder: Path) -> Outcome:
    votes = ConsensusLog(folder / _VOTES, folder / _MARK, file_bytes=LOG_BYTES)
    found = votes.load()
    return Outcome.UNHARMED if found == memories.entries else Outcome.WRONG


def _read_journal(memories: Memories, folder: Path) -> Outcome:
    journal = AttestationJournal(folder / _JOURNAL)
    worst = Outcome.UNHARMED
    for number in range(SLOTS + 1):
        found, sound = journal.load(number), memories.outputs.get(number)
        if found not in (sound, None):
            return Outcome.WRONG
        if found != sound:
            worst = Outcome.DETECTED  # it attests nothing there, and says so
    return worst


def _read_snapshot(memories: Memories, folder: Path) -> Outcome:
    files, worst = PortableFiles(folder / _SNAPSHOTS), Outcome.UNHARMED
    start = f"{_SNAPSHOTS}/{memories.height}/"
    for name in memories.of(Memory.SNAPSHOT):
        if name == start + SUMS:
            continue
        sound = memories.files[name]
        for at in range(0, len(sound), PIECE_BYTES):
            try:
                given = files.piece(memories.height, name.removeprefix(start), at, PIECE_BYTES)
            except InvalidInput:
                worst = Outcome.DETECTED
                continue
            if given != (len(sound), sound[at : at + PIECE_BYTES]):
                return Outcome.WRONG
    if worst is Outcome.DETECTED and files.heights():
        return Outcome.WRONG  # what rotted must not be offered again
    return worst


_READERS: dict[Memory, Callable[[Memories, Path], Outcome]] = {
    Memory.SIGN_STATE: _read_sign_state,
    Memory.VOTE_LOG: _read_votes,
    Memory.JOURNAL: _read_journal,
    Memory.SNAPSHOT: _read_snapshot,
}


def _skip(slot: int) -> Vote:
    return Vote(VoteKind.SKIP, 0, slot, ZERO_DIGEST)


def _filler(name: bytes, size: int) -> bytes:
    parts = (digest(Domain.BLOB, name + b"%d" % number) for number in range(-(-size // 32)))
    return b"".join(parts)[:size]


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.startswith("lock") and path.suffix != ".lock":
            yield str(path.relative_to(folder)), path.read_bytes()


def _write_snapshot(folder: Path) -> int:
    chain = CertifiedChain(params=Params(expiry_window_blocks=WINDOW))
    store = ChainStore(folder.with_suffix(".chain"), MAP_BYTES)
    chain.open(store)
    store.append([chain.extend(chain.write(60)) for _ in range(HEIGHTS)])
    with store.snapshot() as snapshot:
        height = PortableFiles(folder / _SNAPSHOTS).write(snapshot)
    store.close()
    return height

"""Damage of the medium: flipped bits, pages written to the wrong place, pages lost.

A damaged copy is opened by a process of its own and asked everything a node asks. Each trial ends
as unharmed (the same answers), detected (a typed error), stopped (the process died: loud, though
not pretty) or wrong (another answer and no error), and wrong must never happen.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from andon.core.codec import encode
from andon.core.errors import AndonError
from andon.core.genesis import Genesis
from andon.core.hashing import Domain, digest
from node.storage import ChainStore, scrub
from node.storage.snapshot import Snapshot
from node.testing.lab.certified import CertifiedChain

MAP_BYTES = 1024**3
DATA_FILE = "data.mdb"
MARK_SUFFIX = ".mark"
PAGE_BYTES = 4096
TRANSACTIONS_A_BLOCK = 2
DIED = 9
TRIAL_CPU_S = 20
"""Damage may make the tree of pages a ring; nobody waits for ever."""


class Damage(Enum):
    """What the medium does."""

    FLIP = "flipped bit"
    MISDIRECT = "page written to another page's place"
    ZERO = "page lost"
    STALE = "page of an earlier time"


class Outcome(Enum):
    """How a trial ended; the value is the exit status of its process."""

    UNHARMED = 0
    DETECTED = 3
    WRONG = 4
    STOPPED = 5


@dataclass(frozen=True, slots=True)
class Specimen:
    """A sound store's file, an older one of the same store, and what it answers."""

    folder: Path
    content: bytes
    older: bytes
    answers: bytes
    heights: int
    transactions: tuple[bytes, ...]
    genesis: Genesis
    genesis_hash: bytes


def make_specimen(folder: Path, heights: int) -> Specimen:
    """Write a chain of some blocks and take its answers."""
    chain = CertifiedChain()
    path = folder / DATA_FILE
    store = ChainStore(folder, MAP_BYTES, mark=folder.with_suffix(MARK_SUFFIX))
    chain.open(store)
    older = b""
    transactions: list[bytes] = []
    for _ in range(heights):
        made = [chain.write(1) for _ in range(TRANSACTIONS_A_BLOCK)]
        block = chain.extend(*made)
        store.append([block])
        transactions += [transaction.id for transaction in made]
        if block.block.header.height == heights - heights // 4:
            older = path.read_bytes()
    answers = answers_of(store, heights, transactions)
    store.close()
    return Specimen(
        folder=folder,
        content=path.read_bytes(),
        older=older,
        answers=answers,
        heights=heights,
        transactions=tuple(transactions),
        genesis=chain.genesis,
        genesis_hash=chain.genesis_hash,
    )


def damaged_copy(specimen: Specimen, damage: Damage, draw: random.Random) -> bytes:
    """Draw one place and spoil it; the two meta pages are places like others."""
    content = bytearray(specimen.content)
    pages = len(content) // PAGE_BYTES
    at = draw.randrange(pages) * PAGE_BYTES
    match damage:
        case Damage.FLIP:
            content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        case Damage.MISDIRECT:
            source = draw.randrange(pages) * PAGE_BYTES
            content[at : at + PAGE_BYTES] = content[source : source + PAGE_BYTES]
        case Damage.ZERO:
            content[at : at + PAGE_BYTES] = bytes(PAGE_BYTES)
        case Damage.STALE:
            before = specimen.older[at : at + PAGE_BYTES]
            content[at : at + len(before)] = before
    return bytes(content)


def try_damage(specimen: Specimen, content: bytes, folder: Path) -> Outcome:
    """Ask a store with this file everything, in a process of its own."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / DATA_FILE).write_bytes(content)
    status = in_child(lambda: _read(specimen, folder).value)
    return Outcome(Outcome.STOPPED.value if status is None else status)


def in_child(job: Callable[[], int]) -> int | None:
    """Run a job in a process of its own and give its status; None if it died or raised."""
    child = os.fork()
    if child == 0:
        status = DIED
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (TRIAL_CPU_S, TRIAL_CPU_S))
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # LMDB says there what it dies of
            status = job()
        finally:
            os._exit(status)
    _, ended = os.waitpid(child, 0)
    if not os.WIFEXITED(ended) or os.WEXITSTATUS(ended) == DIED:
        return None
    return os.WEXITSTATUS(ended)


def open_copy(specimen: Specimen, folder: Path) -> ChainStore:
    """Open a damaged copy as a node does when it starts, under the mark of the sound store.

    Raises:
        AndonError: it is found to be damaged already now.
    """
    mark = folder.with_suffix(MARK_SUFFIX)
    shutil.copyfile(specimen.folder.with_suffix(MARK_SUFFIX), mark)
    store = ChainStore(folder, MAP_BYTES, mark=mark)
    store.check(specimen.genesis_hash)
    return store


def _read(specimen: Specimen, folder: Path) -> Outcome:
    try:
        store = open_copy(specimen, folder)
        with store.snapshot() as snapshot:
            scrub(snapshot)
    except AndonError:
        return Outcome.DETECTED
    # What passed is served: from here on an error would come too late.
    found = answers_of(store, specimen.heights, specimen.transactions)
    return Outcome.UNHARMED if found == specimen.answers else Outcome.WRONG


def answers_of(store: ChainStore, heights: int, transactions: Sequence[bytes]) -> bytes:
    """Digest of everything that a node asks of its store."""
    with store.snapshot() as snapshot:
        parts = _answers(snapshot, heights, transactions)
        framed = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return digest(Domain.BLOB, framed)


def _answers(snapshot: Snapshot, heights: int, transactions: Sequence[bytes]) -> Iterator[bytes]:
    yield snapshot.height().to_bytes(8, "big")
    for height in range(heights + 1):
        header, block = snapshot.header(height), snapshot.block(height)
        yield b"" if header is None else encode(header)
        yield b"" if block is None else encode(block)
        final = snapshot.final_block(height)
        yield b"" if final is None else encode(final)
        yield from (encode(receipt) for receipt in snapshot.receipts(height))
        yield from (encode(record) for record in snapshot.predictions(height))
    for identity in transactions:
        is_known = snapshot.has_transaction(identity)
        yield repr((is_known, snapshot.transaction_place(identity))).encode()
    for key, value in snapshot.iterate(b"", None, 10 * len(transactions) + 100):
        yield key + value
    yield snapshot.tree_node(b"") or b""
    yield repr((snapshot.epoch_closings(), snapshot.validators(0))).encode()

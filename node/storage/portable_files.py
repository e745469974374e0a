"""Portable states as folders of files: written from a read view, read by peers and `restore`.

`data/snapshots/HEIGHT/` holds a manifest and its chunks. A folder appears whole: it is written
under another name, synced and renamed.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import structlog

from andon.core.block import Header
from andon.core.certificate import ValidatorSet
from andon.core.codec import encode
from andon.core.errors import Code, Corrupt, InvalidInput, Unavailable
from andon.core.pieces import PIECE_BYTES
from andon.core.proof import EpochChange, FinalHeader
from andon.core.state_proof import key_digest
from consensus.ledger import Overlay, check_top, cut_depth, sort_chunk, top_nodes
from consensus.ledger.cut import DEPTH_MAX, Entry
from consensus.ledger.succession import read_params
from node.disk import on_disk
from node.storage.blob_files import NO_DAMAGE
from node.storage.durable import flush, make_folder
from node.storage.portable import (
    BLOCKS_PER_CHUNK,
    MANIFEST,
    PORTABLE_VERSION,
    HistoryChunk,
    HistoryItem,
    Manifest,
    Pair,
    StateChunk,
    encode_chunk,
    history_name,
    is_chunk_name,
    state_name,
)
from node.storage.snapshot import Snapshot
from node.storage.sums import FILES_MAX, FileSums, check_piece_of, read_sums, write_file, write_sums
from node.storage.values import damaged

BUCKETS_BYTES_MAX = 64 * 1024 * 1024
"""Entries held in memory while they are sorted into chunks; more are spooled to disk."""
SUMS_STATES_MAX = 4
SUMS_FILES_MAX = FILES_MAX
"""Checksums held of so many states, as long as they are of so many files together."""
YIELD_EVERY = 2000
_SIZE_BYTES = 4

log = structlog.get_logger()


class PortableFiles:
    """The folder of a node's portable states. Blocking: call it from a thread."""

    def __init__(self, folder: Path) -> None:
        """Make the folder if it is missing.

        Raises:
            Corrupt: STORAGE_DAMAGED or STORAGE_FULL if the disk refuses.
        """
        self.folder = folder
        self._sums: dict[int, dict[str, FileSums]] = {}
        """Of the states that were asked for last, by height, the latest at the end."""
        self._lock = threading.Lock()
        with on_disk("snapshots"):
            make_folder(folder)

    def clear_leftovers(self) -> None:
        """Remove what a crash left half written; for the node alone, when it starts."""
        for leftover in self.folder.glob("*.part"):
            shutil.rmtree(leftover, ignore_errors=True)

    def heights(self) -> list[int]:
        """Heights that are here, ascending."""
        return sorted(int(path.name) for path in self.folder.iterdir() if path.name.isdecimal())

    def read(self, height: int, name: str) -> bytes:
        """Read a whole file.

        Raises:
            InvalidInput: NOT_FOUND.
        """
        path = self._path(height, name)
        try:
            return path.read_bytes()
        except OSError:
            raise _not_found(height, name) from None

    def piece(self, height: int, name: str, offset: int, size: int) -> tuple[int, bytes]:
        """Read a piece of a file for a peer; also the file's total size.

        A state with a piece that has rotted is removed: another one is written with time.

        Raises:
            InvalidInput: NOT_FOUND, also for what begins or ends within a piece.
        """
        path = self._path(height, name)
        if not path.exists() or offset < 0 or offset % PIECE_BYTES or size != PIECE_BYTES:
            raise _not_found(height, name)
        try:
            return self._checked_piece(height, name, offset)
        except FileNotFoundError:  # removed meanwhile
            pass
        except (OSError, Corrupt) as error:
            if isinstance(error, Corrupt) or error.errno not in NO_DAMAGE:
                self._drop(height, name, str(error))
        raise _not_found(height, name)

    def _checked_piece(self, height: int, name: str, offset: int) -> tuple[int, bytes]:
        found = self._sums_of(height).get(name)
        if found is None:
            raise damaged("the checksums of the snapshot do not name the file")
        with self._path(height, name).open("rb") as file:
            file.seek(offset)
            piece = file.read(PIECE_BYTES)
        check_piece_of(found, offset, piece)
        return found.size, piece

    def _drop(self, height: int, name: str, reason: str) -> None:
        if self._remove(height):
            log.error("snapshot.damaged", height=height, file=name, reason=reason[:200])

    def _remove(self, height: int) -> bool:
        """Delete a state; False if somebody else did.

        It loses its name at a stroke: what vanishes file by file would be taken for damaged.
        """
        with self._lock:
            self._sums.pop(height, None)
        going = self.folder / f"{height}.going.part"
        shutil.rmtree(going, ignore_errors=True)
        try:
            (self.folder / str(height)).rename(going)
        except FileNotFoundError:
            return False
        except OSError as error:
            log.warning("snapshot.not_deleted", height=height, reason=str(error)[:200])
            return True
        shutil.rmtree(going, ignore_errors=True)
        return True

    def _sums_of(self, height: int) -> dict[str, FileSums]:
        """Read them once, not for every piece: peers fetch several states side by side."""
        with self._lock:
            sums = self._sums.pop(height, None)
            if sums is not None:
                self._sums[height] = sums
                return sums
        sums = read_sums(self.folder / str(height))
        with self._lock:
            self._sums[height] = sums
            while len(self._sums) > 1 and self._holds_too_much():
                del self._sums[next(iter(self._sums))]
        return sums

    def _holds_too_much(self) -> bool:
        files = sum(len(sums) for sums in self._sums.values())
        return len(self._sums) > SUMS_STATES_MAX or files > SUMS_FILES_MAX

    def size_bytes(self, height: int) -> int:
        """Bytes of one portable state."""
        return sum(path.stat().st_size for path in (self.folder / str(height)).iterdir())

    def keep_newest(self, count: int) -> None:
        """Delete all but the newest ones."""
        for height in self.heights()[: -count if count else None]:
            self._remove(height)

    def write(self, snapshot: Snapshot) -> int:
        """Write the state of a view with the blocks that belong to it; returns its height.

        Raises:
            InvalidInput: HEIGHT_UNKNOWN at height 0, or if blocks are missing that were pruned.
            Unavailable: NOT_READY if the block has no certificate of its own, STORAGE_FULL.
        """
        manifest = make_manifest(snapshot)
        height = manifest.final.header.height
        final = self.folder / str(height)
        if final.exists():
            return height
        part = final.with_suffix(f".{os.getpid()}.part")
        try:
            part.mkdir(mode=0o700)
            files = [
                *_write_states(snapshot, manifest, part),
                *_write_history(snapshot, manifest, part),
                write_file(part / MANIFEST, encode(manifest)),
            ]
            write_sums(part, files)
            flush(part)
            part.rename(final)
            flush(self.folder)
        except OSError as error:
            shutil.rmtree(part, ignore_errors=True)
            raise Unavailable(
                Code.STORAGE_FULL, f"the snapshot cannot be stored: {error.strerror}"
            ) from None
        return height

    def _path(self, height: int, name: str) -> Path:
        if not is_chunk_name(name):
            raise _not_found(height, name)
        return self.folder / str(height) / name


def make_manifest(snapshot: Snapshot) -> Manifest:
    """Gather the proof of a view's state; raises as `PortableFiles.write`."""
    height = snapshot.height()
    header, certificate = snapshot.header(height), snapshot.certificate(height)
    if height == 0 or header is None:
        raise InvalidInput(Code.HEIGHT_UNKNOWN, "the chain has no block yet")
    if certificate is None:
        raise Unavailable(
            Code.NOT_READY,
            f"block {height} has no certificate of its own",
            hint="wait for the next block",
        )
    window = read_params(Overlay(snapshot)).expiry_window_blocks
    first = max(1, height + 1 - window)
    if snapshot.first_height() > first:
        raise InvalidInput(Code.HEIGHT_UNKNOWN, f"block {first} is pruned here")
    headers = [_header(snapshot, at) for at in range(first, height + 1)]
    depth = cut_depth(snapshot.length("state"))
    return Manifest(
        version=PORTABLE_VERSION,
        genesis=_header(snapshot, 0).parent,
        changes=tuple(_change(snapshot, at) for at in snapshot.epoch_closings()),
        final=FinalHeader(header=header, path=(), certificate=certificate),
        headers=tuple(headers),
        top=tuple(Pair(path, content) for path, content in top_nodes(snapshot, depth)),
    )


def _change(snapshot: Snapshot, closing: int) -> EpochChange:
    final = snapshot.final_header(closing)
    if final is None:
        raise damaged(f"the certificate of block {closing} is missing")
    validators: ValidatorSet | None = snapshot.validators(final.header.epoch + 1)
    if validators is None:
        raise damaged(f"the validators of epoch {final.header.epoch + 1} are missing")
    return EpochChange(final=final, next_validators=validators)


def _header(snapshot: Snapshot, height: int) -> Header:
    header = snapshot.header(height)
    if header is None:
        raise damaged(f"header {height} is missing")
    return header


def _write_states(snapshot: Snapshot, manifest: Manifest, folder: Path) -> Iterator[FileSums]:
    root = manifest.final.header.state_root
    places = check_top(root, [(pair.key, pair.value) for pair in manifest.top])
    buckets = _Buckets(folder)
    for number, (key, value) in enumerate(snapshot.entries("state")):
        digits = key_digest(key).hex().encode()
        path = next(digits[:n] for n in range(DEPTH_MAX + 1) if digits[:n] in places)
        buckets.add(path, key, value)
        if number % YIELD_EVERY == YIELD_EVERY - 1:
            time.sleep(0)  # let the threads that vote have their turn
    for path in sorted(places):
        pairs = [Pair(key, value) for key, value in sort_chunk(buckets.take(path))]
        yield write_file(folder / state_name(path), encode_chunk(StateChunk(entries=tuple(pairs))))


def _write_history(snapshot: Snapshot, manifest: Manifest, folder: Path) -> Iterator[FileSums]:
    first, height = manifest.headers[0].height, manifest.final.header.height
    for number in range(first // BLOCKS_PER_CHUNK, height // BLOCKS_PER_CHUNK + 1):
        start = max(first, number * BLOCKS_PER_CHUNK)
        end = min(height + 1, (number + 1) * BLOCKS_PER_CHUNK)
        items = tuple(history_item(snapshot, at) for at in range(start, end))
        yield write_file(folder / history_name(number), encode_chunk(HistoryChunk(items=items)))


def history_item(snapshot: Snapshot, height: int) -> HistoryItem:
    """Give a stored block with what it did.

    Raises:
        Corrupt: STORAGE_DAMAGED if it is not here.
    """
    block = snapshot.block(height)
    if block is None:
        raise damaged(f"block {height} is missing")
    return HistoryItem(
        block=block,
        certificate=snapshot.certificate(height),
        receipts=tuple(encode(receipt) for receipt in snapshot.receipts(height)),
        predictions=tuple(encode(record) for record in snapshot.predictions(height)),
    )


class _Buckets:
    """Entries by chunk; spooled to files beside the chunks when they are many."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[bytes, bytearray] = {}
        self._bytes = 0

    def add(self, path: bytes, key: bytes, value: bytes) -> None:
        bucket = self._held.setdefault(path, bytearray())
        for part in (key, value):
            bucket += len(part).to_bytes(_SIZE_BYTES, "big") + part
        self._bytes += len(key) + len(value)
        if self._bytes > BUCKETS_BYTES_MAX:
            self._spool()

    def take(self, path: bytes) -> list[Entry]:
        spool = self._spool_of(path)
        data = bytes(self._held.pop(path, b""))
        if spool.exists():
            data = spool.read_bytes() + data
            spool.unlink()
        parts: list[bytes] = []
        at = 0
        while at < len(data):
            size = int.from_bytes(data[at : at + _SIZE_BYTES], "big")
            parts.append(data[at + _SIZE_BYTES : at + _SIZE_BYTES + size])
            at += _SIZE_BYTES + size
        return list(zip(parts[::2], parts[1::2], strict=True))

    def _spool(self) -> None:
        for path, held in self._held.items():
            with self._spool_of(path).open("ab") as file:
                file.write(held)
        self._held.clear()
        self._bytes = 0

    def _spool_of(self, path: bytes) -> Path:
        return self._folder / f"spool-{path.decode()}"


def _not_found(height: int, name: str) -> InvalidInput:
    return InvalidInput(Code.NOT_FOUND, f"no {name:.40} of a snapshot at {height} is here")

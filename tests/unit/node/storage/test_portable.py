"""Portable states: written by one node, proved from genesis, installed by another; pruning."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from andon.core.block import block_hash
from andon.core.codec import decode, encode
from andon.core.errors import Code, Corrupt, InvalidInput
from andon.core.genesis import Params
from andon.core.pieces import PIECE_BYTES
from andon.core.state_key import state_key
from andon.core.transaction import make_call
from consensus.ledger import tree_root
from node.replay import replay
from node.storage import ChainStore, PortableFiles, portable_files, scrub
from node.storage.portable import (
    MANIFEST,
    HistoryChunk,
    Manifest,
    StateChunk,
    check_manifest,
)
from node.storage.portable_files import SUMS_STATES_MAX
from node.storage.sums import SUMS, FileSums, read_sums
from node.storage.undo import rewind
from node.testing.lab import CertifiedChain

MAP_BYTES = 64 * 1024 * 1024
WINDOW = 20
HEIGHTS = 45


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[CertifiedChain, ChainStore]]:
    """A chain with an epoch that closed, thousands of entries, events and predictions."""
    chain = CertifiedChain(params=Params(expiry_window_blocks=WINDOW))
    store = ChainStore(tmp_path_factory.mktemp("made") / "chain", MAP_BYTES)
    chain.open(store)
    for height in range(1, HEIGHTS + 1):
        window = make_call("notes", "assess", {"key": f"w{height}", "window": b"abc!"})
        transactions = [chain.write(60), chain.transaction(window)]
        if height == 5:
            transactions.append(chain.schedule(chain.keys[1:], 8))
        store.append([chain.extend(*transactions, is_certified=height != 30)])
    yield chain, store
    store.close()


@pytest.fixture
def files(tmp_path: Path, made: tuple[CertifiedChain, ChainStore]) -> PortableFiles:
    files = PortableFiles(tmp_path / "snapshots")
    with made[1].snapshot() as snapshot:
        assert files.write(snapshot) == HEIGHTS
    return files


def test_a_written_state_is_proved_from_genesis_and_installs_with_its_window(
    tmp_path: Path, made: tuple[CertifiedChain, ChainStore], files: PortableFiles
) -> None:
    chain, source = made
    checked = check_manifest(chain.genesis, files.read(HEIGHTS, MANIFEST))
    assert checked.first == HEIGHTS + 1 - WINDOW
    assert len([name for name in checked.names() if name.startswith("state-")]) == 16
    store = ChainStore(tmp_path / "chain", MAP_BYTES)
    chain.open(store)
    store.install(checked, lambda name: files.read(HEIGHTS, name))
    store.check(chain.genesis_hash)
    with store.snapshot() as found, source.snapshot() as origin:
        assert scrub(found).height == HEIGHTS
        assert tree_root(found) == tree_root(origin)
        assert found.final_block(HEIGHTS) == origin.final_block(HEIGHTS)
        assert found.final_block(30) == origin.final_block(30)
        assert found.receipts(HEIGHTS - 3) == origin.receipts(HEIGHTS - 3)
        assert len(found.predictions(HEIGHTS - 3)) == 1
        assert found.final_header(8) == origin.final_header(8)
        assert found.validators(1) == origin.validators(1)
        assert found.block(HEIGHTS - WINDOW) is None
        rewind(found, HEIGHTS)
        with pytest.raises(InvalidInput, match=f"those after blocks {HEIGHTS} to {HEIGHTS} are"):
            rewind(found, HEIGHTS - 1)
    # The chain goes on, and the restored node is itself a source.
    again = PortableFiles(tmp_path / "again")
    with store.snapshot() as found:
        again.write(found)
    assert again.read(HEIGHTS, MANIFEST) == files.read(HEIGHTS, MANIFEST)
    store.close()


def altered(files: PortableFiles, name: str, change: object) -> None:
    path = files.folder / str(HEIGHTS) / name
    data = path.read_bytes()
    path.write_bytes(change(data))  # type: ignore[operator] # a function of bytes


def lying_state(data: bytes) -> bytes:
    chunk = decode(StateChunk, data)
    first = chunk.entries[0]
    changed = msgspec.structs.replace(first, value=first.value[:-1] + b"y")
    return encode(StateChunk(entries=(changed, *chunk.entries[1:])))


def missing_entry(data: bytes) -> bytes:
    return encode(StateChunk(entries=decode(StateChunk, data).entries[1:]))


def swapped_receipts(data: bytes) -> bytes:
    items = decode(HistoryChunk, data).items
    swapped = msgspec.structs.replace(items[0], receipts=items[1].receipts)
    return encode(HistoryChunk(items=(swapped, *items[1:])))


def missing_block(data: bytes) -> bytes:
    return encode(HistoryChunk(items=decode(HistoryChunk, data).items[1:]))


def unsigned(data: bytes) -> bytes:
    items = decode(HistoryChunk, data).items
    certificate = items[0].certificate
    assert certificate is not None
    signers = tuple(msgspec.structs.replace(s, signature=bytes(64)) for s in certificate.signers)
    forged = msgspec.structs.replace(certificate, signers=signers)
    return encode(
        HistoryChunk(items=(msgspec.structs.replace(items[0], certificate=forged), *items[1:]))
    )


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("state-0", lying_state),
        ("state-7", missing_entry),
        ("blocks-2", swapped_receipts),
        ("blocks-2", missing_block),
        ("blocks-2", unsigned),
    ],
)
def test_a_lying_chunk_is_refused_and_nothing_is_installed(
    tmp_path: Path,
    made: tuple[CertifiedChain, ChainStore],
    files: PortableFiles,
    name: str,
    change: object,
) -> None:
    chain, _ = made
    altered(files, name, change)
    checked = check_manifest(chain.genesis, files.read(HEIGHTS, MANIFEST))
    store = ChainStore(tmp_path / "chain", MAP_BYTES)
    chain.open(store)
    with pytest.raises(InvalidInput):
        store.install(checked, lambda name: files.read(HEIGHTS, name))
    assert store.head_height() == 0
    store.check(chain.genesis_hash)
    store.close()


def whole_file(files: PortableFiles, name: str) -> bytes:
    """A file as a peer fetches it."""
    body, total = b"", -1
    while len(body) != total:
        total, piece = files.piece(HEIGHTS, name, len(body), PIECE_BYTES)
        body += piece
    return body


def test_peers_get_every_file_and_nothing_that_rotted(files: PortableFiles) -> None:
    folder = files.folder / str(HEIGHTS)
    names = sorted(path.name for path in folder.iterdir() if path.name != SUMS)
    for name in names:
        assert whole_file(files, name) == files.read(HEIGHTS, name)
    for place in ((HEIGHTS, SUMS, 0), (HEIGHTS, MANIFEST, 7), (HEIGHTS, MANIFEST, -1), (1, "x", 0)):
        with pytest.raises(InvalidInput):
            files.piece(*place, PIECE_BYTES)
    altered(files, names[3], lambda data: data[:-1] + bytes([data[-1] ^ 1]))
    assert whole_file(files, names[2])
    with pytest.raises(InvalidInput) as caught:
        files.piece(HEIGHTS, names[3], 0, PIECE_BYTES)
    assert caught.value.code is Code.NOT_FOUND
    assert files.heights() == [], "what rotted is offered no more"


def test_a_state_that_is_deleted_while_a_peer_asks_is_not_called_damaged(
    files: PortableFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deleted(folder: Path) -> dict[str, FileSums]:
        files.keep_newest(0)
        return read_sums(folder)

    monkeypatch.setattr(portable_files, "read_sums", deleted)
    with capture_logs() as logs, pytest.raises(InvalidInput) as caught:
        files.piece(HEIGHTS, MANIFEST, 0, PIECE_BYTES)
    assert caught.value.code is Code.NOT_FOUND
    assert logs == []
    assert list(files.folder.iterdir()) == []


def test_one_that_rotted_and_went_does_not_keep_old_ones_from_being_deleted(
    files: PortableFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "heights", lambda: [HEIGHTS - 1, HEIGHTS])
    files.keep_newest(0)
    assert list(files.folder.iterdir()) == []


def test_peers_that_fetch_several_states_side_by_side_do_not_have_checksums_read_for_each_piece(
    files: PortableFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    heights = [HEIGHTS + more for more in range(SUMS_STATES_MAX + 1)]
    for height in heights[1:]:
        shutil.copytree(files.folder / str(HEIGHTS), files.folder / str(height))
    read: list[int] = []

    def noted(folder: Path) -> dict[str, FileSums]:
        read.append(int(folder.name))
        return read_sums(folder)

    monkeypatch.setattr(portable_files, "read_sums", noted)
    for _ in range(3):
        for height in heights[:-1]:
            files.piece(height, MANIFEST, 0, PIECE_BYTES)
    assert read == heights[:-1]
    files.piece(heights[1], MANIFEST, 0, PIECE_BYTES)
    files.piece(heights[-1], MANIFEST, 0, PIECE_BYTES)  # the one asked for longest ago makes room
    files.piece(heights[1], MANIFEST, 0, PIECE_BYTES)
    assert read == heights
    files.piece(heights[0], MANIFEST, 0, PIECE_BYTES)
    assert read == [*heights, heights[0]]
    in_one = len(read_sums(files.folder / str(HEIGHTS)))
    monkeypatch.setattr(portable_files, "SUMS_FILES_MAX", 2 * in_one)
    files.piece(heights[2], MANIFEST, 0, PIECE_BYTES)
    assert list(files._sums) == [heights[0], heights[2]]


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"x"])
@pytest.mark.parametrize("name", [SUMS, MANIFEST])
def test_a_file_of_another_length_is_not_given(
    files: PortableFiles, name: str, change: object
) -> None:
    altered(files, name, change)
    with pytest.raises(InvalidInput):
        files.piece(HEIGHTS, MANIFEST, 0, PIECE_BYTES)
    assert files.heights() == []


def manifest_of(files: PortableFiles) -> Manifest:
    return decode(Manifest, files.read(HEIGHTS, MANIFEST))


def test_a_lying_manifest_is_refused(
    made: tuple[CertifiedChain, ChainStore], files: PortableFiles
) -> None:
    chain, source = made
    sound = manifest_of(files)
    with source.snapshot() as snapshot:
        other = snapshot.final_header(HEIGHTS - 1)
    assert other is not None
    replace = msgspec.structs.replace
    header = replace(sound.final.header, state_root=bytes(32))
    for lie in (
        replace(sound, version=2),
        replace(sound, genesis=bytes(32)),
        replace(sound, changes=()),
        replace(sound, changes=(*sound.changes, *sound.changes)),
        replace(sound, final=replace(sound.final, header=header)),
        replace(sound, final=other),
        replace(sound, headers=sound.headers[:-1]),
        replace(sound, headers=sound.headers[:5] + sound.headers[6:]),
        replace(sound, headers=()),
        replace(sound, top=sound.top + sound.top),
        replace(sound, top=(replace(sound.top[0], value=sound.top[0].value[:-1] + b"\0"),)),
    ):
        with pytest.raises(InvalidInput):
            check_manifest(chain.genesis, encode(lie))
    check_manifest(chain.genesis, encode(sound))


def test_history_that_is_too_short_to_know_duplicates_is_refused(
    tmp_path: Path, made: tuple[CertifiedChain, ChainStore], files: PortableFiles
) -> None:
    chain, _ = made
    short = msgspec.structs.replace(manifest_of(files), headers=manifest_of(files).headers[7:])
    checked = check_manifest(chain.genesis, encode(short))
    store = ChainStore(tmp_path / "chain", MAP_BYTES)
    chain.open(store)

    def read(name: str) -> bytes:
        data = files.read(HEIGHTS, name)
        if not name.startswith("blocks-"):
            return data
        items = decode(HistoryChunk, data).items
        kept = tuple(item for item in items if item.block.header.height >= checked.first)
        return encode(HistoryChunk(items=kept))

    with pytest.raises(InvalidInput) as caught:
        store.install(checked, read)
    assert caught.value.code is Code.BAD_PROOF
    store.close()


def test_a_disk_that_refuses_the_folder_is_named_as_the_storage(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Corrupt, match="snapshots: the disk refuses") as caught:
        PortableFiles(tmp_path / "file" / "snapshots")
    assert caught.value.code is Code.STORAGE_DAMAGED


def test_names_of_files_cannot_leave_the_folder(files: PortableFiles) -> None:
    for name in ("../../keys/node.key", "state-zz", "blocks-", "state-00000", "manifest/.."):
        with pytest.raises(InvalidInput):
            files.piece(HEIGHTS, name, 0, PIECE_BYTES)
    files.keep_newest(0)
    assert files.heights() == []


def test_a_pruned_store_keeps_headers_certificates_and_proofs_of_kept_heights(
    tmp_path: Path,
) -> None:
    chain = CertifiedChain(params=Params(expiry_window_blocks=5))
    store = ChainStore(tmp_path / "chain", MAP_BYTES)
    chain.open(store)
    blocks = [chain.extend(chain.write(2)) for _ in range(20)]
    store.append(blocks)
    assert store.prune(12, 4) == 4
    assert store.prune(12, 100) == 7
    assert store.prune(12, 100) == 0
    with store.snapshot() as snapshot:
        assert scrub(snapshot).height == 20
        assert snapshot.first_height() == 12
        assert snapshot.block(11) is None
        assert snapshot.receipts(11) == ()
        gone = blocks[10].executed.receipts[0].transaction_id
        assert not snapshot.has_transaction(gone)
        header = snapshot.final_header(11)
        assert header is not None
        assert header.header == blocks[10].block.header
        kept = snapshot.final_block(12)
        assert kept is not None
        assert kept.block == blocks[11].block
        with pytest.raises(InvalidInput) as caught:
            replay(chain.genesis, chain.engine, snapshot)
    assert caught.value.code is Code.HEIGHT_UNKNOWN
    store.append([chain.extend(chain.write(1))])
    store.close()


def test_replay_gives_the_stored_state_and_notices_another_one(
    tmp_path: Path, made: tuple[CertifiedChain, ChainStore]
) -> None:
    chain, source = made
    with source.snapshot() as snapshot:
        done = replay(chain.genesis, chain.engine, snapshot)
        assert (done.height, done.transactions) == (HEIGHTS, 2 * HEIGHTS + 1)
        assert done.state_root == tree_root(snapshot)
        assert done.predictions == HEIGHTS
        assert replay(chain.genesis, chain.engine, snapshot, last=7).height == 7
    other = CertifiedChain()
    store = ChainStore(tmp_path / "chain", MAP_BYTES)
    other.open(store)
    blocks = [other.extend(other.write(1)) for _ in range(3)]
    store.append(blocks)
    key = state_key("notes", "notes", "k0")
    with store.snapshot() as snapshot:
        root = snapshot.tree_node(b"")
        assert snapshot.get(key) is not None
        assert snapshot.height_of(block_hash(blocks[2].block.header)) == 3
    assert root is not None
    store.rewrite([("tree", b"/", root[:-1] + bytes([root[-1] ^ 1]))])
    with store.snapshot() as snapshot, pytest.raises(Corrupt):
        replay(other.genesis, other.engine, snapshot)
    store.close()

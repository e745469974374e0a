"""State sync against peers that are honest, slow, gone or lying."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from andon.core.codec import decode, encode
from andon.core.errors import Code, Unavailable
from andon.core.genesis import Params
from andon.core.pieces import PIECE_BYTES
from node.drivers import state_sync
from node.drivers.state_sync import FETCHES_AT_ONCE_MAX, FETCHES_PER_PEER, Fetched, StateSync
from node.storage import ChainStore, PortableFiles
from node.storage.portable import MANIFEST, HistoryChunk, Manifest, Pair, StateChunk
from node.testing.lab import CertifiedChain

HEIGHT = 40


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[CertifiedChain, PortableFiles]:
    folder = tmp_path_factory.mktemp("made")
    chain = CertifiedChain(params=Params(expiry_window_blocks=30))
    store = ChainStore(folder / "chain", 64 * 1024 * 1024)
    chain.open(store)
    store.append([chain.extend(chain.write(60)) for _ in range(HEIGHT)])
    files = PortableFiles(folder / "snapshots")
    with store.snapshot() as snapshot:
        files.write(snapshot)
    store.close()
    return chain, files


class Peers:
    """Peers by name; each may lie about kinds of files, or stop answering after some."""

    def __init__(self, files: PortableFiles, *names: bytes) -> None:
        self.files = files
        self.names = list(names)
        self.heights = {name: [HEIGHT] for name in names}
        self.lies: dict[bytes, str] = {}
        self.answers_left: dict[bytes, int] = {}
        self.stuck: dict[bytes, str] = {}
        self.served: list[tuple[bytes, str]] = []
        self.punished: list[bytes] = []
        self.held = 0

    async def snapshots(self, node_key: bytes) -> list[int]:
        await asyncio.sleep(0)
        return self.heights[node_key]

    async def snapshot_file(self, node_key: bytes, height: int, name: str, bytes_max: int) -> bytes:
        await asyncio.sleep(0)
        if self.lies and node_key not in self.lies:
            await self._liars_first()
        left = self.answers_left.get(node_key)
        if left is not None:
            self.answers_left[node_key] = left - 1
            if left <= 0:
                raise Unavailable(Code.UNREACHABLE, "gone")
        if node_key in self.stuck and name.startswith(self.stuck[node_key]):
            self.held += 1
            await asyncio.Event().wait()
        self.served.append((node_key, name))
        data = self.files.read(HEIGHT, name)
        assert len(data) <= bytes_max
        if node_key in self.lies and name.startswith(self.lies[node_key]):
            return lie_about(name, data)
        return data

    async def snapshot_pieces(
        self, node_key: bytes, height: int, name: str, bytes_max: int
    ) -> AsyncIterator[bytes]:
        data = await self.snapshot_file(node_key, height, name, bytes_max)
        for at in range(0, len(data), PIECE_BYTES):
            yield data[at : at + PIECE_BYTES]

    async def _liars_first(self) -> None:
        """Hold every honest answer back until the liars have lied, at most 2 s.

        Only then do they get that far: chunks are taken in order, whoever is free takes the next.
        """
        for _ in range(200):
            asked = {
                peer for peer, name in self.served if name.startswith(self.lies.get(peer, "-"))
            }
            if asked == set(self.lies):
                break
            await asyncio.sleep(0.01)

    def driver(self, chain: CertifiedChain, folder: Path) -> StateSync:
        return StateSync(
            chain.genesis,
            self,
            folder,
            peers=lambda: self.names,
            punish=lambda key, penalty, reason: self.punished.append(key),
        )


def lie_about(name: str, data: bytes) -> bytes:
    replace = msgspec.structs.replace
    if name == MANIFEST:
        manifest = decode(Manifest, data)
        header = replace(manifest.final.header, state_root=bytes(32))
        return encode(replace(manifest, final=replace(manifest.final, header=header)))
    if name.startswith("state"):
        return encode(StateChunk(entries=decode(StateChunk, data).entries[1:]))
    return encode(HistoryChunk(items=decode(HistoryChunk, data).items[:-1]))


def install(tmp_path: Path, chain: CertifiedChain, fetched: Fetched) -> int:
    store = ChainStore(tmp_path / "installed", 64 * 1024 * 1024)
    try:
        chain.open(store)
        store.install(fetched.checked, fetched.read)
        store.check(chain.genesis_hash)
        return store.head_height()
    finally:
        store.close()


async def test_chunks_come_from_all_peers_and_install(
    tmp_path: Path, made: tuple[CertifiedChain, PortableFiles]
) -> None:
    chain, files = made
    peers = Peers(files, b"a", b"b", b"c")
    fetched = await peers.driver(chain, tmp_path / "in").fetch()
    assert fetched is not None
    assert {peer for peer, _ in peers.served} == {b"a", b"b", b"c"}
    names = [name for _, name in peers.served]
    assert len(names) == len(set(names)) == len(fetched.checked.names()) + 1
    assert install(tmp_path, chain, fetched) == HEIGHT
    assert peers.punished == []


@pytest.mark.parametrize("kind", ["manifest", "state-", "blocks-"])
async def test_a_liar_is_punished_once_and_the_others_finish(
    tmp_path: Path, made: tuple[CertifiedChain, PortableFiles], kind: str
) -> None:
    chain, files = made
    peers = Peers(files, b"a", b"b", b"c")
    peers.lies[b"a"] = kind
    fetched = await peers.driver(chain, tmp_path / "in").fetch()
    assert fetched is not None
    assert peers.punished == [b"a"]
    assert install(tmp_path, chain, fetched) == HEIGHT


async def test_only_liars_give_nothing(
    tmp_path: Path, made: tuple[CertifiedChain, PortableFiles]
) -> None:
    chain, files = made
    peers = Peers(files, b"a", b"b")
    peers.lies = {b"a": "state-", b"b": "state-"}
    assert await peers.driver(chain, tmp_path / "in").fetch() is None
    assert sorted(peers.punished) == [b"a", b"b"]


async def test_what_was_fetched_before_a_restart_is_not_fetched_again(
    tmp_path: Path, made: tuple[CertifiedChain, PortableFiles]
) -> None:
    chain, files = made
    first = Peers(files, b"a")
    first.answers_left[b"a"] = 8
    assert await first.driver(chain, tmp_path / "in").fetch() is None
    fetched_names = {name for _, name in first.served}
    torn = next(name for name in sorted(fetched_names) if name.startswith("state-"))
    (tmp_path / "in" / str(HEIGHT) / torn).write_bytes(b"torn")
    second = Peers(files, b"b")
    fetched = await second.driver(chain, tmp_path / "in").fetch()
    assert fetched is not None
    again = {name for _, name in second.served} & fetched_names
    assert again == {MANIFEST, torn}
    assert install(tmp_path, chain, fetched) == HEIGHT


async def test_a_height_that_nobody_can_prove_gives_way_to_a_lower_one(
    tmp_path: Path, made: tuple[CertifiedChain, PortableFiles]
) -> None:
    chain, files = made
    peers = Peers(files, b"a", b"b")
    peers.heights[b"a"] = [HEIGHT, HEIGHT + 10]
    fetched = await peers.driver(chain, tmp_path / "in").fetch()
    assert fetched is not None
    assert fetched.checked.height == HEIGHT
    assert peers.punished == [b"a"]


@pytest.mark.parametrize("kind", ["manifest", "state-", "blocks-"])
async def test_a_peer_that_never_ends_its_answer_holds_nobody_up(
    tmp_path: Path,
    made: tuple[CertifiedChain, PortableFiles],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    monkeypatch.setattr(state_sync, "SLOW_S", 0.05)
    monkeypatch.setattr(state_sync, "MANIFEST_S", 0.05)
    chain, files = made
    peers = Peers(files, b"a", b"b")
    peers.stuck[b"a"] = kind
    async with asyncio.timeout(30):
        fetched = await peers.driver(chain, tmp_path / "in").fetch()
    assert fetched is not None
    assert peers.held > 0
    assert peers.punished == []  # slow is no crime
    assert install(tmp_path, chain, fetched) == HEIGHT


CHUNK_BYTES = 16 * PIECE_BYTES


class Swollen(Peers):
    """Peers whose chunks are large, and not what the top of the tree names."""

    def __init__(self, files: PortableFiles, *names: bytes) -> None:
        super().__init__(files, *names)
        self.chunk = encode(StateChunk(entries=(Pair(b"k", bytes(CHUNK_BYTES)),)))
        self.open = 0
        self.all_open = asyncio.Event()

    async def snapshot_pieces(
        self, node_key: bytes, height: int, name: str, bytes_max: int
    ) -> AsyncIterator[bytes]:
        self.open += 1
        if self.open == FETCHES_AT_ONCE_MAX:
            self.all_open.set()
        for at in range(0, len(self.chunk), PIECE_BYTES):
            await asyncio.sleep(0)
            yield bytes(bytearray(self.chunk[at : at + PIECE_BYTES]))
        # Nobody's chunk is whole before all are under way, so all that are held are held at once.
        await self.all_open.wait()
        self.open -= 1


async def test_memory_holds_a_piece_of_each_fetch_and_one_whole_chunk(
    tmp_path: Path, made: tuple[CertifiedChain, PortableFiles]
) -> None:
    chain, files = made
    count = FETCHES_AT_ONCE_MAX // FETCHES_PER_PEER
    peers = Swollen(files, *(bytes([number]) for number in range(count)))
    tracemalloc.start()
    try:
        assert await peers.driver(chain, tmp_path / "in").fetch() is None
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peers.all_open.is_set()
    assert sorted(peers.punished) == peers.names
    # Its bytes, what is decoded of them, and that encoded again.
    checking = 3 * CHUNK_BYTES
    # Of each fetch the piece that comes, the one that is written, and the one before on its thread.
    assert peak < checking + 3 * FETCHES_AT_ONCE_MAX * PIECE_BYTES
    assert 2 * peak < FETCHES_AT_ONCE_MAX * CHUNK_BYTES, "or it would show nothing"
    assert list((tmp_path / "in" / str(HEIGHT)).iterdir()) == [
        tmp_path / "in" / str(HEIGHT) / MANIFEST
    ]


async def test_a_full_disk_is_nobodys_fault_and_ends_the_sync(
    tmp_path: Path, made: tuple[CertifiedChain, PortableFiles]
) -> None:
    chain, files = made
    peers = Peers(files, b"a", b"b")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / str(HEIGHT)).symlink_to("/dev/full")
    with pytest.raises(Unavailable) as caught:
        await peers.driver(chain, tmp_path / "in").fetch()
    assert caught.value.code is Code.STORAGE_FULL
    assert peers.punished == []


async def test_what_a_killed_node_left_of_a_chunk_is_removed(
    tmp_path: Path, made: tuple[CertifiedChain, PortableFiles]
) -> None:
    chain, files = made
    left = tmp_path / "in" / str(HEIGHT) / "state-0.61.part"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    fetched = await Peers(files, b"a").driver(chain, tmp_path / "in").fetch()
    assert fetched is not None
    assert not list(left.parent.glob("*.part"))

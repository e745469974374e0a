from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from andon.core.codec import Value, encode, encode_value
from andon.core.errors import AndonError, Code, Corrupt, InvalidInput, Unavailable
from andon.core.hashing import Domain, digest
from andon.core.merkle import tree_of_digests
from andon.core.model import ModelManifest, model_id
from andon.core.package import MAGIC, Parts
from andon.core.pieces import PIECE_BYTES, piece_digests, piece_proof, pieces_root
from andon.core.state_key import state_key
from andon.core.transaction import Call
from andon.core.worker import Loaded
from node.drivers.blob_fetch import PEERS_ASKED_MAX, fetch_blob, fetch_pieces
from node.drivers.models import Announced, ModelsDriver, Ports, parse_announced
from node.drivers.paging import PAGE_ENTRIES
from node.storage import BlobStore

WEIGHTS = bytes(range(256)) * 10
LARGE = bytes(range(256)) * (PIECE_BYTES // 256 * 3) + b"tail"
LARGE_ID = bytes(digest(Domain.BLOB, LARGE))
MANIFEST = ModelManifest(
    name="m",
    version="1",
    task="rul",
    kind="exact",
    input_bytes=4,
    input_shape=(4,),
    input_dtype="int8",
    outputs=1,
    scale_num=1,
    scale_den=8,
    gas=505,
    multiply_adds=10,
    weights_digest=digest(Domain.BLOB, WEIGHTS),
    graph_digest=digest(Domain.BLOB, b"g"),
    golden_digest=digest(Domain.BLOB, b"o"),
    quantiser_digest=digest(Domain.BLOB, b"q"),
    training=(),
    parent=b"",
)
MODEL = bytes(model_id(MANIFEST))
BLOB = encode(Parts(MAGIC, encode(MANIFEST), b"g", WEIGHTS, b"q", b"o", ""))
BLOB_ID = bytes(digest(Domain.BLOB, BLOB))
VALIDATOR = b"v" * 32


class Registry:
    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}

    def announce(self, status: str, model: bytes = MODEL, **changes: Value) -> None:
        entry: dict[str, Value] = {
            "blob": BLOB_ID,
            "size": len(BLOB),
            "status": status,
            "input_bytes": 4,
            "outputs": 1,
            "scale_num": 1,
            "scale_den": 8,
            "gas": 505,
            "class": "exact",
        }
        self.values[state_key("models", "packages", model)] = encode_value({**entry, **changes})

    def attest(self, validator: bytes, *, ok: bool) -> None:
        key = state_key("models", "attestations", (MODEL, validator))
        self.values[key] = encode_value(ok)

    def weigh(self, weights: dict[bytes, int]) -> None:
        entries: list[Value] = [{"key": key, "weight": weight} for key, weight in weights.items()]
        self.values[state_key("identity", "validators")] = encode_value(entries)

    async def value(self, key: bytes) -> bytes | None:
        return self.values.get(key)

    async def entries(
        self, prefix: bytes, after: bytes | None, count_max: int
    ) -> list[tuple[bytes, bytes]]:
        found = [item for item in sorted(self.values.items()) if item[0].startswith(prefix)]
        return [item for item in found if after is None or item[0] > after][:count_max]


class Worker:
    def __init__(self) -> None:
        self.loaded: list[bytes] = []
        self.unloaded: list[bytes] = []
        self.asked = 0
        self.error: AndonError | None = None

    def has_model(self, model_id: bytes) -> bool:
        return bool(self.loaded)

    async def load(self, blob: bytes, reread: Callable[[], bytes]) -> Loaded:
        self.asked += 1
        if self.error is not None:
            raise self.error
        assert reread() == blob
        self.loaded.append(blob)
        return Loaded(MODEL, encode(MANIFEST))

    async def unload(self, model_id: bytes) -> None:
        self.unloaded.append(model_id)
        self.loaded.clear()


class Blobs:
    def __init__(self) -> None:
        self.kept: dict[bytes, bytes] = {}
        self.damaged: set[bytes] = set()

    def has(self, identity: bytes) -> bool:
        return identity in self.kept

    def get(self, identity: bytes) -> bytes:
        if identity in self.damaged:
            raise Corrupt(Code.STORAGE_DAMAGED, "rot")
        return self.kept[identity]

    def put(self, blob: bytes) -> bytes:
        identity = bytes(digest(Domain.BLOB, blob))
        self.kept[identity] = blob
        return identity

    def remove(self, identity: bytes) -> None:
        self.damaged.discard(identity)
        del self.kept[identity]

    def pieces_here(self, identity: bytes) -> int:
        return 0

    def add_piece(self, identity: bytes, index: int, piece: bytes) -> None:
        raise AssertionError("no entry of these tests names a root of pieces")

    def finish(self, identity: bytes) -> bytes:
        raise AssertionError("no entry of these tests names a root of pieces")


class Peers:
    """Peer b"good" gives true pieces, b"lies" false ones, b"half" stops midway."""

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, int]] = []

    async def blob_part(self, node_key: bytes, digest: bytes, offset: int) -> tuple[int, bytes]:
        self.asked.append((node_key, offset))
        whole = LARGE if digest == LARGE_ID else BLOB
        piece = whole[offset : offset + (1 if node_key == b"drips" else PIECE_BYTES)]
        if node_key == b"half" and offset >= PIECE_BYTES:
            raise Unavailable(Code.UNREACHABLE, "gone")
        return len(whole), bytes(len(piece)) if node_key == b"lies" else piece

    async def blob_piece(self, node_key: bytes, digest: bytes, index: int) -> tuple[bytes, bytes]:
        self.asked.append((node_key, index))
        if node_key == b"half" and index >= 1:
            raise Unavailable(Code.UNREACHABLE, "gone")
        piece = LARGE[index * PIECE_BYTES : (index + 1) * PIECE_BYTES]
        proof = piece_proof(tree_of_digests(piece_digests(LARGE)), index)
        return bytes(len(piece)) if node_key == b"lies" and index == 2 else piece, proof


class World:
    def __init__(self, peers: tuple[bytes, ...] = (b"good",), *, votes: bool = True) -> None:
        self.registry, self.worker, self.blobs, self.peers = (
            Registry(),
            Worker(),
            Blobs(),
            Peers(),
        )
        self.calls: list[Call] = []

        async def attest(call: Call) -> None:
            self.calls.append(call)

        self.ports = Ports(
            store=self.blobs,
            state=self.registry,
            worker=self.worker,
            source=self.peers,
            peers=lambda: list(peers),
            attest=attest if votes else None,
            validator_key=VALIDATOR,
        )
        self.driver = ModelsDriver(self.ports)


def attested(*, ok: bool) -> bytes:
    return encode_value({"model_id": MODEL, "ok": ok})


async def test_a_proposed_model_is_fetched_loaded_and_attested_once() -> None:
    world = World()
    world.registry.announce("PROPOSED")
    assert not await world.driver.look()
    assert world.worker.loaded == [BLOB]
    assert world.blobs.kept == {BLOB_ID: BLOB}
    assert [call.args for call in world.calls] == [attested(ok=True)]
    assert not await world.driver.look()
    assert len(world.calls) == 1
    world.registry.attest(VALIDATOR, ok=True)
    world.registry.announce("ACTIVE")
    assert await world.driver.look()
    assert len(world.calls) == 1


async def test_what_was_attested_is_said_again_once_new_weights_make_it_enough() -> None:
    world = World()
    world.registry.announce("PROPOSED")
    world.registry.attest(VALIDATOR, ok=True)
    world.registry.weigh({VALIDATOR: 2, b"w" * 32: 1})
    assert not await world.driver.look()
    assert world.calls == []
    world.registry.weigh({VALIDATOR: 3, b"w" * 32: 1})
    assert not await world.driver.look()
    assert not await world.driver.look()
    assert [call.args for call in world.calls] == [attested(ok=True)]


async def test_a_refusal_is_never_said_again() -> None:
    world = World()
    world.registry.announce("PROPOSED")
    world.registry.attest(VALIDATOR, ok=False)
    world.registry.weigh({VALIDATOR: 1})
    assert await world.driver.look()
    assert world.calls == []


async def test_a_model_that_the_worker_refuses_is_attested_false() -> None:
    world = World()
    world.worker.error = InvalidInput(Code.BAD_MODEL_PACKAGE, "golden output 0 differs")
    world.registry.announce("PROPOSED")
    await world.driver.look()
    assert [call.args for call in world.calls] == [attested(ok=False)]


@pytest.mark.parametrize(
    "code", [Code.CONFORMANCE_FAILED, Code.WORKER_DOWN, Code.INTERNAL, Code.TOO_MANY]
)
async def test_whoever_fails_itself_abstains_and_tries_again_after_a_pause(code: Code) -> None:
    world = World()
    world.worker.error = Unavailable(code, "this machine")
    world.registry.announce("PROPOSED")
    for _ in range(3):
        assert not await world.driver.look()
    assert world.worker.asked == 1
    assert world.calls == []


async def test_a_model_behind_many_retired_ones_is_found() -> None:
    world = World()
    for number in range(3 * PAGE_ENTRIES):
        world.registry.announce("RETIRED", number.to_bytes(32, "big"))
    world.registry.announce("PROPOSED")
    assert (3 * PAGE_ENTRIES).to_bytes(32, "big") < MODEL
    await world.driver.look()
    assert world.worker.loaded == [BLOB]
    assert [call.args for call in world.calls] == [attested(ok=True)]


async def test_a_retired_model_is_unloaded_once_no_open_request_waits_for_it() -> None:
    world = World()
    world.registry.announce("ACTIVE")
    assert await world.driver.look()
    world.registry.announce("RETIRED")
    request = state_key("predictions", "open", 7)
    world.registry.values[request] = encode_value(MODEL)
    assert not await world.driver.look()
    assert world.worker.unloaded == []
    del world.registry.values[request]
    assert await world.driver.look()
    assert world.worker.unloaded == [MODEL]


async def test_a_damaged_package_is_fetched_anew() -> None:
    world = World()
    world.blobs.damaged.add(world.blobs.put(BLOB))
    world.registry.announce("ACTIVE")
    assert await world.driver.look()
    assert world.worker.loaded == [BLOB]
    assert not world.blobs.damaged


async def test_announced_facts_that_differ_from_the_package_are_refused() -> None:
    world = World()
    world.registry.announce("PROPOSED", gas=1)
    await world.driver.look()
    assert [call.args for call in world.calls] == [attested(ok=False)]
    assert world.worker.asked == 0  # what loading costs is bounded by what was announced


async def test_an_active_model_is_loaded_from_the_own_store_without_asking_peers() -> None:
    world = World(peers=())
    world.blobs.put(BLOB)
    world.registry.announce("ACTIVE")
    assert await world.driver.look()
    assert world.worker.loaded == [BLOB]
    assert world.peers.asked == []
    assert world.calls == []


async def test_a_retired_model_is_left_alone() -> None:
    world = World()
    world.registry.announce("RETIRED")
    assert await world.driver.look()
    assert world.worker.loaded == []


async def test_a_blob_that_nobody_has_is_asked_for_again_later() -> None:
    world = World(peers=())
    world.registry.announce("ACTIVE")
    assert not await world.driver.look()
    assert world.calls == []


async def test_an_observer_never_attests() -> None:
    world = World(votes=False)
    world.registry.announce("PROPOSED")
    assert await world.driver.look()
    assert world.worker.loaded == [BLOB]


async def test_a_fetch_goes_on_at_another_peer_where_the_first_stopped() -> None:
    peers = Peers()
    assert await fetch_blob(peers, [b"half", b"good"], LARGE_ID, len(LARGE)) == LARGE
    assert (b"good", PIECE_BYTES) in peers.asked
    assert (b"good", 0) not in peers.asked


async def test_a_lying_peer_costs_time_but_not_truth() -> None:
    peers = Peers()
    assert await fetch_blob(peers, [b"lies", b"good"], LARGE_ID, len(LARGE)) == LARGE
    with pytest.raises(Unavailable):
        await fetch_blob(peers, [b"lies"], LARGE_ID, len(LARGE))


async def test_a_peer_that_gives_less_than_a_piece_is_left_at_once() -> None:
    peers = Peers()
    assert await fetch_blob(peers, [b"drips", b"good"], LARGE_ID, len(LARGE)) == LARGE
    assert [peer for peer, _ in peers.asked].count(b"drips") == 1
    with pytest.raises(Unavailable):
        await fetch_blob(peers, [b"drips"] * 20, LARGE_ID, len(LARGE))
    assert [peer for peer, _ in peers.asked].count(b"drips") == 1 + PEERS_ASKED_MAX


def ports(folder: Path, *peers: bytes) -> tuple[Ports, Peers]:
    world, source = World(peers), Peers()
    return replace(world.ports, store=BlobStore(folder), source=source), source


def large(root: bytes | None = None) -> Announced:
    return Announced(
        model_id=MODEL, blob=digest(Domain.BLOB, LARGE), size=len(LARGE), status="ACTIVE",
        facts=(), pieces=root or pieces_root(LARGE),
    )  # fmt: skip


async def fetch(found: Ports, wanted: Announced) -> bytes:
    return await fetch_pieces(found.store, found.source, found.peers(), wanted)


def tear(folder: Path) -> None:
    """What a kill leaves while a piece is written."""
    (torn,) = folder.glob("*.partial")
    with torn.open("ab") as file:
        file.write(b"half a piece")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def test_pieces_on_disk_survive_a_kill_and_are_not_fetched_again(tmp_path: Path) -> None:
    first, _ = ports(tmp_path, b"half")
    with pytest.raises(Unavailable):
        await fetch(first, large())
    tear(tmp_path)
    again, source = ports(tmp_path, b"good")
    assert await fetch(again, large()) == LARGE
    assert source.asked == [(b"good", 1), (b"good", 2), (b"good", 3)]
    assert BlobStore(tmp_path).get(large().blob) == LARGE
    assert names(tmp_path) == {f"{large().blob.hex()}.blob"}


async def test_a_false_piece_is_known_at_once_and_what_came_before_is_kept(tmp_path: Path) -> None:
    found, source = ports(tmp_path, b"lies", b"good")
    assert await fetch(found, large()) == LARGE
    assert source.asked == [(b"lies", 0), (b"lies", 1), (b"lies", 2), (b"good", 2), (b"good", 3)]


async def test_a_root_that_no_blob_has_is_never_fulfilled(tmp_path: Path) -> None:
    found, _ = ports(tmp_path, b"good")
    with pytest.raises(Unavailable):
        await fetch(found, large(b"r" * 32))
    assert names(tmp_path) == set()


@pytest.mark.parametrize("entry", [None, 7, {}, {"blob": b"short", "size": 1, "status": "ACTIVE"}])
def test_strange_registry_entries_announce_nothing(entry: Value) -> None:
    assert parse_announced(state_key("models", "packages", MODEL), encode_value(entry)) is None

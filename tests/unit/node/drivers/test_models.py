import pytest

from andon.core.codec import Value, encode, encode_value
from andon.core.errors import Code, InvalidInput, Unavailable
from andon.core.hashing import Domain, digest
from andon.core.model import ModelManifest, model_id
from andon.core.state_key import state_key
from andon.core.transaction import Call
from andon.core.worker import Loaded
from node.drivers.models import ModelsDriver, Ports, fetch_blob, parse_announced

BLOB = bytes(range(256)) * 10
BLOB_ID = bytes(digest(Domain.BLOB, BLOB))
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
    gas=600,
    multiply_adds=10,
    weights_digest=b"w" * 32,
    graph_digest=b"g" * 32,
    golden_digest=b"o" * 32,
    quantiser_digest=b"q" * 32,
    training=(),
    parent=b"",
)
MODEL = bytes(model_id(MANIFEST))
VALIDATOR = b"v" * 32


class Registry:
    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}

    def announce(self, status: str, **changes: Value) -> None:
        entry: dict[str, Value] = {
            "blob": BLOB_ID,
            "size": len(BLOB),
            "status": status,
            "input_bytes": 4,
            "outputs": 1,
            "scale_num": 1,
            "scale_den": 8,
            "gas": 600,
            "class": "exact",
        }
        self.values[state_key("models", "packages", MODEL)] = encode_value({**entry, **changes})

    async def value(self, key: bytes) -> bytes | None:
        return self.values.get(key)

    async def entries(
        self, prefix: bytes, after: bytes | None, count_max: int
    ) -> list[tuple[bytes, bytes]]:
        return [item for item in sorted(self.values.items()) if item[0].startswith(prefix)]


class Worker:
    def __init__(self) -> None:
        self.loaded: list[bytes] = []
        self.refuses = False

    def has_model(self, model_id: bytes) -> bool:
        return bool(self.loaded)

    async def load(self, blob: bytes) -> Loaded:
        if self.refuses:
            raise InvalidInput(Code.CONFORMANCE_FAILED, "differs")
        self.loaded.append(blob)
        return Loaded(MODEL, encode(MANIFEST))


class Blobs:
    def __init__(self) -> None:
        self.kept: dict[bytes, bytes] = {}

    def has(self, identity: bytes) -> bool:
        return identity in self.kept

    def get(self, identity: bytes) -> bytes:
        return self.kept[identity]

    def put(self, blob: bytes) -> bytes:
        identity = bytes(digest(Domain.BLOB, blob))
        self.kept[identity] = blob
        return identity


class Peers:
    """Peer b"good" gives true pieces, b"lies" false ones, b"half" stops midway."""

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, int]] = []

    async def blob_chunk(self, node_key: bytes, digest: bytes, offset: int) -> tuple[int, bytes]:
        self.asked.append((node_key, offset))
        piece = BLOB[offset : offset + 1000]
        if node_key == b"half" and offset >= 1000:
            raise Unavailable(Code.UNREACHABLE, "gone")
        return len(BLOB), bytes(len(piece)) if node_key == b"lies" else piece


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

        self.driver = ModelsDriver(
            Ports(
                store=self.blobs,
                state=self.registry,
                worker=self.worker,
                source=self.peers,
                peers=lambda: list(peers),
                attest=attest if votes else None,
                validator_key=VALIDATOR,
            )
        )


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
    world.registry.values[state_key("models", "attestations", (MODEL, VALIDATOR))] = b"\xc3"
    assert await world.driver.look()


async def test_a_model_that_the_worker_refuses_is_attested_false() -> None:
    world = World()
    world.worker.refuses = True
    world.registry.announce("PROPOSED")
    await world.driver.look()
    assert [call.args for call in world.calls] == [attested(ok=False)]


async def test_announced_facts_that_differ_from_the_package_are_refused() -> None:
    world = World()
    world.registry.announce("PROPOSED", gas=1)
    await world.driver.look()
    assert [call.args for call in world.calls] == [attested(ok=False)]


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
    assert await fetch_blob(peers, [b"half", b"good"], BLOB_ID, len(BLOB)) == BLOB
    assert (b"good", 1000) in peers.asked
    assert (b"good", 0) not in peers.asked


async def test_a_lying_peer_costs_time_but_not_truth() -> None:
    peers = Peers()
    assert await fetch_blob(peers, [b"lies", b"good"], BLOB_ID, len(BLOB)) == BLOB
    with pytest.raises(Unavailable):
        await fetch_blob(peers, [b"lies"], BLOB_ID, len(BLOB))


@pytest.mark.parametrize("entry", [None, 7, {}, {"blob": b"short", "size": 1, "status": "ACTIVE"}])
def test_strange_registry_entries_announce_nothing(entry: Value) -> None:
    assert parse_announced(state_key("models", "packages", MODEL), encode_value(entry)) is None

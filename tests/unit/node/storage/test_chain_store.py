"""The stored chain: what is put in comes out, damage is found, nothing is half written."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import lmdb
import pytest

from andon.core.block import block_hash
from andon.core.certificate import Certificate, Signer, Vote, VoteKind
from andon.core.errors import Code, Corrupt, InvalidInput, Misuse
from andon.core.state_key import state_key, state_prefix
from andon.core.state_proof import check_state_value
from consensus.ledger import Overlay, build_block, parent_of, state_proof
from node.storage import ChainStore, ConsensusLog, StoredBlock
from node.upkeep import clear_readers
from tests.unit.consensus.ledger.world import NO_SKIPS, Chain, Turn, predict, put, signed

MAP_BYTES = 64 * 1024 * 1024


def certificate_of(block_id: bytes, slot: int) -> Certificate:
    vote = Vote(kind=VoteKind.FINAL, epoch=0, slot=slot, block=block_id)
    return Certificate(vote=vote, signers=(Signer(0, bytes(64)),))


@pytest.fixture
def chain() -> Chain:
    return Chain()


@pytest.fixture
def store(tmp_path: Path, chain: Chain) -> Iterator[ChainStore]:
    opened = ChainStore(tmp_path / "chain", MAP_BYTES)
    opened.initialise(chain.genesis)
    yield opened
    opened.close()


def make_blocks(chain: Chain, count: int) -> list[StoredBlock]:
    """Consecutive blocks; only the last one has a certificate of its own."""
    blocks = []
    for number in range(count):
        block, executed, _ = chain.build(
            signed(put(f"key{number}", number)), signed(predict(b"abc%d" % number))
        )
        chain.state.apply(executed.overlay)
        chain.parent = chain._above(block.header, executed)
        is_last = number == count - 1
        certificate = certificate_of(chain.parent.hash, block.header.slot) if is_last else None
        blocks.append(StoredBlock(block=block, executed=executed, certificate=certificate))
    return blocks


def test_blocks_that_did_something_are_found_however_many_did_not(
    chain: Chain, store: ChainStore
) -> None:
    blocks = []
    for number in range(40):
        made = [signed(put(f"key{number}", number))] if number in {2, 3, 30} else []
        block, executed, _ = chain.build(*made)
        chain.state.apply(executed.overlay)
        chain.parent = chain._above(block.header, executed)
        certificate = certificate_of(chain.parent.hash, block.header.slot)
        blocks.append(StoredBlock(block=block, executed=executed, certificate=certificate))
    with store.snapshot() as snapshot:
        assert snapshot.busy_heights(10, 10) == []
    store.append(blocks)
    with store.snapshot() as snapshot:
        assert snapshot.busy_heights(41, 10) == [31, 4, 3]
        assert snapshot.busy_heights(41, 2) == [31, 4]
        assert snapshot.busy_heights(31, 10) == [4, 3]
        assert snapshot.busy_heights(3, 10) == []
        assert snapshot.busy_heights(0, 10) == []


def test_blocks_receipts_predictions_and_state_come_back(chain: Chain, store: ChainStore) -> None:
    blocks = make_blocks(chain, 3)
    store.append(blocks)
    with store.snapshot() as snapshot:
        assert snapshot.height() == 3
        for height, stored in enumerate(blocks, start=1):
            assert snapshot.block(height) == stored.block
            assert snapshot.header(height) == stored.block.header
            assert snapshot.height_of(block_hash(stored.block.header)) == height
            assert snapshot.receipts(height) == stored.executed.receipts
            assert snapshot.predictions(height) == stored.executed.predictions
            second = stored.executed.receipts[1].transaction_id
            assert snapshot.transaction_place(second) == (height, 1)
            assert snapshot.has_transaction(second)
        key = state_key("table", "table", "key1")
        root = blocks[-1].block.header.state_root
        check_state_value(root, key, snapshot.get(key), state_proof(snapshot, key))
        assert snapshot.block(4) is None
        assert not snapshot.has_transaction(bytes(32))


def test_a_block_without_a_certificate_is_proved_by_its_descendant(
    chain: Chain, store: ChainStore
) -> None:
    blocks = make_blocks(chain, 3)
    store.append(blocks)
    with store.snapshot() as snapshot:
        final = snapshot.final_block(1)
        assert final is not None
        assert final.block == blocks[0].block
        assert final.path == (blocks[1].block.header, blocks[2].block.header)
        assert final.certificate == blocks[2].certificate
        last = snapshot.final_block(3)
        assert last is not None
        assert last.path == ()


def test_iteration_is_ordered_bounded_and_resumes(chain: Chain, store: ChainStore) -> None:
    store.append(make_blocks(chain, 9))
    prefix = state_prefix("table", "table")
    with store.snapshot() as snapshot:
        everything = snapshot.iterate(prefix, None, 1000)
        assert everything == chain.state.iterate(prefix, None, 1000)
        assert len(everything) == 18
        first = snapshot.iterate(prefix, None, 5)
        assert first == everything[:5]
        assert snapshot.iterate(prefix, first[-1][0], 1000) == everything[5:]
        assert snapshot.iterate(prefix, None, 0) == []
        assert snapshot.iterate(b"", None, 10_000) == chain.state.iterate(b"", None, 10_000)


def test_a_snapshot_does_not_move(chain: Chain, store: ChainStore) -> None:
    with store.snapshot() as before:
        store.append(make_blocks(chain, 1))
        assert before.height() == 0
        assert before.block(1) is None
    with store.snapshot() as after:
        assert after.height() == 1


def test_execution_on_the_stored_state_gives_the_same_root(chain: Chain, store: ChainStore) -> None:
    store.append(make_blocks(chain, 2))
    turn = Turn(slot=3, justification=NO_SKIPS, time_ms=5_000)
    transaction = signed(put("new", 1))
    _, in_memory, _ = build_block(chain.parent, turn, [transaction], chain.engine, chain.source)
    with store.snapshot() as snapshot:
        on_disk = parent_of(chain.parent.header, in_memory)
        parent = type(on_disk)(
            header=chain.parent.header,
            hash=chain.parent.hash,
            state=Overlay(snapshot),
            validators=chain.parent.validators,
            params=chain.parent.params,
        )
        _, executed, _ = build_block(parent, turn, [transaction], chain.engine, chain.source)
    assert executed.state_root == in_memory.state_root


def test_a_gap_is_refused_and_nothing_is_written(chain: Chain, store: ChainStore) -> None:
    first, second, third = make_blocks(chain, 3)
    with pytest.raises(Misuse):
        store.append([first, third])
    with store.snapshot() as snapshot:
        assert snapshot.height() == 0
        assert snapshot.get(state_key("table", "table", "key0")) is None
    store.append([first, second, third])


def test_opening_checks_network_and_head(tmp_path: Path, chain: Chain) -> None:
    folder = tmp_path / "chain"
    store = ChainStore(folder, MAP_BYTES)
    assert store.is_empty()
    store.initialise(chain.genesis)
    with pytest.raises(Misuse):
        store.initialise(chain.genesis)
    store.append(make_blocks(chain, 1))
    store.close()
    store = ChainStore(folder, MAP_BYTES)
    store.check(block_hash(chain.genesis.header))
    with pytest.raises(InvalidInput) as caught:
        store.check(bytes(32))
    assert caught.value.code is Code.BAD_GENESIS
    store.close()


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ("blocks", (1).to_bytes(8, "big")),
        ("headers", (1).to_bytes(8, "big")),
        ("tree", b"/"),
        ("state", state_key("table", "table", "key0")),
    ],
)
def test_a_flipped_bit_is_found(tmp_path: Path, chain: Chain, table: str, key: bytes) -> None:
    folder = tmp_path / "chain"
    store = ChainStore(folder, MAP_BYTES)
    store.initialise(chain.genesis)
    store.append(make_blocks(chain, 1))
    store.close()
    with lmdb.open(str(folder), map_size=MAP_BYTES, max_dbs=20) as raw:
        database = raw.open_db(table.encode())
        with raw.begin(write=True, db=database) as transaction:
            value = bytearray(transaction.get(key))
            value[-1] ^= 1
            transaction.put(key, bytes(value))
    store = ChainStore(folder, MAP_BYTES)

    def read_all() -> None:
        store.check(block_hash(chain.genesis.header))
        with store.snapshot() as snapshot:
            snapshot.get(key)

    with pytest.raises(Corrupt) as caught:
        read_all()
    assert caught.value.code is Code.STORAGE_DAMAGED
    store.close()


def test_a_full_map_stops_writing_and_keeps_what_was_there(tmp_path: Path, chain: Chain) -> None:
    store = ChainStore(tmp_path / "chain", 256 * 1024)
    store.initialise(chain.genesis)
    height = 0

    def fill() -> None:
        nonlocal height
        for _ in range(400):
            store.append(make_blocks(chain, 1))
            height += 1

    with pytest.raises(Corrupt) as caught:
        fill()
    assert caught.value.code is Code.STORAGE_FULL
    with store.snapshot() as snapshot:
        assert snapshot.height() == height > 0
    with pytest.raises(Corrupt):
        store.append(make_blocks(chain, 1))
    store.close()


WRITER = """
import sys
from pathlib import Path
from tests.unit.consensus.ledger.world import Chain
from tests.unit.node.storage.test_chain_store import MAP_BYTES, make_blocks
from node.storage import ChainStore
chain = Chain()
store = ChainStore(Path(sys.argv[1]), MAP_BYTES)
store.initialise(chain.genesis)
for height in range(1, 100_000):
    store.append(make_blocks(chain, 1))
    sys.stdout.write(f"{height}\\n")
    sys.stdout.flush()
"""


def test_no_acknowledged_block_is_lost_by_kill_9(tmp_path: Path, chain: Chain) -> None:
    folder = tmp_path / "chain"
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, env=environment
    ) as writer:
        assert writer.stdout is not None
        acknowledged = [int(writer.stdout.readline()) for _ in range(5)][-1]
        writer.kill()
        acknowledged = max([acknowledged, *map(int, writer.stdout.read().split(b"\n")[:-1])])
    store = ChainStore(folder, MAP_BYTES)
    store.check(block_hash(chain.genesis.header))
    with store.snapshot() as snapshot:
        assert snapshot.height() >= acknowledged
    store.close()


def test_the_consensus_store_remembers_across_opening(tmp_path: Path) -> None:
    store = ConsensusLog(tmp_path / "consensus")
    store.save(b"a", b"1")
    store.save(b"a", b"2")
    store.replace({b"b": b"3", b"c": b"4"})
    store.replace({b"b": None})
    store.close()
    store = ConsensusLog(tmp_path / "consensus")
    assert store.load() == {b"a": b"2", b"c": b"4"}
    store.close()


def test_a_full_map_has_room_again_after_the_next_start(tmp_path: Path, chain: Chain) -> None:
    folder, map_bytes = tmp_path / "chain", 256 * 1024
    store = ChainStore(folder, map_bytes)
    store.initialise(chain.genesis)

    def fill() -> None:
        for _ in range(400):
            store.append(make_blocks(chain, 1))

    with pytest.raises(Corrupt):
        fill()
    height = store.head_height()
    assert store.used_ratio() > 0.8
    store.close()
    store = ChainStore(folder, map_bytes)
    store.check(block_hash(chain.genesis.header))
    assert store.head_height() == height
    assert store.used_ratio() <= 0.25
    store.close()


FAILING = """
import resource, signal, sys
from pathlib import Path
from andon.core.errors import Corrupt
from tests.unit.consensus.ledger.world import Chain
from tests.unit.node.storage.test_chain_store import MAP_BYTES, make_blocks
from node.storage import ChainStore
chain = Chain()
folder = Path(sys.argv[1])
store = ChainStore(folder, MAP_BYTES)
store.initialise(chain.genesis)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
size = (folder / "data.mdb").stat().st_size + 200_000
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
height = 0
for _ in range(2):
    try:
        while height < 5000:
            store.append(make_blocks(chain, 1))
            height += 1
    except Corrupt as error:
        print(error.code.name, height, flush=True)
"""


def test_a_failed_write_ends_the_store_and_keeps_what_was_acknowledged(
    tmp_path: Path, chain: Chain
) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run(
        [sys.executable, "-c", FAILING, str(tmp_path / "chain")],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    (_, first), (_, second) = (line.split() for line in done.stdout.splitlines())
    assert first == second  # nothing is written after the failure, not even a retry
    store = ChainStore(tmp_path / "chain", MAP_BYTES)
    store.check(block_hash(chain.genesis.header))
    assert store.head_height() == int(first) > 0
    store.close()


READER = """
import sys, time
from pathlib import Path
from node.storage import ChainStore
snapshot = ChainStore(Path(sys.argv[1]), int(sys.argv[2]), is_readonly=True).snapshot()
print("reading", flush=True)
time.sleep(30)
"""


def test_what_a_killed_reader_held_is_seen_and_freed(
    tmp_path: Path, chain: Chain, store: ChainStore
) -> None:
    command = [sys.executable, "-c", READER, str(tmp_path / "chain"), str(MAP_BYTES)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == b"reading\n"
        for block in make_blocks(chain, 1):
            store.append([block])
        lag = store.reader_lag()
        assert lag >= 1
        reader.kill()
        reader.wait()
    assert store.reader_lag() == lag

    async def clear() -> None:
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            task = group.create_task(clear_readers(store))
            while store.reader_lag():  # noqa: ASYNC110 - a thread clears
                await asyncio.sleep(0.01)
            task.cancel()

    asyncio.run(clear())

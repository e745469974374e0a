"""Catching up on real stores: blocks are adopted by their roots, and liars found out by them."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from andon.core.block import Header, PredictionOutput
from andon.core.certificate import Signer, Vote
from andon.core.errors import Code, InvalidInput, Unavailable
from andon.core.transaction import make_call
from andon.core.wire import AdoptableBlock, FinalBlock, Status, Writes
from consensus.ledger import Engine
from node.checkout import CHECKOUT
from node.drivers.certified import CertifiedChain as Certified
from node.drivers.contract_engine import ContractEngine
from node.drivers.execution import ExecutionDriver
from node.drivers.horizon import Horizon
from node.drivers.predictions import PredictionCache, PredictionService
from node.drivers.sync import SyncDriver
from node.mempool import Verifier
from node.storage import ChainStore, scrub
from node.testing.lab import CertifiedChain
from node.testing.lab.repair import SoundPeer

MAP_BYTES = 64 * 1024 * 1024
HEIGHTS = 40
CLOSING = 14
REPLACE = msgspec.structs.replace
Change = Callable[[AdoptableBlock], AdoptableBlock]


def fill(folder: Path) -> None:
    """A chain with predictions, failures, uncertified blocks and a change of the validators."""
    chain = CertifiedChain()
    store = ChainStore(folder, MAP_BYTES)
    chain.open(store)
    for height in range(1, HEIGHTS + 1):
        calls = [
            make_call("notes", "write", {"key": f"k{height % 7}", "text": f"text {height}"}),
            make_call("notes", "assess", {"key": "a", "window": height.to_bytes(4, "big")}),
        ]
        transactions = [chain.transaction(call) for call in calls]
        if height % 5 == 0:
            transactions.append(chain.transaction(make_call("notes", "refuse", {"key": "x"})))
        if height == 3:
            transactions.append(chain.schedule(chain.keys[1:], CLOSING))
        store.append([chain.extend(*transactions, is_certified=height % 6 != 0)])
    store.close()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChainStore]:
    folder = tmp_path_factory.mktemp("adopting") / "source"
    fill(folder)
    store = ChainStore(folder, MAP_BYTES)
    yield store
    store.close()


class Peers:
    """Peers by name; each may change what it serves, or be of an earlier release."""

    def __init__(self, source: ChainStore, **changes: Change | None) -> None:
        self._sound = SoundPeer(source)
        self._changes = {name.encode(): change for name, change in changes.items()}
        self.asked: list[tuple[bytes, str]] = []

    async def adoptable(self, node_key: bytes, first: int, count: int) -> list[AdoptableBlock]:
        self.asked.append((node_key, "adoptable"))
        change = self._changes[node_key]
        if change is None:
            return []
        found = await self._sound.adoptable(node_key, first, count)
        return [change(item) for item in found]

    async def blocks(self, node_key: bytes, first: int, count: int) -> list[FinalBlock]:
        self.asked.append((node_key, "blocks"))
        if node_key not in self._changes:
            raise Unavailable(Code.UNREACHABLE, "gone")
        return await self._sound.blocks(node_key, first, count)


class CountingEngine:
    """Says how many calls were executed."""

    def __init__(self) -> None:
        self._engine = ContractEngine()
        self.calls = 0
        self.gas_schedule = self._engine.gas_schedule
        self.check = self._engine.check

    def __getattr__(self, name: str) -> object:
        return getattr(self._engine, name)

    def execute(self, *arguments: object, **named: object) -> object:
        self.calls += 1
        return self._engine.execute(*arguments, **named)  # type: ignore[arg-type]


class Late:
    """A node that catches up."""

    def __init__(
        self, folder: Path, peers: Peers, *, adopts: bool = True, halt_at: int = 0
    ) -> None:
        self.engine = CountingEngine()
        engine: Engine = self.engine  # type: ignore[assignment] # by delegation
        self.store = ChainStore(folder, MAP_BYTES)
        self.verifier = Verifier()
        self.driver = ExecutionDriver(
            genesis=CertifiedChain().genesis,
            engine=engine,
            store=self.store,
            predictions=PredictionService(None, PredictionCache(1)),
            verifier=self.verifier,
            horizon=Horizon(halt_at),
        )
        self.engine.calls = 0
        self.punished: list[tuple[bytes, str]] = []
        self.heard: list[int] = []
        self.advanced: list[int] = []
        self.driver.subscribe(lambda header, _: self.heard.append(header.height))
        self.sync = SyncDriver(
            self.driver.genesis_document.chain_id,
            Certified(self.driver, self._advance),
            peers,
            adopts=adopts,
            punish=lambda peer, _, reason: self.punished.append((peer, reason)),
            sync_started=lambda: None,
            sync_ended=lambda: None,
            validator_of=lambda _peer: None,
        )

    async def _advance(self, vote: Vote) -> None:
        self.advanced.append(self.driver.head().height)
        del vote

    async def catch_up(self, *names: bytes, height: int = HEIGHTS) -> Header:
        for name in names:
            self.sync.note_status(name, Status(height, 0, 0, bytes(32)))
        await asyncio.wait_for(self.sync.catch_up(), 30)
        return self.driver.head()

    def close(self) -> None:
        self.driver.close()
        self.verifier.close()
        self.store.close()


@contextmanager
def late(folder: Path, peers: Peers, *, adopts: bool = True, halt_at: int = 0) -> Iterator[Late]:
    node = Late(folder, peers, adopts=adopts, halt_at=halt_at)
    try:
        yield node
    finally:
        node.close()


def honest(item: AdoptableBlock) -> AdoptableBlock:
    return item


def entries(store: ChainStore) -> dict[str, dict[bytes, bytes]]:
    with store.snapshot() as snapshot:
        scrub(snapshot)
        tables = ("blocks", "certificates", "receipts", "predictions", "transactions")
        more = ("state", "tree", "validators", "epochs", "writes")
        return {table: dict(snapshot.entries(table)) for table in (*tables, *more)}


async def test_a_late_node_executes_nothing_and_holds_the_same(
    source: ChainStore, tmp_path: Path
) -> None:
    with late(tmp_path / "late", Peers(source, a=honest, b=honest)) as node:
        assert (await node.catch_up(b"a", b"b")).height == HEIGHTS
        assert node.engine.calls == 0
        assert node.heard == list(range(1, HEIGHTS + 1))
        assert node.driver.epoch() == 1
        assert not node.punished
        assert entries(node.store) == entries(source)
    # What it adopted it can serve in its turn.
    with late(tmp_path / "late", Peers(source)) as served:
        peers = Peers(served.store, c=honest)
        with late(tmp_path / "later", peers) as later:
            assert (await later.catch_up(b"c")).height == HEIGHTS
            assert later.engine.calls == 0


async def test_with_execution_asked_for_all_is_executed(source: ChainStore, tmp_path: Path) -> None:
    peers = Peers(source, a=honest)
    with late(tmp_path / "late", peers, adopts=False) as node:
        assert (await node.catch_up(b"a")).height == HEIGHTS
        assert node.engine.calls > 2 * HEIGHTS
        assert {question for _, question in peers.asked} == {"blocks"}
        assert entries(node.store) == entries(source)


async def test_a_peer_that_keeps_no_effects_is_followed_by_execution(
    source: ChainStore, tmp_path: Path
) -> None:
    with late(tmp_path / "late", Peers(source, a=None)) as node:
        assert (await node.catch_up(b"a")).height == HEIGHTS
        assert node.engine.calls > 2 * HEIGHTS
        assert not node.punished


def at(height: int, change: Change) -> Change:
    return lambda item: change(item) if item.final.block.header.height == height else item


def wrong_write(item: AdoptableBlock) -> AdoptableBlock:
    writes = item.effects.writes
    altered = Writes(writes.keys, (b"\x01", *writes.values[1:]))
    return REPLACE(item, effects=REPLACE(item.effects, writes=altered))


def lost_write(item: AdoptableBlock) -> AdoptableBlock:
    writes = item.effects.writes
    altered = Writes(writes.keys[1:], writes.values[1:])
    return REPLACE(item, effects=REPLACE(item.effects, writes=altered))


def wrong_receipt(item: AdoptableBlock) -> AdoptableBlock:
    receipts = item.effects.receipts
    return REPLACE(item, effects=REPLACE(item.effects, receipts=receipts[::-1]))


def wrong_signature(item: AdoptableBlock) -> AdoptableBlock:
    block = item.final.block
    raw = block.transactions[0]
    altered = (raw[:-1] + bytes([raw[-1] ^ 1]), *block.transactions[1:])
    return REPLACE(item, final=REPLACE(item.final, block=REPLACE(block, transactions=altered)))


def wrong_header(item: AdoptableBlock) -> AdoptableBlock:
    block = item.final.block
    altered = REPLACE(block.header, state_root=bytes(32))
    return REPLACE(item, final=REPLACE(item.final, block=REPLACE(block, header=altered)))


def forged_certificate(item: AdoptableBlock) -> AdoptableBlock:
    certificate = item.final.certificate
    signers = tuple(Signer(n, bytes(64)) for n in range(3))
    forged = REPLACE(certificate, signers=signers)
    return REPLACE(item, final=REPLACE(item.final, certificate=forged))


@pytest.mark.parametrize("height", [9, CLOSING, CLOSING + 1])
@pytest.mark.parametrize(
    "lie",
    [wrong_write, lost_write, wrong_receipt, wrong_signature, wrong_header, forged_certificate],
)
async def test_a_lie_is_found_its_teller_punished_and_the_truth_taken(
    source: ChainStore, tmp_path: Path, lie: Change, height: int
) -> None:
    with late(tmp_path / "late", Peers(source, a=at(height, lie), b=honest)) as node:
        # The window in which the lie stands is asked of the liar first.
        assert (await node.catch_up(b"a", height=height)).height == height - 1
        assert [peer for peer, _ in node.punished] == [b"a"]
        assert (await node.catch_up(b"b")).height == HEIGHTS
        assert node.engine.calls == 0
        assert entries(node.store) == entries(source)


async def test_outputs_that_no_root_names_are_nobodys_lie_and_the_block_is_taken_elsewhere(
    source: ChainStore, tmp_path: Path
) -> None:
    def more(item: AdoptableBlock) -> AdoptableBlock:
        block = item.final.block
        outputs = (*block.predictions, PredictionOutput(bytes(32), bytes(32), (1,)))
        altered = REPLACE(block, predictions=outputs)
        return REPLACE(item, final=REPLACE(item.final, block=altered))

    with late(tmp_path / "late", Peers(source, a=at(9, more), b=honest)) as node:
        assert (await node.catch_up(b"a")).height == 8
        assert (await node.catch_up(b"b")).height == HEIGHTS
        assert not node.punished
        assert entries(node.store) == entries(source)


async def test_a_claim_far_too_high_brings_what_can_be_proved(
    source: ChainStore, tmp_path: Path
) -> None:
    with late(tmp_path / "late", Peers(source, a=honest)) as node:
        assert (await node.catch_up(b"a", height=10**12)).height == HEIGHTS
        assert node.sync.best_claim <= HEIGHTS


async def test_a_node_that_shall_halt_adopts_no_further(source: ChainStore, tmp_path: Path) -> None:
    with late(tmp_path / "late", Peers(source, a=honest), halt_at=20) as node:
        assert (await node.catch_up(b"a")).height == 20


async def test_blocks_committed_meanwhile_by_consensus_do_no_harm(
    source: ChainStore, tmp_path: Path
) -> None:
    sound = SoundPeer(source)
    finals = await sound.blocks(b"", 1, HEIGHTS)
    with late(tmp_path / "late", Peers(source, a=honest)) as node:

        async def consensus() -> None:
            for final in finals[:8]:
                block, certificate = final.block, final.certificate
                with contextlib.suppress(InvalidInput, Unavailable):
                    await node.driver.validate(block, is_certified=True)
                    if not final.path:
                        await node.driver.commit(certificate.vote.block, certificate)
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as group:
            group.create_task(consensus())
            group.create_task(node.catch_up(b"a"))
        assert (await node.catch_up(b"a")).height == HEIGHTS
        assert node.heard == list(range(1, HEIGHTS + 1))
        assert entries(node.store) == entries(source)


KILLED = """
import asyncio, sys
from pathlib import Path
from tests.unit.node.drivers.test_adopting import HEIGHTS, MAP_BYTES, Late, Peers, honest
from node.storage import ChainStore

async def main():
    source = ChainStore(Path(sys.argv[1]), MAP_BYTES)
    node = Late(Path(sys.argv[2]), Peers(source, a=honest))
    print("ready", flush=True)
    await node.catch_up(b"a")
    print("done", flush=True)
    sys.stdin.read()

asyncio.run(main())
"""


def test_a_late_node_killed_at_any_time_holds_a_prefix_and_goes_on(
    source: ChainStore, tmp_path: Path
) -> None:
    shutil.copytree(source._environment.folder, tmp_path / "source")
    chance, folder = random.Random(1), tmp_path / "late"
    for _ in range(4):
        with subprocess.Popen(
            [sys.executable, "-c", KILLED, str(tmp_path / "source"), str(folder)],
            cwd=CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"ready\n"
            time.sleep(0.1 * chance.random())
            child.send_signal(signal.SIGKILL)
    with late(folder, Peers(source, a=honest)) as node:
        with node.store.snapshot() as snapshot:
            assert scrub(snapshot).height == node.driver.head().height
        asyncio.run(node.catch_up(b"a"))
        assert entries(node.store) == entries(source)

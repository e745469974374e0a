"""Server time of the explorer's pages on a long chain.

python -m scripts.bench.explorer_pages --blocks 1000000: stores so many blocks (built and executed,
but signed by nobody: no consensus runs), serves the explorer from that store by the queries of a
node, and asks every page over loopback. Two sizes are measured, so that growth would show. A
million blocks take hours to make; --folder keeps the store for the next time. With --home DIR a
real node is started on a home that `scripts.bench.generated_store` has filled, and asked instead:
the same million in minutes, with real contracts, votes and certificates.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
import urllib.request
from collections.abc import AsyncGenerator, Sequence
from http import HTTPStatus
from pathlib import Path

import aiohttp
import msgspec

from andon.cli.network import load_network
from andon.core.block import block_hash
from andon.core.certificate import Certificate, ValidatorSet, Vote
from andon.core.errors import Code, InvalidInput, Unavailable
from andon.core.genesis import Genesis, Params, contract_at_genesis
from node.drivers.queries import ChainQueries
from node.explorer import Explorer
from node.facade import (
    BlockAnswer,
    CallAnswer,
    Change,
    Cursor,
    EventAnswer,
    Health,
    NodeStatus,
    PredictionAnswer,
    StateAnswer,
    SubmitResult,
    Submitted,
    TransactionAnswer,
    Wait,
)
from node.queries import Queries
from node.rpc import RpcServer
from node.storage import ChainStore
from node.testing.lab.chain import CHAIN_ID, LabChain
from node.testing.memory_blobs import MemoryBlobs
from scripts.bench.conditions import print_conditions
from scripts.cluster import Cluster

RUNS = 7
BUDGET_MS = 100.0
START_S = 60.0
PROGRESS_BLOCKS = 10_000
PAGES = (
    "/", "/blocks", "/blocks?before={half}", "/block/{half}", "/transactions", "/predictions",
    "/machines", "/validators", "/quality", "/lots", "/demand", "/models", "/federated",
    "/contracts", "/network", "/search?q=press-7", "/search?q=09506000134352",
    "/tx/{near}", "/tx/{far}",
)  # fmt: skip
FAR_BLOCKS = (40_000, 20_000, 4_000, 400)
"""How far back the far transaction is looked for: the first of these whose changes are kept."""
NOT_KEPT = b"no longer kept"


class StoreNode(MemoryBlobs):
    """A node that only reads its store: what the explorer needs, from the node's own queries."""

    def __init__(self, store: ChainStore, chain: LabChain) -> None:
        super().__init__()
        self._queries = Queries(store, ChainQueries(store))
        self._store = store
        self._validators = chain.genesis.executed.next_validators

    @property
    def genesis(self) -> Genesis:
        """The lab's document."""
        return Genesis(CHAIN_ID, 1, Params(), (contract_at_genesis("identity", b"", {}),))

    async def submit(self, raw: bytes, wait: Wait, timeout_ms: int) -> Submitted:
        """Nothing is taken."""
        del raw, wait, timeout_ms
        raise _only_reads()

    async def submit_all(self, raws: Sequence[bytes]) -> list[SubmitResult]:
        """Nothing is taken."""
        return [_only_reads() for _ in raws]

    async def call(
        self,
        contract: str,
        method: str,
        args: bytes,
        sender: bytes | None,
        *,
        height: int | None = None,
    ) -> CallAnswer:
        """Nothing is run."""
        del contract, method, args, sender, height
        raise _only_reads()

    async def transaction(self, identity: bytes) -> TransactionAnswer:
        """Find a transaction."""
        found = await self._queries.transaction(identity)
        if found is None:
            raise InvalidInput(Code.NOT_FOUND, "no such transaction")
        return found

    async def changes(self, identity: bytes) -> tuple[Change, ...]:
        """What a transaction changed, if the lab's engine were a real one."""
        return await self._queries.changes(identity)

    async def block(self, reference: int | bytes | None) -> BlockAnswer:
        """Find a block."""
        return await self._queries.block(reference)

    async def epoch_closings(self) -> tuple[()]:
        """The lab has one epoch."""
        return ()

    async def state(self, key: bytes) -> StateAnswer:
        """Read a key with its proof."""
        return await self._queries.state(key)

    async def entries(
        self, prefix: bytes, after: bytes | None, count_max: int
    ) -> list[tuple[bytes, bytes]]:
        """Read entries."""
        return await self._queries.entries(prefix, after, count_max)

    async def busy_heights(self, below: int, count_max: int) -> list[int]:
        """Heights of blocks with receipts."""
        return await self._queries.busy_heights(below, count_max)

    async def prediction(self, identity: bytes) -> PredictionAnswer:
        """Find a prediction."""
        return await self._queries.prediction(identity)

    def validators(self, epoch: int | None = None) -> ValidatorSet:
        """The lab's one validator."""
        del epoch
        return self._validators

    def gathered(self, vote: Vote) -> Certificate | None:
        """Nobody votes."""
        del vote
        return None

    async def events(self, after: Cursor | None) -> AsyncGenerator[EventAnswer, None]:
        """There are none."""
        del after
        none: tuple[EventAnswer, ...] = ()
        for event in none:
            yield event

    def status(self) -> NodeStatus:
        """Where the store stands."""
        with self._store.snapshot() as snapshot:
            height = snapshot.height()
            header = snapshot.header(height)
        assert header is not None
        return NodeStatus(
            version="bench", chain_id=CHAIN_ID, genesis_hash=bytes(32), node_key=bytes(32),
            validator_key=None, height=height, block_hash=block_hash(header),
            state_root=header.state_root, time_ms=header.time_ms, epoch=header.epoch,
            slot=header.slot, is_syncing=False, mempool_count=0, mempool_bytes=0,
            worker_state="none", worker_detail="", models_loaded=0, mismatch=None, peers=(),
        )  # fmt: skip

    def metrics_text(self) -> bytes:
        """None."""
        return b""

    def health(self, probe: str) -> Health:
        """Well."""
        del probe
        return Health(is_ok=True, checks=())


def _only_reads() -> Unavailable:
    return Unavailable(Code.NOT_READY, "this node only reads")


def fill(chain: LabChain, store: ChainStore, blocks: int) -> None:
    """Store blocks up to a height."""
    began = time.perf_counter()
    while True:
        with store.snapshot() as snapshot:
            height = snapshot.height()
            if height >= blocks:
                return
            made = chain.next_block(snapshot)
        store.append([made])
        if height and height % PROGRESS_BLOCKS == 0:
            print(f"  {height:,} blocks after {time.perf_counter() - began:.0f} s", flush=True)


async def times_ms(node: StoreNode, runs: int) -> dict[str, float]:
    """Median server time by page, warm: the first look fills the memory of recent blocks."""
    async with RpcServer(node, extensions=[Explorer(node)]) as server:
        return await page_times_ms(server.url, node.status().height // 2, runs)


async def page_times_ms(url: str, half: int, runs: int) -> dict[str, float]:
    """Ask each page of a server `runs` times after a first look."""
    found: dict[str, float] = {}
    async with aiohttp.ClientSession() as http:
        near, far = await transactions(http, url, 2 * half)
        for page in PAGES:
            taken = []
            for turn in range(runs + 1):
                # A node remembers changes that it has shown: each look is at another transaction.
                names = {"near": near[turn % len(near)], "far": far[turn % len(far)]}
                path = page.format(half=half, **names)
                began = time.perf_counter()
                async with http.get(url + path) as response:
                    await response.read()
                    assert response.status < HTTPStatus.INTERNAL_SERVER_ERROR, (page, response)
                taken.append((time.perf_counter() - began) * 1000)
            found[page] = statistics.median(taken[1:])
    return found


async def transactions(
    http: aiohttp.ClientSession, url: str, top: int
) -> tuple[list[str], list[str]]:
    """Hashes of late transactions, and of some as far back as their changes can be shown."""

    async def at(height: int) -> list[str]:
        async with http.get(f"{url}/v1/blocks?before={height}&limit=100") as response:
            blocks = (await response.json())["blocks"]
        return [name for block in blocks for name in block["transactions"]] or [""]

    near = await at(top + 1)
    for back in FAR_BLOCKS:
        far = await at(max(1, top - back))
        async with http.get(f"{url}/tx/{far[0]}") as response:
            if far[0] and NOT_KEPT not in await response.read():
                print(f"the far transaction is {back:,} blocks back")
                return near, far
    return near, near


def ask_home(home: Path, runs: int) -> tuple[int, dict[str, float]]:
    """Start the node of a generated home, ask it, stop it; height and times."""
    cluster = Cluster(load_network(home))
    cluster.up()
    try:
        cluster.wait_ready(START_S)
        url = cluster.urls()[0]
        with urllib.request.urlopen(url + "/v1/status", timeout=5) as reply:  # noqa: S310 - loopback
            height = int(msgspec.json.decode(reply.read())["height"])
        return height, asyncio.run(page_times_ms(url, height // 2, runs))
    finally:
        cluster.down()


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 if a page is over its bound."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--folder", type=Path, help="keep the store here")
    parser.add_argument("--home", type=Path, help="a network that generated_store has made")
    options = parser.parse_args(arguments)
    print_conditions()
    if options.home is not None:
        return _report([ask_home(options.home, options.runs)])
    with tempfile.TemporaryDirectory(prefix="andon-explorer-") as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        chain, store = LabChain(), ChainStore(folder / "chain")
        chain.open(store)
        columns: list[tuple[int, dict[str, float]]] = []
        for size in (max(1, options.blocks // 10), options.blocks):
            fill(chain, store, size)
            node = StoreNode(store, chain)
            columns.append((node.status().height, asyncio.run(times_ms(node, options.runs))))
        store.close()
    return _report(columns)


def _report(columns: list[tuple[int, dict[str, float]]]) -> int:
    heads = "".join(f"{f'{size:,} blocks':>20}" for size, _ in columns)
    print(f"{'page, median ms':<32}{heads}")
    for page in PAGES:
        print(f"{page:<32}" + "".join(f"{column[page]:>20.1f}" for _, column in columns))
    worst = max(columns[-1][1].values())
    print(f"worst page {worst:.1f} ms, bound {BUDGET_MS:.0f} ms")
    return 0 if worst <= BUDGET_MS else 1


if __name__ == "__main__":
    raise SystemExit(main())

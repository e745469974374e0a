"""What things cost as a network grows: one series a quantity, a fitted exponent, what theory says.

The exponent is the slope of log cost over log size: 0 means that size does not matter, 1 that cost
grows with it. A series whose exponent exceeds theory by more than TOLERANCE is marked. Wall time of
one core, shortest of some rounds. ANDON_BENCH_KEYS_MAX (100,000; the state tree is built in memory)
and ANDON_BENCH_BLOCKS_MAX (3,000; every block is a durable write) go further. The plot and the
figures are written below `out/bench`.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from andon.core.certificate import (
    Certificate,
    Signer,
    Validator,
    ValidatorSet,
    Vote,
    VoteKind,
    check_certificate,
    vote_signing_bytes,
)
from andon.core.codec import encode_arguments
from andon.core.keys import PrivateKey
from consensus.ledger import MemoryState, Overlay, build_block, update_tree
from contracts_py.engine import Context, Engine, Mode
from contracts_py.engine.memory_host import MemoryHost
from node.local_network import Plan
from node.storage import ChainStore
from node.testing.lab.chain import LabChain
from scripts.bench.bench_contracts import ALICE, BOB, TOKEN
from scripts.bench.bench_ledger import NoModels, full_block
from scripts.bench.conditions import conditions
from scripts.bench.report import FOLDER
from scripts.bench.usage import measure
from scripts.cluster import make_or_load

ROUNDS = 5
TOLERANCE = 0.25
KEYS_MAX = int(os.environ.get("ANDON_BENCH_KEYS_MAX", "100000"))
BLOCKS_MAX = int(os.environ.get("ANDON_BENCH_BLOCKS_MAX", "3000"))
TREE_BATCH = 100
PORT = 31_856
GAS = 10_000_000
CHAIN = "growth"


@dataclass(frozen=True, slots=True)
class Series:
    """Cost by size; `theory` is the exponent that the design has, and `why`."""

    name: str
    unit: str
    theory: float
    why: str
    points: tuple[tuple[int, float], ...]

    @property
    def exponent(self) -> float:
        """Least-squares slope in logarithms."""
        xs = [math.log(size) for size, _ in self.points]
        ys = [math.log(cost) for _, cost in self.points]
        mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
        over = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
        return over / sum((x - mean_x) ** 2 for x in xs)

    @property
    def is_worse(self) -> bool:
        """Tell whether growth exceeds theory."""
        return self.exponent > self.theory + TOLERANCE

    def print(self) -> None:
        """One line."""
        points = "  ".join(f"{size}: {cost:.4g}" for size, cost in self.points)
        mark = "  WORSE THAN THEORY" if self.is_worse else ""
        print(
            f"{self.name:<44} exponent {self.exponent:5.2f} (theory {self.theory:.0f}: "
            f"{self.why}){mark}\n    {self.unit}: {points}",
            flush=True,
        )


def main() -> None:
    """Measure, print, save and plot every series."""
    found: list[Series] = []
    for group in (
        lambda: (tree_of_keys(), block_of_transactions()),
        lambda: (deployed_contracts(), certificate_of_validators()),
        history,
        clients,
    ):
        for series in group():
            found.append(series)
            series.print()
    FOLDER.mkdir(parents=True, exist_ok=True)
    document = {
        "conditions": conditions(),
        "series": [
            {
                "name": series.name,
                "unit": series.unit,
                "exponent": series.exponent,
                "theory": series.theory,
                "points": series.points,
            }
            for series in found
        ],
    }
    (FOLDER / "growth.json").write_text(json.dumps(document, indent=2) + "\n")
    plot(found, FOLDER / "growth.svg")
    print(f"written: {FOLDER}/growth.json, {FOLDER}/growth.svg")


def best(run: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Shortest of some runs, seconds."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return min(times)


def _decades(first: int, last: int) -> Iterable[int]:
    size = first
    while size <= last:
        yield size
        size *= 10


def tree_of_keys() -> Series:
    """Changing a hundred keys of a state of so many."""
    points = []
    for size in _decades(1_000, KEYS_MAX):
        state = MemoryState()
        filled = Overlay(state)
        _, nodes = update_tree(filled, {b"key%d" % number: b"value" for number in range(size)})
        filled.tree_writes.update(nodes)
        state.apply(filled)
        step = size // TREE_BATCH
        changes: dict[bytes, bytes | None] = {
            b"key%d" % (number * step): b"changed" for number in range(TREE_BATCH)
        }
        cost_s = best(lambda state=state, changes=changes: update_tree(state, changes))  # type: ignore[misc] # bound
        points.append((size, cost_s / TREE_BATCH * 1e6))
    return Series(
        "keys in state: change of a key", "us a key", 0, "the depth is a logarithm", tuple(points)
    )


def block_of_transactions() -> Series:
    """Building a block of so many single-call transactions."""
    points = []
    for count in (10, 100, 1_000, 4_000):
        engine, parent, turn, transactions = full_block(count)
        cost_s = best(
            lambda engine=engine, parent=parent, turn=turn, transactions=transactions: build_block(  # type: ignore[misc] # bound
                parent, turn, transactions, engine, NoModels()
            ),
            3,
        )
        points.append((count, cost_s * 1e3))
    return Series("transactions in a block: build", "ms", 1, "each is executed once", tuple(points))


def deployed_contracts() -> Series:
    """A call of one of so many contracts, each in turn; 256 stay compiled."""
    points = []
    for count in (1, 10, 100, 250):
        engine, host = Engine(), MemoryHost()
        context = Context(
            chain_id=CHAIN, height=1, time_ms=1, sender=ALICE, transaction_id=b"t" * 32
        )
        for number in range(count):
            name = f"token{number}"
            host.sources[name] = TOKEN + b"# %d\n" % number
            setup = encode_arguments({"owner": ALICE})
            engine.execute(host, context, name, "", setup, GAS, mode=Mode.INIT)
        args = encode_arguments({"target": BOB, "amount": 1})

        def calls(
            engine: Engine = engine,
            host: MemoryHost = host,
            context: Context = context,
            args: bytes = args,
            count: int = count,
        ) -> None:
            for number in range(500):
                name = f"token{number % count}"
                engine.execute(host, context, name, "transfer", args, GAS, mode=Mode.CALL)
                host.forget()

        points.append((count, best(calls) / 500 * 1e6))
    return Series("contracts: a call", "us", 0, "found by name", tuple(points))


def certificate_of_validators() -> Series:
    """Checking a certificate of all of so many validators."""
    points = []
    for count in (4, 16, 64, 128):
        keys = sorted(
            (PrivateKey(number.to_bytes(32, "big")) for number in range(1, count + 1)),
            key=lambda key: key.public,
        )
        members = ValidatorSet(tuple(Validator(key.public, 1) for key in keys))
        vote = Vote(VoteKind.FINAL, 0, 1, b"b" * 32)
        message = vote_signing_bytes(CHAIN, vote)
        certificate = Certificate(
            vote=vote,
            signers=tuple(Signer(index, key.sign(message)) for index, key in enumerate(keys)),
        )
        cost_s = best(
            lambda members=members, certificate=certificate: check_certificate(  # type: ignore[misc] # bound
                CHAIN, members, certificate
            )
        )
        points.append((count, cost_s * 1e3))
    return Series("validators: check of a certificate", "ms", 1, "a signature each", tuple(points))


def history() -> tuple[Series, Series, Series]:
    """A store of so many blocks: the next durable block, a read of any block, opening it."""
    appends, reads, opens = [], [], []
    draw = random.Random(1)  # noqa: S311 - no secret
    with tempfile.TemporaryDirectory(prefix="andon-growth-") as folder:
        chain, path = LabChain(), Path(folder) / "chain"
        store = ChainStore(path)
        chain.open(store)
        for size in _decades(30, BLOCKS_MAX):
            while True:
                with store.snapshot() as snapshot:
                    if snapshot.height() >= size:
                        break
                    block = chain.next_block(snapshot)
                store.append([block])
            appends.append((size, _append_s(chain, store) * 1e3))

            def read(store: ChainStore = store, size: int = size) -> None:
                for _ in range(50):
                    store.read_block(draw.randrange(1, size))

            reads.append((size, best(read) / 50 * 1e6))
            store.close()
            began = time.perf_counter()
            store = ChainStore(path)
            chain.open(store)
            opens.append((size, (time.perf_counter() - began) * 1e3))
        store.close()
    return (
        Series("blocks in the store: append", "ms", 0, "one transaction", tuple(appends)),
        Series("blocks in the store: read of one", "us", 0, "a tree of pages", tuple(reads)),
        Series("blocks in the store: open", "ms", 0, "only the head is read", tuple(opens)),
    )


def _append_s(chain: LabChain, store: ChainStore) -> float:
    times = []
    for _ in range(ROUNDS):
        with store.snapshot() as snapshot:
            block = chain.next_block(snapshot)
        began = time.perf_counter()
        store.append([block])
        times.append(time.perf_counter() - began)
    return min(times)


def clients() -> tuple[Series, ...]:
    """A node with so many clients: an answer to one of them, memory."""
    return asyncio.run(_clients())


async def _clients() -> tuple[Series, ...]:
    streams: list[tuple[int, float]] = []
    answers: list[tuple[int, float]] = []
    memory: list[tuple[int, float]] = []
    with tempfile.TemporaryDirectory(prefix="andon-growth-") as folder:
        plan = Plan(home=Path(folder) / "net", validators=1, base_port=PORT, worker_backend="none")
        cluster = make_or_load(plan, reset=True)
        cluster.up()
        try:
            await asyncio.to_thread(cluster.wait_ready, 60)
            url = cluster.urls()[0]
            for count in (10, 100, 1_000):
                async with _session() as session:
                    await _open(session, url, count)
                    answers.append((count, await _answer_ms(session, url)))
                    rss = sum(measure(cluster.home, ()).rss_bytes.values())
                    memory.append((count, rss / 2**20))
            for count in (10, 50, 250):
                async with _session() as session:
                    held = [await session.get(url + "/v1/events") for _ in range(count)]
                    streams.append((count, await _answer_ms(session, url)))
                    for stream in held:
                        stream.close()
                await asyncio.sleep(1)
        finally:
            await asyncio.to_thread(cluster.down)
    return (
        Series("open connections: an answer", "ms", 0, "they are idle", tuple(answers)),
        Series("open connections: memory", "MiB", 0, "small beside the node", tuple(memory)),
        Series("event streams: an answer", "ms", 0, "one event a second each", tuple(streams)),
    )


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60))


async def _open(session: aiohttp.ClientSession, url: str, count: int) -> None:
    """Leave `count` connections open that have had an answer each."""
    held = await asyncio.gather(*(session.get(url + "/v1/status") for _ in range(count)))
    for answer in held:
        await answer.read()


async def _answer_ms(session: aiohttp.ClientSession, url: str) -> float:
    times = []
    for _ in range(40):
        began = time.perf_counter()
        async with session.get(url + "/v1/status") as answer:
            await answer.read()
        times.append(time.perf_counter() - began)
    return 1000 * sorted(times)[len(times) // 2]


def plot(found: list[Series], path: Path) -> None:
    """One small log-log plot a series."""
    import matplotlib as mpl  # noqa: PLC0415 - only who plots needs it

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    columns = 3
    rows = -(-len(found) // columns)
    figure, grid = plt.subplots(rows, columns, figsize=(4 * columns, 3 * rows), squeeze=False)
    for axes, series in zip([cell for row in grid for cell in row], found, strict=False):
        axes.loglog(*zip(*series.points, strict=True), marker="o")
        axes.set_title(f"{series.name}\nexponent {series.exponent:.2f}", fontsize=8)
        axes.set_ylabel(series.unit, fontsize=8)
        axes.tick_params(labelsize=7)
    for axes in [cell for row in grid for cell in row][len(found) :]:
        axes.axis("off")
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


if __name__ == "__main__":
    main()

"""Growth of what a node stores and loads: keys in its state, blocks in its history, models."""

from __future__ import annotations

import dataclasses
import os
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from andon.core.block import Block
from andon.core.transaction import parse_transaction
from consensus.ledger import update_tree
from consensus.ledger.tree import state_proof
from models.package import Package
from models.runtime import Runtime
from node.config import Home
from node.home import open_home
from node.keystore import VALIDATOR_KEY, load_key
from node.storage import ChainStore, StoredBlock
from node.storage.snapshot import Snapshot
from node.testing.lab.chain import LabChain
from scripts.bench.generated_store import NODE, TRANSACTION_EVERY, GeneratedChain, generate
from scripts.bench.series import ROUNDS, Series, best, decades

KEYS_MAX = int(os.environ.get("ANDON_BENCH_KEYS_MAX", "100000"))
BLOCKS_MAX = int(os.environ.get("ANDON_BENCH_BLOCKS_MAX", "10000"))
MODELS_MAX = int(os.environ.get("ANDON_BENCH_MODELS_MAX", "100"))
STORE = os.environ.get("ANDON_BENCH_STORE", "")
"""A home that `generated_store` has filled: its height is one more size of the history."""

FILL_KEYS = 100_000
CHANGED_KEYS = 100
READS = 50
WINDOWS = 64
PACKAGE = Path(__file__).resolve().parents[2] / "models" / "packages" / "rul-demo"


def keys_in_state() -> tuple[Series, ...]:
    """A stored state of so many keys: changing some, proving one, a durable block of changes."""
    changes, proofs, appends = [], [], []
    with tempfile.TemporaryDirectory(prefix="andon-growth-") as folder:
        chain, store = LabChain(), ChainStore(Path(folder) / "chain")
        chain.open(store)
        filled, draw = 0, random.Random(2)  # noqa: S311 - no secret
        for size in decades(1_000, KEYS_MAX):
            while filled < size:
                count = min(FILL_KEYS, size - filled)
                _change(chain, store, range(filled, filled + count), b"value")
                filled += count
            with store.snapshot() as snapshot:
                changes.append((size, _update_us(snapshot, draw.sample(range(size), CHANGED_KEYS))))
                proofs.append((size, _proof_us(snapshot, draw, size)))
            appends.append(
                (
                    size,
                    1e3
                    * min(
                        _change(chain, store, draw.sample(range(size), CHANGED_KEYS), b"%d" % turn)
                        for turn in range(ROUNDS)
                    ),
                )
            )
            print(f"  {size:,} keys: {store.size_bytes() / 2**20:.0f} MiB", flush=True)
        store.close()
    deep = "the depth is a logarithm"
    return (
        Series("keys in state: change of a key", "us a key", 0, deep, tuple(changes)),
        Series("keys in state: proof of a key", "us", 0, deep, tuple(proofs)),
        Series("keys in state: block of 100 changes", "ms", 0, deep, tuple(appends)),
    )


def _key(number: int) -> bytes:
    return b"key%d" % number


def _change(chain: LabChain, store: ChainStore, numbers: range | list[int], value: bytes) -> float:
    """Store one more block that sets these keys; gives the seconds of the durable write."""
    with store.snapshot() as snapshot:
        made = chain.next_block(snapshot)
        overlay = made.executed.overlay
        written: dict[bytes, bytes | None] = {_key(number): value for number in numbers}
        overlay.writes.update(written)
        root, nodes = update_tree(overlay, written)
        overlay.tree_writes.update(nodes)
        header = msgspec.structs.replace(made.block.header, state_root=root)
        block: Block = msgspec.structs.replace(made.block, header=header)
    stored = StoredBlock(block=block, executed=made.executed, certificate=made.certificate)
    began = time.perf_counter()
    store.append([stored])
    return time.perf_counter() - began


def _update_us(snapshot: Snapshot, numbers: list[int]) -> float:
    changes: dict[bytes, bytes | None] = {_key(number): b"changed" for number in numbers}
    return best(lambda: update_tree(snapshot, changes)) / len(changes) * 1e6


def _proof_us(snapshot: Snapshot, draw: random.Random, size: int) -> float:
    keys = [_key(draw.randrange(size)) for _ in range(READS)]
    return best(lambda: [state_proof(snapshot, key) for key in keys]) / READS * 1e6


def history() -> tuple[Series, ...]:
    """A node's home with so many blocks: the next durable block, reads, opening it."""
    found: dict[str, list[tuple[int, float]]] = {}
    with tempfile.TemporaryDirectory(prefix="andon-growth-") as folder:
        home = Path(folder) / "net"
        for size in decades(100, BLOCKS_MAX):
            generate(home, size)
            _measure_home(home, found)
    if STORE:
        _measure_home(Path(STORE), found)
    pages = "a tree of pages"
    return (
        Series("blocks stored: append", "ms", 0, "one transaction", tuple(found["append"])),
        Series("blocks stored: read of one", "us", 0, pages, tuple(found["read"])),
        Series("blocks stored: find a transaction", "us", 0, pages, tuple(found["find"])),
        Series("blocks stored: open", "ms", 0, "only the head is read", tuple(found["open"])),
        Series("blocks stored: disk", "MiB", 1, "every block is kept", tuple(found["disk"])),
    )


def _measure_home(home: Path, found: dict[str, list[tuple[int, float]]]) -> None:
    folder, draw = home / NODE, random.Random(1)  # noqa: S311 - no secret
    began = time.perf_counter()
    with open_home(folder) as opened:
        store = opened.store
        chain = GeneratedChain(home, store, load_key(Home(folder).keys / VALIDATOR_KEY))
        open_s = time.perf_counter() - began
        size = store.head_height()

        def keep(name: str, cost: float) -> None:
            found.setdefault(name, []).append((size, cost))

        keep("open", open_s * 1e3)
        keep("disk", store.size_bytes() / 2**20)
        heights = [draw.randrange(1, size) for _ in range(READS)]
        keep("read", best(lambda: [store.read_block(height) for height in heights]) / READS * 1e6)
        keep("find", _find_us(store, [height - height % TRANSACTION_EVERY for height in heights]))
        keep("append", 1e3 * min(_append_s(chain, store, opened.signer) for _ in range(ROUNDS)))


def _find_us(store: ChainStore, heights: list[int]) -> float:
    with store.snapshot() as snapshot:
        blocks = [snapshot.block(height) for height in heights if height]
        raws = [raw for block in blocks if block is not None for raw in block.transactions]
        names = [parse_transaction(raw).id for raw in raws]
        look: Callable[[], object] = lambda: [snapshot.transaction_place(name) for name in names]  # noqa: E731
        return best(look) / max(1, len(names)) * 1e6


def _append_s(chain: GeneratedChain, store: ChainStore, signer: object) -> float:
    made = chain.extend(1)
    advance = getattr(signer, "advance", None)
    assert callable(advance), "the home of a validator"
    advance(chain.parent.header.epoch, chain.parent.header.slot)
    began = time.perf_counter()
    store.append([made])
    return time.perf_counter() - began


def loaded_models() -> tuple[Series, ...]:
    """A worker with so many models loaded: a batch of 64 windows of each in turn, and memory."""
    costs, memory = [], []
    runtime, package = Runtime("cpu"), Package.load(PACKAGE)
    runtime.warm()
    draw = random.Random(3)  # noqa: S311 - no secret
    size = package.manifest.input_bytes
    windows = [bytes(draw.randrange(128) for _ in range(size)) for _ in range(WINDOWS)]
    for count in decades(1, MODELS_MAX):
        while len(runtime.loaded()) < count:
            runtime.load(_version(package, len(runtime.loaded())).to_blob())
        names = runtime.loaded()
        cost_s = best(lambda names=names: [runtime.predict(name, windows) for name in names])  # type: ignore[misc] # bound
        costs.append((count, cost_s / (count * WINDOWS) * 1e6))
        memory.append((count, _rss_mib()))
    return (
        Series("models loaded: a prediction", "us", 0, "found by id", tuple(costs)),
        Series("models loaded: memory", "MiB", 1, "each has its program", tuple(memory)),
    )


def _version(package: Package, number: int) -> Package:
    """The same network under another version, so another model id."""
    manifest = msgspec.structs.replace(package.manifest, version=f"bench-{number}")
    return dataclasses.replace(package, manifest=manifest)


def _rss_mib() -> float:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    line = next(row for row in status.splitlines() if row.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024

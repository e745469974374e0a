"""Read a stopped node's chain from its disk: what it holds, not what it says.

The scrub fits every part of the store to its headers, down to the tree of the last state.
`audit_predictions` executes the chain again and has a worker of our own recompute its predictions.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from andon.core.block import block_hash
from andon.core.codec import decode_value
from andon.core.errors import Code, Unavailable
from andon.core.genesis import Genesis
from andon.core.state_key import state_key
from andon.core.transaction import parse_transaction
from andon.core.wire import FinalBlock
from node.audit import Range, Result, audit
from node.config import Home
from node.storage import BlobStore, ChainStore, Snapshot, scrub
from node.storage.snapshot import GENESIS_KEY
from node.testing.chaos.acts import SERVES

MAP_BYTES = 4 * 1024**3


@dataclass(frozen=True, slots=True)
class Entry:
    """A transaction's place in a chain and what it did."""

    id: bytes
    sender: bytes
    height: int
    ok: bool
    results: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class NodeChain:
    """One node's final chain from height 0; indexes are heights."""

    name: str
    hashes: tuple[bytes, ...]
    parents: tuple[bytes, ...]
    state_roots: tuple[bytes, ...]
    entries: tuple[Entry, ...]
    weights: tuple[tuple[bytes, int], ...] = ()
    """Key and weight of each validator of the last state, by key."""
    serving: bytes = b""
    """Model that the alias names; empty for none."""

    @property
    def height(self) -> int:
        """Height of the last block."""
        return len(self.hashes) - 1


def read_chain(name: str, folder: Path) -> NodeChain:
    """Read the whole chain of a node that does not run.

    Raises:
        Corrupt: STORAGE_DAMAGED. Unavailable: LOCKED if the node runs.
    """
    store = ChainStore(folder, MAP_BYTES)
    try:
        with store.snapshot() as snapshot:
            genesis = snapshot.meta(GENESIS_KEY)
        # That all nodes have the same genesis shows at height 0 of the agreement check.
        store.check(genesis or b"")
        hashes, parents, roots = [], [], []
        entries: list[Entry] = []
        with store.snapshot() as snapshot:
            scrub(snapshot)
            for height in range(snapshot.height() + 1):
                block = snapshot.block(height)
                receipts = snapshot.receipts(height)
                assert block is not None
                assert len(receipts) >= len(block.transactions)
                hashes.append(block_hash(block.header))
                parents.append(block.header.parent)
                roots.append(block.header.state_root)
                for raw, receipt in zip(block.transactions, receipts, strict=False):
                    transaction = parse_transaction(raw)
                    assert transaction.id == receipt.transaction_id
                    sender = transaction.body.sender
                    entries.append(
                        Entry(transaction.id, sender, height, receipt.ok, receipt.results)
                    )
            weights, serving = _weights(snapshot), _serving(snapshot)
        return NodeChain(
            name,
            tuple(hashes),
            tuple(parents),
            tuple(roots),
            tuple(entries),
            weights=weights,
            serving=serving,
        )
    finally:
        store.close()


def _weights(snapshot: Snapshot) -> tuple[tuple[bytes, int], ...]:
    raw = snapshot.get(state_key("identity", "validators"))
    found = decode_value(raw) if raw is not None else None
    weights = []
    for entry in found if isinstance(found, list) else []:
        assert isinstance(entry, dict)
        key, weight = entry["key"], entry["weight"]
        assert isinstance(key, bytes)
        assert isinstance(weight, int)
        weights.append((key, weight))
    return tuple(weights)


def _serving(snapshot: Snapshot) -> bytes:
    raw = snapshot.get(state_key("models", "aliases", SERVES))
    found = decode_value(raw) if raw is not None else b""
    assert isinstance(found, bytes)
    return found


class _Disk:
    """A stopped node's home as the source of an audit."""

    def __init__(self, store: ChainStore, blobs: BlobStore) -> None:
        self._store, self._blobs = store, blobs

    async def final_block(self, height: int) -> FinalBlock:
        """Give a final block. Raises Unavailable: NOT_FOUND."""
        with self._store.snapshot() as snapshot:
            found = snapshot.final_block(height)
        if found is None:
            raise Unavailable(Code.NOT_FOUND, f"no final block at height {height}")
        return found

    async def blob(self, identity: bytes) -> bytes:
        """Give a blob with this digest."""
        return self._blobs.get(identity)


async def audit_predictions(genesis: Genesis, home: Home, seconds: float) -> Result:
    """Recompute all predictions of a stopped node's chain. Raises as `node.audit.audit`."""
    store = ChainStore(home.data / "chain", MAP_BYTES)
    try:
        source = _Disk(store, BlobStore(home.data / "blobs"))
        bounds = Range(first=1, last=store.head_height(), seconds=seconds)
        return await audit(genesis, source, bounds, backend="cpu", progress=lambda _: None)
    finally:
        store.close()

"""Read a stopped node's chain from its disk: what it holds, not what it says.

The scrub fits every part of the store to its headers, down to the tree of the last state.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from andon.core.block import block_hash
from andon.core.transaction import parse_transaction
from node.storage import ChainStore, scrub
from node.storage.snapshot import GENESIS_KEY

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
        return NodeChain(name, tuple(hashes), tuple(parents), tuple(roots), tuple(entries))
    finally:
        store.close()

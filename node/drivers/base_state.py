"""The last final state as the execution thread reads it: a snapshot with caches of hot entries."""

from __future__ import annotations

from collections.abc import Iterable

from andon.core.block import block_hash
from consensus.ledger import Overlay, Parent
from consensus.ledger.succession import read_params
from node.storage import ChainStore

VALUES_COUNT_MAX = 65_536
NODES_COUNT_MAX = 65_536


class BaseState:
    """A `StateReader` that moves forward with the chain. The execution thread owns it."""

    def __init__(self, store: ChainStore) -> None:
        self._store = store
        self._snapshot = store.snapshot()
        self._values: dict[bytes, bytes | None] = {}
        self._nodes: dict[bytes, bytes | None] = {}

    def advance(self, overlays: Iterable[Overlay]) -> None:
        """Move to the stored head, which holds the writes of `overlays` (ascending)."""
        snapshot = self._store.snapshot()
        self._snapshot.close()
        self._snapshot = snapshot
        for overlay in overlays:
            self._values.update(overlay.writes)
            self._nodes.update(overlay.tree_writes)
        if len(self._values) > VALUES_COUNT_MAX:
            self._values.clear()
        if len(self._nodes) > NODES_COUNT_MAX:
            self._nodes.clear()

    def restart(self) -> None:
        """Look at the store anew and remember nothing: another state was installed."""
        self._values.clear()
        self._nodes.clear()
        self.advance(())

    def get(self, key: bytes) -> bytes | None:
        """Value at a state key."""
        try:
            return self._values[key]
        except KeyError:
            value = self._snapshot.get(key)
            if len(self._values) < VALUES_COUNT_MAX:
                self._values[key] = value
            return value

    def iterate(
        self, prefix: bytes, after: bytes | None, count_max: int
    ) -> list[tuple[bytes, bytes]]:
        """Entries under a prefix, ascending."""
        return self._snapshot.iterate(prefix, after, count_max)

    def tree_node(self, path: bytes) -> bytes | None:
        """Content of a node of the state tree."""
        try:
            return self._nodes[path]
        except KeyError:
            content = self._snapshot.tree_node(path)
            if len(self._nodes) < NODES_COUNT_MAX:
                self._nodes[path] = content
            return content

    def has_transaction(self, transaction_id: bytes) -> bool:
        """Tell whether a final block holds the transaction."""
        return self._snapshot.has_transaction(transaction_id)

    def close(self) -> None:
        """Close the snapshot."""
        self._snapshot.close()


def stored_head(store: ChainStore, base: BaseState) -> Parent:
    """The last final block of a checked store, as the parent of the next."""
    with store.snapshot() as snapshot:
        header = snapshot.header(snapshot.height())
        assert header is not None, "store.check has seen it"
        epoch = header.epoch + (1 if header.closes_epoch else 0)
        validators = snapshot.validators(epoch)
    assert validators is not None, "stored with the block that opened the epoch"
    return Parent(
        header=header,
        hash=block_hash(header),
        state=base,
        validators=validators,
        params=read_params(Overlay(base)),
    )

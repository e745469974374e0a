"""A whole state in memory: for simulation, tests, benchmarks and dry runs. No durability."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort

from consensus.ledger.overlay import Overlay


class MemoryState:
    """A `StateReader` that takes over the writes of finished overlays."""

    def __init__(self) -> None:
        self._values: dict[bytes, bytes] = {}
        self._keys: list[bytes] = []
        self._nodes: dict[bytes, bytes] = {}
        self._transaction_ids: set[bytes] = set()

    def get(self, key: bytes) -> bytes | None:
        """Value at a state key."""
        return self._values.get(key)

    def iterate(
        self, prefix: bytes, after: bytes | None, count_max: int
    ) -> list[tuple[bytes, bytes]]:
        """Entries under a prefix, ascending by key."""
        start = bisect_left(self._keys, prefix)
        if after is not None:
            start = max(start, bisect_right(self._keys, after))
        result: list[tuple[bytes, bytes]] = []
        for index in range(start, min(len(self._keys), start + count_max)):
            key = self._keys[index]
            if not key.startswith(prefix):
                break
            result.append((key, self._values[key]))
        return result

    def tree_node(self, path: bytes) -> bytes | None:
        """Content of a node of the state tree."""
        return self._nodes.get(path)

    def has_transaction(self, transaction_id: bytes) -> bool:
        """Tell whether an applied block held the transaction."""
        return transaction_id in self._transaction_ids

    def apply(self, overlay: Overlay) -> None:
        """Take over all that an overlay wrote."""
        for key, value in overlay.writes.items():
            if value is None:
                if self._values.pop(key, None) is not None:
                    del self._keys[bisect_left(self._keys, key)]
            else:
                if key not in self._values:
                    insort(self._keys, key)
                self._values[key] = value
        for path, content in overlay.tree_writes.items():
            if content is None:
                self._nodes.pop(path, None)
            else:
                self._nodes[path] = content
        self._transaction_ids |= overlay.transaction_ids

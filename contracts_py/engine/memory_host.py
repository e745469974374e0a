"""A host in memory, for tests of contracts: the node's engine over a dict with a journal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from contracts_py.engine.ports import Mark, Prediction, PredictionFailed

Model = Callable[[bytes], Prediction]


@dataclass(slots=True)
class MemoryHost:
    """State, sources, roles and models of a test; implements `Host`.

    `roles` and `organisations` are by account; `models` by alias.
    """

    state: dict[bytes, bytes] = field(default_factory=dict)
    sources: dict[str, bytes] = field(default_factory=dict)
    roles: dict[bytes, tuple[str, ...]] = field(default_factory=dict)
    organisations: dict[bytes, str] = field(default_factory=dict)
    models: dict[str, Model] = field(default_factory=dict)
    paused: set[str] = field(default_factory=set)
    events: list[tuple[str, str, bytes]] = field(default_factory=list)
    reads: list[bytes] = field(default_factory=list)
    _journal: list[tuple[bytes, bytes | None]] = field(default_factory=list)

    def read(self, key: bytes) -> bytes | None:
        """Value at a key."""
        self.reads.append(key)
        return self.state.get(key)

    def write(self, key: bytes, value: bytes | None) -> None:
        """Set or delete a key."""
        self._journal.append((key, self.state.get(key)))
        self._put(key, value)

    def _put(self, key: bytes, value: bytes | None) -> None:
        if value is None:
            self.state.pop(key, None)
        else:
            self.state[key] = value

    def written(self) -> list[bytes]:
        """Keys written and not undone, in order of the first write."""
        return list(dict.fromkeys([key for key, _ in self._journal]))

    def iterate(
        self, prefix: bytes, after: bytes | None, count_max: int
    ) -> list[tuple[bytes, bytes]]:
        """Entries under a prefix."""
        found = sorted(
            key for key in self.state if key.startswith(prefix) and (after is None or key > after)
        )
        return [(key, self.state[key]) for key in found[:count_max]]

    def source(self, contract: str) -> bytes | None:
        """Source of a contract."""
        return self.sources.get(contract)

    def predict(self, model: str, window: bytes) -> Prediction:
        """Ask the test's model."""
        if model not in self.models:
            raise PredictionFailed("E_MODEL", f"no model is known as {model}")
        return self.models[model](window)

    def predict_many(self, model: str, windows: list[bytes]) -> list[tuple[int, ...]]:
        """Ask the test's model for each."""
        return [self.predict(model, window).output for window in windows]

    def is_paused(self, contract: str) -> bool:
        """Look it up."""
        return contract in self.paused

    def emit(self, contract: str, event: str, fields: bytes) -> None:
        """Note the event."""
        self.events.append((contract, event, fields))

    def has_role(self, account: bytes, role: str) -> bool:
        """Look the role up."""
        return role in self.roles.get(account, ())

    def organisation(self, account: bytes) -> str:
        """Look the organisation up."""
        return self.organisations.get(account, "")

    def checkpoint(self) -> Mark:
        """Mark the present."""
        return len(self._journal), len(self.events)

    def rollback(self, mark: Mark) -> None:
        """Return to a mark."""
        writes, events = mark
        while len(self._journal) > writes:
            self._put(*self._journal.pop())
        del self.events[events:]

    def forget(self) -> None:
        """Drop the journal, events and reads: what is written stays."""
        self._journal.clear()
        self.events.clear()
        self.reads.clear()

"""Overlays against a plain dictionary: reads, order, marks, stacking."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from consensus.ledger import MemoryState, Overlay

keys = st.integers(0, 12).map(lambda number: b"p%d" % number if number % 3 else b"q%d" % number)
values = st.one_of(st.none(), st.binary(max_size=2))


class OverlayMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.base = MemoryState()
        self.layers = [Overlay(self.base)]
        self.model: dict[bytes, bytes] = {}
        self.marks: list[tuple[int, dict[bytes, bytes]]] = []

    @rule(key=keys, value=values)
    def put(self, key: bytes, value: bytes | None) -> None:
        self.layers[-1].put(key, value)
        if value is None:
            self.model.pop(key, None)
        else:
            self.model[key] = value

    @rule()
    def mark(self) -> None:
        self.marks.append((self.layers[-1].checkpoint(), dict(self.model)))

    @rule()
    def rollback(self) -> None:
        if self.marks:
            mark, self.model = self.marks.pop()
            self.layers[-1].rollback(mark)

    @rule()
    def stack(self) -> None:
        if len(self.layers) < 4:
            self.layers[-1].forget_journal()
            self.layers.append(Overlay(self.layers[-1]))
            self.marks.clear()

    @rule()
    def flush_the_lowest(self) -> None:
        if len(self.layers) > 1:
            self.base.apply(self.layers.pop(0))
            self.layers[0].rebase(self.base)

    @rule(
        prefix=st.sampled_from([b"", b"p", b"q", b"p1", b"z"]),
        after=st.one_of(st.none(), keys),
        count_max=st.integers(0, 6),
    )
    def iterate(self, prefix: bytes, after: bytes | None, count_max: int) -> None:
        expected = [
            item
            for item in sorted(self.model.items())
            if item[0].startswith(prefix) and (after is None or item[0] > after)
        ][:count_max]
        assert self.layers[-1].iterate(prefix, after, count_max) == expected

    @invariant()
    def every_key_reads_as_in_the_model(self) -> None:
        for number in range(13):
            key = b"p%d" % number if number % 3 else b"q%d" % number
            assert self.layers[-1].get(key) == self.model.get(key)


TestOverlay = OverlayMachine.TestCase
TestOverlay.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)


def test_ids_of_ancestors_are_remembered() -> None:
    base = MemoryState()
    below = Overlay(base)
    below.transaction_ids.add(b"one")
    above = Overlay(below)
    assert above.has_transaction(b"one")
    base.apply(below)
    above.rebase(base)
    assert above.has_transaction(b"one")
    assert not above.has_transaction(b"two")

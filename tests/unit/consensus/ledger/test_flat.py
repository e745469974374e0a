"""A stack of blocks read in one step says what the stack says."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from consensus.ledger import FlatState, MemoryState, Overlay, update_tree

keys = st.integers(0, 20).map(lambda number: b"key-%02d" % number)
blocks = st.lists(
    st.dictionaries(keys, st.one_of(st.none(), st.binary(max_size=3)), max_size=8), max_size=6
)


@given(st.dictionaries(keys, st.binary(max_size=3), max_size=12), blocks)
def test_it_equals_the_overlay_absorbed_last(
    stored: dict[bytes, bytes], stack: list[dict[bytes, bytes | None]]
) -> None:
    below = MemoryState()
    genesis = Overlay(below)
    genesis.put_final(dict(stored))
    genesis.tree_writes.update(update_tree(genesis, genesis.writes)[1])
    below.apply(genesis)
    flat, top = FlatState(below), Overlay(below)
    for number, writes in enumerate(stack):
        overlay = Overlay(flat)
        overlay.put_final(writes)
        root, nodes = update_tree(overlay, overlay.writes)
        slow = Overlay(top)
        slow.put_final(writes)
        assert update_tree(slow, slow.writes) == (root, nodes)
        overlay.tree_writes.update(nodes)
        overlay.transaction_ids.add(b"id-%d" % number)
        overlay.rebase(top)
        flat.absorb(overlay)
        top = overlay
        for key in (*stored, *writes, b"key-none"):
            assert flat.get(key) == top.get(key)
        for path in (b"", *nodes, b"none"):
            assert flat.tree_node(path) == top.tree_node(path)
        assert flat.iterate(b"key-0", b"key-01", 5) == top.iterate(b"key-0", b"key-01", 5)
        assert all(flat.has_transaction(b"id-%d" % n) for n in range(number + 1))
        assert not flat.has_transaction(b"id-none")


def test_writes_that_are_put_at_once_are_iterated_as_others_are() -> None:
    overlay = Overlay(MemoryState())
    overlay.put_final({b"b": b"2", b"a": b"1"})
    overlay.put(b"c", b"3")
    overlay.put(b"a", None)
    assert overlay.iterate(b"", None, 9) == [(b"b", b"2"), (b"c", b"3")]
    mark = overlay.checkpoint()
    overlay.put(b"b", None)
    overlay.rollback(mark)
    assert overlay.get(b"b") == b"2"

"""The tree of executed blocks: what a block stands on, read in one step or block by block."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import msgspec
import pytest

from andon.core.block import Block, Justification, block_hash
from andon.core.certificate import Validator, make_validator_set
from andon.core.errors import Unavailable
from andon.core.genesis import Params
from andon.core.hashing import ZERO_DIGEST
from consensus.ledger import Executed, MemoryState, Overlay, Parent
from node.drivers.base_state import BaseState
from node.drivers.block_tree import BlockTree, KnownBlock
from tests.unit.node.drivers.test_sync import KEYS, ZERO, make_header

SET = make_validator_set(tuple(Validator(key.public, 1) for key in KEYS))


class Base(MemoryState):
    def advance(self, overlays: Iterable[Overlay]) -> None:
        for overlay in overlays:
            self.apply(overlay)


class World:
    def __init__(self) -> None:
        self.base = Base()
        header = make_header(0, ZERO)
        root = Parent(
            header=header, hash=block_hash(header), state=self.base, validators=SET, params=Params()
        )
        self.tree = BlockTree(cast("BaseState", self.base), root)

    def add(self, parent: bytes, key: bytes, value: bytes, slot: int = 0) -> KnownBlock:
        """Add a block that writes one key, as an adoption does: on the flat parent."""
        above = self.tree.flat_parent(parent)
        overlay = Overlay(above.state)
        overlay.put_final({key: value})
        header = make_header(above.header.height + 1, parent)
        known = KnownBlock(
            block=Block(
                msgspec.structs.replace(header, time_ms=slot), Justification(None, ()), (), ()
            ),
            executed=executed(overlay),
            is_checked=True,
        )
        self.tree.add(known)
        return known

    def read(self, identity: bytes, key: bytes) -> bytes | None:
        """Both ways to read must agree."""
        slow, flat = self.tree.parent(identity), self.tree.flat_parent(identity)
        assert (slow.hash, slow.header) == (flat.hash, flat.header)
        value = slow.state.get(key)
        assert flat.state.get(key) == value
        return value


def executed(overlay: Overlay) -> Executed:
    return Executed(
        receipts=(),
        receipt_bytes=(),
        predictions=(),
        prediction_bytes=(),
        prediction_outputs=(),
        prediction_inputs=(),
        overlay=overlay,
        state_root=ZERO_DIGEST,
        receipts_root=ZERO_DIGEST,
        predictions_root=ZERO_DIGEST,
        gas_used=0,
        next_validators=SET,
        next_params=Params(),
    )


def test_a_branch_is_read_in_one_step_as_block_by_block_while_it_grows_and_becomes_final() -> None:
    world = World()
    identities = [world.tree.final.hash]
    for number in range(5):
        known = world.add(identities[-1], b"key-%d" % (number % 3), b"%d" % number)
        identities.append(known.as_parent.hash)
    assert [world.read(identities[-1], b"key-%d" % n) for n in range(4)] == [b"3", b"4", b"2", None]
    assert world.read(identities[2], b"key-0") == b"0"  # what came later is not seen
    world.tree.finalise(world.tree.branch(identities[3]))
    assert [world.read(identities[-1], b"key-%d" % n) for n in range(3)] == [b"3", b"4", b"2"]
    assert world.read(identities[3], b"key-0") == b"0"
    last = world.add(identities[-1], b"key-2", b"5")
    assert world.read(last.as_parent.hash, b"key-2") == b"5"


def test_branches_beside_each_other_are_not_mixed_up() -> None:
    world = World()
    first = world.add(world.tree.final.hash, b"key", b"first", slot=1)
    second = world.add(world.tree.final.hash, b"key", b"second", slot=2)
    child = world.add(first.as_parent.hash, b"other", b"child", slot=3)
    assert world.read(second.as_parent.hash, b"key") == b"second"
    assert world.read(second.as_parent.hash, b"other") is None
    assert world.read(child.as_parent.hash, b"key") == b"first"
    grandchild = world.add(child.as_parent.hash, b"other", b"grandchild", slot=4)
    assert world.read(child.as_parent.hash, b"other") == b"child"
    assert world.read(grandchild.as_parent.hash, b"other") == b"grandchild"


def test_what_is_not_checked_carries_nothing() -> None:
    world = World()
    known = world.add(world.tree.final.hash, b"key", b"value")
    known.is_checked = False
    with pytest.raises(Unavailable):
        world.tree.flat_parent(known.as_parent.hash)

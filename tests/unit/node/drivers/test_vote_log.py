"""R18: what a vote rests on is durable before it; a restart gives it back, and no more."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from andon.core.block import Block, Justification, block_hash
from andon.core.certificate import (
    Certificate,
    SignedVote,
    Signer,
    Validator,
    ValidatorSet,
    Vote,
    VoteKind,
)
from andon.core.errors import InvalidInput
from andon.core.hashing import ZERO_DIGEST
from consensus import bft
from consensus.bft import Base
from consensus.bft.window import ENDS_SLOTS, GAP_SLOTS
from node.drivers.vote_log import Entries, VoteLog
from node.storage import ConsensusLog
from node.testing.sim.chain import genesis_header
from node.testing.sim.disk import Disk, DiskStore, FakeSigner
from tests.unit.consensus.bft.core import certificate, position

SLOTS_KEPT_MAX = 2 * ENDS_SLOTS + GAP_SLOTS + 1 + 50
"""Fifty more come between two writes of the test."""
KEY = b"k" * 32
SET = ValidatorSet((Validator(KEY, 1),))
BASE = Base(epoch=0, slot=0, height=0, block=ZERO_DIGEST, certificate=None)


class OrderedStore:
    """A store that notes when it writes; the signer below notes when it signs."""

    def __init__(self, disk: Disk, order: list[str]) -> None:
        self._inner = DiskStore(disk)
        self._order = order

    def replace(self, entries: Entries) -> None:
        self._order.append("store")
        self._inner.replace(entries)

    def load(self) -> dict[bytes, bytes]:
        return self._inner.load()


class OrderedSigner:
    """The simulator's signer, with its calls noted."""

    def __init__(self, disk: Disk, order: list[str]) -> None:
        self._inner = FakeSigner("log", KEY, disk)
        self._order = order

    def sign(self, vote: Vote, validator: int) -> SignedVote:
        self._order.append("sign")
        return self._inner.sign(vote, validator)

    def votes(self) -> tuple[Vote, ...]:
        return self._inner.votes()

    def advance(self, epoch: int, slot: int) -> None:
        self._order.append("advance")
        self._inner.advance(epoch, slot)

    def check_not_older(self, epoch: int, slot: int) -> None:
        self._inner.check_not_older(epoch, slot)


def make_log(disk: Disk) -> tuple[VoteLog, list[str]]:
    order: list[str] = []
    return VoteLog(OrderedStore(disk, order), OrderedSigner(disk, order)), order


def make_block(slot: int) -> Block:
    header = msgspec.structs.replace(genesis_header("log", SET), slot=slot, height=slot)
    return Block(header, Justification(None, ()), (), ())


def skip(slot: int, epoch: int = 0) -> Certificate:
    return Certificate(Vote(VoteKind.SKIP, epoch, slot, ZERO_DIGEST), (Signer(0, b"s"),))


def write(log: VoteLog, slot: int) -> None:
    """Sign something, which writes what waits."""
    log.sign(log.take_pending(), Vote(VoteKind.SKIP, 0, slot, ZERO_DIGEST), 0)


def test_what_waits_is_stored_before_the_signature_and_once() -> None:
    log, order = make_log(Disk())
    log.keep_certificate(skip(1))
    log.sign(log.take_pending(), Vote(VoteKind.SKIP, 0, 2, ZERO_DIGEST), 0)
    log.sign(log.take_pending(), Vote(VoteKind.SKIP, 0, 3, ZERO_DIGEST), 0)
    assert order == ["store", "sign", "sign"]


def test_a_commit_waits_for_no_entry_and_they_go_with_the_next_signature() -> None:
    log, order = make_log(Disk())
    log.keep_certificate(skip(1))
    log.advance(0, 1)
    write(log, 2)
    assert order == ["advance", "store", "sign"]


def test_slots_up_to_a_signed_vote_need_no_closing() -> None:
    log, _ = make_log(Disk())
    assert not log.has_recorded(0, 1)
    write(log, 5)
    assert log.has_recorded(0, 5)
    assert not log.has_recorded(0, 6)
    assert not log.has_recorded(1, 1)
    log.sign(log.take_pending(), Vote(VoteKind.SKIP, 1, 1, ZERO_DIGEST), 0)
    assert log.has_recorded(0, 6)
    refused = Vote(VoteKind.FINAL, 1, 1, b"b" * 32)
    with pytest.raises(InvalidInput):
        log.sign(log.take_pending(), refused, 0)
    assert not log.has_recorded(1, 2)


def test_what_was_not_written_is_lost_with_the_process() -> None:
    disk = Disk()
    log, _ = make_log(disk)
    log.keep_certificate(skip(1))
    restored, _ = make_log(disk)[0].restore(BASE, 0)
    assert restored.certificates == ()


def test_a_restart_gives_back_votes_certificates_and_blocks_above_the_base() -> None:
    disk = Disk()
    log, _ = make_log(disk)
    blocks = [make_block(slot) for slot in (2, 1)]
    for block in blocks:
        log.keep_block(block, 0, block.header.slot)
    log.keep_certificate(skip(2))
    log.keep_certificate(skip(1))
    log.keep_certificate(skip(1, epoch=1))
    vote = Vote(VoteKind.NOTAR, 0, 1, block_hash(blocks[1].header))
    signed = log.sign(log.take_pending(), vote, 0)
    restored, bodies = make_log(disk)[0].restore(BASE, 0)
    assert restored.votes == (signed,)
    assert [item.vote.slot for item in restored.certificates] == [1, 2]
    assert [block.header.height for block in bodies] == [1, 2]
    assert [item.block for item in restored.blocks] == [block_hash(b.header) for b in bodies]
    # Blocks at or below the base are not given back.
    _, later = make_log(disk)[0].restore(
        Base(epoch=0, slot=1, height=1, block=ZERO_DIGEST, certificate=None), None
    )
    assert [block.header.height for block in later] == [2]


def slots_of(disk: Disk) -> list[int]:
    return sorted(int(key.split(b"/")[2]) for key in disk.entries if key.startswith(b"cert"))


def test_the_middle_that_is_decided_is_deleted_also_after_a_restart() -> None:
    disk = Disk()
    log, _ = make_log(disk)
    for slot in range(1, 10):
        log.keep_certificate(skip(slot))
    log.keep_certificate(skip(5, epoch=1))
    write(log, 20)
    log.forget(0, 5, above=3)
    write(log, 21)
    assert slots_of(disk) == [1, 2, 3, 5, 6, 7, 8, 9]
    again, _ = make_log(disk)
    again.restore(BASE, 0)
    again.forget(0, 7, above=3)
    write(again, 22)
    assert slots_of(disk) == [1, 2, 3, 5, 8, 9]


def test_what_was_never_written_leaves_nothing_to_write() -> None:
    log, _ = make_log(Disk())
    for slot in range(1, 10):
        log.keep_certificate(skip(slot))
    log.forget(0, 8, above=1)
    assert sorted(log.take_pending()) == [
        b"certificate/0/%d/%d/%b" % (slot, VoteKind.SKIP, ZERO_DIGEST) for slot in (1, 9)
    ]


def test_the_disk_of_a_validator_that_falls_behind_is_bounded_with_a_restart_in_between(
    tmp_path: Path,
) -> None:
    """Certificates of slot after slot come, the first block does not, so that its base stands."""
    most, disk = 0, Disk()
    for first in (2, 502):
        store = ConsensusLog(tmp_path)
        log = VoteLog(store, FakeSigner("log", KEY, disk))
        at = position(index=None)
        restored, _ = log.restore(at.base, None)
        state, effects = bft.step(bft.initial_state(at), restored)
        assert len(restored.certificates) <= SLOTS_KEPT_MAX
        for slot in range(first, first + 500):
            made = certificate(VoteKind.FINAL, slot, b"%032d" % slot)
            state, found = bft.step(state, bft.CertificateReceived(made))
            perform(log, [*effects, *found])
            effects = []
            if slot % 50 == 0:
                write(log, slot)
                most = max(most, len(store.load()))
        store.close()
    assert GAP_SLOTS < most <= SLOTS_KEPT_MAX
    assert state.sign_floor > 500


def perform(log: VoteLog, effects: list[bft.Effect]) -> None:
    for effect in effects:
        match effect:
            case bft.KeepCertificate():
                log.keep_certificate(effect.certificate)
            case bft.Forget():
                log.forget(effect.epoch, effect.slot, effect.above)


def test_what_is_final_is_deleted_with_the_next_write_also_after_a_restart() -> None:
    disk = Disk()
    log, _ = make_log(disk)
    for slot in (1, 2, 3):
        log.keep_certificate(skip(slot))
    write(log, 10)
    again, _ = make_log(disk)
    again.restore(BASE, 0)
    again.forget(0, 2)
    assert len(disk.entries) == 3
    write(again, 11)
    assert len(disk.entries) == 1
    again.forget(0, 2**63)
    write(again, 12)
    assert disk.entries == {}

"""R18: what a vote rests on is durable before it; a restart gives it back, and no more."""

from __future__ import annotations

import msgspec

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
from andon.core.hashing import ZERO_DIGEST
from consensus.bft import Base
from node.drivers.vote_log import Entries, VoteLog
from node.testing.sim.chain import genesis_header
from node.testing.sim.disk import Disk, DiskStore, FakeSigner

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


def test_what_waits_is_stored_before_the_signature_and_once() -> None:
    log, order = make_log(Disk())
    log.keep_certificate(skip(1))
    log.sign(log.take_pending(), Vote(VoteKind.SKIP, 0, 2, ZERO_DIGEST), 0)
    log.sign(log.take_pending(), Vote(VoteKind.SKIP, 0, 3, ZERO_DIGEST), 0)
    assert order == ["store", "sign", "sign"]


def test_what_waits_is_stored_before_the_slots_of_a_commit_close() -> None:
    log, order = make_log(Disk())
    log.keep_certificate(skip(1))
    log.advance(log.take_pending(), 0, 1)
    assert order == ["store", "advance"]


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


def test_what_is_final_is_deleted_with_the_next_write_also_after_a_restart() -> None:
    disk = Disk()
    log, _ = make_log(disk)
    for slot in (1, 2, 3):
        log.keep_certificate(skip(slot))
    log.advance(log.take_pending(), 0, 1)
    again, _ = make_log(disk)
    again.restore(BASE, 0)
    again.forget(0, 2)
    assert len(disk.entries) == 3
    again.advance(again.take_pending(), 0, 3)
    assert len(disk.entries) == 1
    again.forget(0, 2**63)
    again.advance(again.take_pending(), 1, 1)
    assert disk.entries == {}

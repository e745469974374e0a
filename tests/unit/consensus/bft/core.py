"""One core under test, and the others' words for it: votes, certificates, blocks, proposals."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from andon.core.block import Header, Justification, block_hash, justification_digest
from andon.core.certificate import (
    Certificate,
    SignedVote,
    Signer,
    Validator,
    ValidatorSet,
    Vote,
    VoteKind,
    validators_hash,
)
from andon.core.genesis import Params
from andon.core.hashing import ZERO_DIGEST
from consensus import bft

SET = ValidatorSet(tuple(Validator(bytes([n + 1]) * 32, 1) for n in range(4)))
OTHER_SET = ValidatorSet(tuple(Validator(bytes([n + 1]) * 32, 2) for n in range(4)))
PARAMS = Params(skip_timeout_ms=1000, skip_timeout_max_ms=4000, standstill_ms=3000)
ROOT = b"r" * 32
E = TypeVar("E")


def position(
    *, index: int | None = 0, epoch: int = 0, slot: int = 0, height: int = 0, block: bytes = ROOT
) -> bft.Position:
    root = certificate(VoteKind.FINAL, max(slot, 1), block, epoch=epoch if slot else epoch - 1)
    base = bft.Base(
        epoch=epoch,
        slot=slot,
        height=height,
        block=block,
        certificate=root if epoch or slot else None,
    )
    return bft.Position(base=base, validators=SET, index=index, params=PARAMS)


def vote(kind: VoteKind, slot: int, block: bytes = ZERO_DIGEST, epoch: int = 0) -> Vote:
    return Vote(kind, epoch, slot, ZERO_DIGEST if kind is VoteKind.SKIP else block)


def signed(
    validator: int, kind: VoteKind, slot: int, block: bytes = ZERO_DIGEST, epoch: int = 0
) -> SignedVote:
    return SignedVote(vote(kind, slot, block, epoch), validator, b"s%d" % validator)


def certificate(
    kind: VoteKind,
    slot: int,
    block: bytes = ZERO_DIGEST,
    epoch: int = 0,
    signers: tuple[int, ...] = (1, 2, 3),
) -> Certificate:
    return Certificate(
        vote(kind, slot, block, epoch), tuple(Signer(n, b"s%d" % n) for n in signers)
    )


def header(
    slot: int,
    *,
    parent: bytes = ROOT,
    height: int = 1,
    epoch: int = 0,
    justification: Justification | None = None,
    closes: bool = False,
    salt: int = 0,
) -> Header:
    return Header(
        version=1,
        chain_id="core",
        epoch=epoch,
        slot=slot,
        height=height,
        time_ms=height,
        parent=parent,
        proposer=SET.validators[(epoch + slot) % 4].key,
        justification_digest=justification_digest(justification or Justification(None, ())),
        transactions_root=ZERO_DIGEST,
        predictions_root=ZERO_DIGEST,
        receipts_root=ZERO_DIGEST,
        state_root=ZERO_DIGEST,
        validators_hash=validators_hash(SET),
        next_validators_hash=validators_hash(OTHER_SET if closes else SET),
        gas_used=salt,
    )


def proposal(
    head: Header,
    justification: Justification | None = None,
    *,
    slot: int | None = None,
    again: Justification | None = None,
    leader: int | None = None,
) -> bft.ProposalReceived:
    slot = head.slot if slot is None else slot
    leader = (head.epoch + slot) % 4 if leader is None else leader
    return bft.ProposalReceived(
        vote=signed(leader, VoteKind.PROPOSE, slot, block_hash(head), head.epoch),
        header=head,
        justification=justification or Justification(None, ()),
        slot_justification=again,
    )


class Core:
    """A started core whose effects are remembered per event. Validates all unless told not to."""

    def __init__(self, at: bft.Position | None = None, *, judges: bool = True) -> None:
        self.state = bft.initial_state(at or position())
        self.judges = judges
        self.effects: list[bft.Effect] = []
        self.all: list[bft.Effect] = []
        self.feed(bft.Started())

    def feed(self, event: bft.Event) -> list[bft.Effect]:
        self.effects = []
        self._feed(event)
        return self.effects

    def _feed(self, event: bft.Event) -> None:
        self.state, effects = bft.step(self.state, event)
        self.effects += effects
        self.all += effects
        for effect in effects:
            if isinstance(effect, bft.Validate) and self.judges:
                self._feed(bft.BlockValidated(effect.block, verdict=True))

    def vote(self, validator: int, kind: VoteKind, slot: int, block: bytes = ZERO_DIGEST) -> None:
        self.feed(bft.VoteReceived(signed(validator, kind, slot, block, self.state.base.epoch)))

    def certify(self, kind: VoteKind, slot: int, block: bytes = ZERO_DIGEST) -> None:
        self.feed(bft.CertificateReceived(certificate(kind, slot, block, self.state.base.epoch)))

    def fire(self, timer: bft.Timer, slot: int) -> list[bft.Effect]:
        return self.feed(bft.TimerFired(timer, self.state.base.epoch, slot))

    def of(self, kind: type[E]) -> list[E]:
        """Effects of one type since the last event."""
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def casts(self) -> list[tuple[VoteKind, int, bytes]]:
        """All votes ever cast."""
        return [
            (e.vote.kind, e.vote.slot, e.vote.block) for e in self.all if isinstance(e, bft.Cast)
        ]


replace = msgspec.structs.replace


def block_at(slot: int, salt: int = 0) -> tuple[Header, bytes]:
    head = header(slot, salt=salt)
    return head, block_hash(head)


def child_of(parent: Header, slot: int) -> tuple[Header, Justification]:
    notar = certificate(VoteKind.NOTAR, parent.slot, block_hash(parent))
    skips = tuple(certificate(VoteKind.SKIP, between) for between in range(parent.slot + 1, slot))
    why = Justification(notar, skips)
    return header(slot, parent=block_hash(parent), height=parent.height + 1, justification=why), why

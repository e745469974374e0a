"""Small-scope mutations (ByzzFuzz): one field of a message a little wrong, signed anew."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from andon.core.block import Block
from andon.core.certificate import Certificate, Vote, VoteKind
from andon.core.hashing import ZERO_DIGEST, Domain, digest
from andon.core.wire import (
    BlockMessage,
    BlockWanted,
    CertificateMessage,
    FinalBlock,
    Proposal,
    Status,
    VoteMessage,
)
from node.testing.sim.actors.forging import sign, with_header
from node.testing.sim.messages import Blocks, BlocksWanted, SimMessage

if TYPE_CHECKING:
    from node.testing.sim.node import SimNode

replace = msgspec.structs.replace


class Mutator:
    """Changes every third message, whatever its type."""

    def __init__(self, chain_id: str, rng: random.Random) -> None:
        self._chain_id = chain_id
        self._rng = rng

    def send(
        self,
        node: SimNode,
        target: int,  # noqa: ARG002 - the port
        message: SimMessage,
        block: Block | None,
    ) -> Iterator[tuple[SimMessage, Block | None]]:
        """Send a neighbour of the message instead."""
        if self._rng.randrange(3):
            yield message, block
            return
        match message:
            case VoteMessage():
                vote = self._near(message.vote.vote)
                yield VoteMessage(sign(self._chain_id, node, vote, message.vote.validator)), None
            case CertificateMessage():
                yield CertificateMessage(self._near_certificate(message.certificate)), None
            case Proposal():
                if block is not None and not self._rng.randrange(3):
                    yield message, self._near_body(block)
                else:
                    yield self._near_proposal(node, message), block
            case BlockMessage():
                yield BlockMessage(self._near_body(message.block)), None
            case Blocks():
                yield Blocks(self._near_finals(message.finals)), None
            case Status():
                yield self._near_status(message), None
            case BlockWanted():
                yield BlockWanted(digest(Domain.HEADER, message.block)), None
            case BlocksWanted():
                yield BlocksWanted(self._rng.choice((0, message.first + 1, 2**63))), None
            case _:
                yield message, block

    def _near_body(self, block: Block) -> Block:
        """Another body under the same header, or another header over the same body."""
        match self._rng.randrange(4):
            case 0:
                return replace(block, transactions=block.transactions[:-1])
            case 1:
                return replace(block, transactions=(*block.transactions, b"count:0"))
            case 2:
                return replace(block, predictions=block.predictions[::-1][:-1])
            case _:
                return replace(block, header=replace(block.header, gas_used=1))

    def _near_finals(self, finals: tuple[FinalBlock, ...]) -> tuple[FinalBlock, ...]:
        first, rest = finals[0], finals[1:]
        match self._rng.randrange(5):
            case 0:
                return rest
            case 1:
                return (*rest, first)
            case 2:
                certificate = self._near_certificate(first.certificate)
                return (replace(first, certificate=certificate), *rest)
            case 3:
                return (replace(first, block=self._near_body(first.block)), *rest)
            case _:
                return (replace(first, path=(*first.path, first.block.header)), *rest)

    def _near_status(self, status: Status) -> Status:
        match self._rng.randrange(3):
            case 0:
                height = max(0, status.height + self._rng.choice((-1, 1, 2**40)))
                return replace(status, height=height)
            case 1:
                return replace(status, epoch=status.epoch + 1)
            case _:
                return replace(status, slot=status.slot + self._rng.choice((1, 2**40)))

    def _near(self, vote: Vote) -> Vote:
        match self._rng.randrange(4):
            case 0:
                return replace(vote, slot=max(1, vote.slot + self._rng.choice((-1, 1))))
            case 1:
                return replace(vote, epoch=vote.epoch + 1)
            case 2:
                kind = self._rng.choice((VoteKind.NOTAR, VoteKind.SKIP, VoteKind.FINAL))
                return replace(vote, kind=kind, block=self._block_for(kind, vote.block))
            case _:
                return replace(vote, block=self._block_for(vote.kind, b""))

    def _block_for(self, kind: VoteKind, block: bytes) -> bytes:
        if kind is VoteKind.SKIP:
            return ZERO_DIGEST
        if block in (b"", ZERO_DIGEST):
            return digest(Domain.HEADER, b"%d" % self._rng.randrange(4))
        return block

    def _near_certificate(self, certificate: Certificate) -> Certificate:
        signers = certificate.signers
        match self._rng.randrange(4):
            case 0:
                return replace(certificate, signers=signers[:-1])
            case 1:
                return replace(certificate, signers=(*signers, signers[-1]))
            case 2:
                vote = replace(certificate.vote, slot=certificate.vote.slot + 1)
                return replace(certificate, vote=vote)
            case _:
                last = replace(signers[-1], validator=signers[-1].validator + 1)
                return replace(certificate, signers=(*signers[:-1], last))

    def _near_proposal(self, node: SimNode, proposal: Proposal) -> Proposal:
        justification, header = proposal.justification, proposal.header
        match self._rng.randrange(4):
            case 0:
                return replace(proposal, slot_justification=justification)
            case 1:
                fewer = replace(justification, skips=justification.skips[:-1])
                return replace(proposal, justification=fewer)
            case 2:
                changed = replace(header, height=header.height + 1)
                return with_header(self._chain_id, node, proposal, changed)
            case _:
                changed = replace(header, slot=header.slot + 1)
                return with_header(self._chain_id, node, proposal, changed)

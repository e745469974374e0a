"""Blocks that a Final certificate names: the proof of it, and how they are taken over (S1, S7)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from andon.core.block import Block, Header, block_hash
from andon.core.certificate import Certificate, ValidatorSet, Vote, VoteKind, check_certificate
from andon.core.errors import Code, InvalidInput
from andon.core.wire import Effects, FinalBlock


class Executor(Protocol):
    """The execution driver, as far as `CertifiedChain` uses it."""

    def head(self) -> Header:
        """Last final header."""

    def validators(self, epoch: int | None = None) -> ValidatorSet:
        """Validators of an epoch."""

    async def validate(
        self,
        block: Block,
        *,
        is_certified: bool = False,
        adopts: bool = False,
        effects: Effects | None = None,
    ) -> None:
        """Check and execute a block, or adopt it."""

    async def commit(self, identity: bytes, *certificates: Certificate) -> Header:
        """Make blocks durable."""


class CertifiedChain:
    """Takes over blocks whose Final certificate was checked: outputs are those of the quorum."""

    def __init__(self, executor: Executor, advance: Callable[[Vote], Awaitable[None]]) -> None:
        self._executor = executor
        self._advance = advance
        self.head = executor.head
        self.validators = executor.validators

    async def commit(self, identity: bytes, *certificates: Certificate) -> Header:
        """Close the slots in the sign state, then store: a crash in between must not matter."""
        await self._advance(certificates[-1].vote)
        return await self._executor.commit(identity, *certificates)

    async def validate(self, block: Block, *, adopts: bool, effects: Effects | None) -> None:
        """Adopt a certified block if its effects came with it; else check and execute it."""
        await self._executor.validate(block, is_certified=True, adopts=adopts, effects=effects)


def check_follows(header: Header, tip: Header) -> None:
    """Check that a block stands on the last one. Raises InvalidInput BAD_BLOCK."""
    if header.height != tip.height + 1 or header.parent != block_hash(tip):
        raise InvalidInput(Code.BAD_BLOCK, f"block {header.height} does not follow {tip.height}")


def check_final_block(chain_id: str, validators: ValidatorSet, final: FinalBlock) -> None:
    """Check that the Final certificate certifies this block, itself or through its descendants.

    Raises:
        InvalidInput: BAD_CERTIFICATE, BAD_SIGNATURE, BAD_VOTE.
    """
    header, certified = final.block.header, final.block.header
    for descendant in final.path:
        if (
            descendant.parent != block_hash(certified)
            or descendant.height != certified.height + 1
            or descendant.epoch != header.epoch
        ):
            raise InvalidInput(Code.BAD_CERTIFICATE, "the path of headers is broken")
        certified = descendant
    vote = final.certificate.vote
    if (
        vote.kind is not VoteKind.FINAL
        or vote.epoch != header.epoch
        or vote.block != block_hash(certified)
    ):
        raise InvalidInput(Code.BAD_CERTIFICATE, "the certificate names another block")
    check_certificate(chain_id, validators, final.certificate)

"""Blocks that a Final certificate names: the proof of it, and how they are taken over (S1, S7)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Protocol

from andon.core.block import Block, Header, block_hash
from andon.core.certificate import Certificate, ValidatorSet, Vote, VoteKind, check_certificate
from andon.core.errors import Code, InvalidInput, Unavailable
from andon.core.wire import Effects, FinalBlock
from node.drivers.windows import Offer

RUN_BLOCKS_MAX = 16
RUN_TRANSACTIONS_MAX = 1024
"""One job of the execution thread; the block that exceeds it is the last of its run."""


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
    ) -> None:
        """Check and execute a block."""

    async def adopt(
        self, blocks: Sequence[tuple[Block, Effects | None]]
    ) -> tuple[int, InvalidInput | Unavailable | None]:
        """Adopt or execute blocks in a row; how many, and why not the next one."""

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

    async def take_over(
        self, run: Sequence[Offer], *, adopts: bool
    ) -> tuple[int, InvalidInput | Unavailable | None]:
        """Adopt certified blocks in a row whose effects came with them, execute the others.

        Unless it `adopts`, signatures are checked and every block is executed (S6). Returns how
        many blocks were good, and what was wrong with the next one.
        """
        blocks = [(offer.final.block, offer.effects) for offer in run]
        if adopts:
            return await self._executor.adopt(blocks)
        for taken, (block, _) in enumerate(blocks):
            try:
                await self._executor.validate(block, is_certified=True)
            except (InvalidInput, Unavailable) as error:
                return taken, error
        return len(run), None


def runs_of(offers: Sequence[Offer]) -> Iterator[list[Offer]]:
    """Cut blocks in a row into runs of one epoch that are checked and taken over in one step."""
    run: list[Offer] = []
    size = 0
    for offer in offers:
        if run and (
            len(run) >= RUN_BLOCKS_MAX
            or size >= RUN_TRANSACTIONS_MAX
            or offer.header.epoch != run[-1].header.epoch
            # The next epoch's validators are known only once its closing block is final.
            or run[-1].header.closes_epoch
        ):
            yield run
            run, size = [], 0
        run.append(offer)
        size += len(offer.final.block.transactions)
    if run:
        yield run


def check_run(
    chain_id: str, validators: ValidatorSet, tip: Header, run: Sequence[Offer]
) -> tuple[int, InvalidInput | None]:
    """Check that blocks of one epoch follow `tip` and are certified (slow, for a thread).

    Returns how many do, and what is wrong with the next one.
    """
    for count, offer in enumerate(run):
        try:
            check_follows(offer.header, tip)
            check_final_block(chain_id, validators, offer.final)
        except InvalidInput as error:
            return count, error
        tip = offer.header
    return len(run), None


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

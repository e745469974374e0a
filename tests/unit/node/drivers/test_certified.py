"""Certified blocks in runs: how they are cut, checked and taken over."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from andon.core.block import Block, Header
from andon.core.certificate import Certificate, ValidatorSet, Vote
from andon.core.errors import Code, InvalidInput, Unavailable
from andon.core.wire import Effects, FinalBlock
from node.drivers.certified import (
    RUN_BLOCKS_MAX,
    RUN_TRANSACTIONS_MAX,
    CertifiedChain,
    check_run,
    runs_of,
)
from node.drivers.windows import Offer
from tests.unit.node.drivers.test_sync import CHAIN_ID, SET, ZERO, certify, make_chain, make_header

REPLACE = msgspec.structs.replace


def offers(count: int) -> list[Offer]:
    return [Offer(b"a", final, None) for final in make_chain(count)]


def with_header(offer: Offer, **changes: object) -> Offer:
    block = offer.final.block
    header = REPLACE(block.header, **changes)
    return Offer(offer.peer, REPLACE(offer.final, block=REPLACE(block, header=header)), None)


def with_transactions(offer: Offer, count: int) -> Offer:
    block = REPLACE(offer.final.block, transactions=(b"",) * count)
    return Offer(offer.peer, REPLACE(offer.final, block=block), None)


def heights(runs: Sequence[Sequence[Offer]]) -> list[list[int]]:
    return [[offer.header.height for offer in run] for run in runs]


def test_a_run_has_a_bounded_number_of_blocks() -> None:
    runs = list(runs_of(offers(2 * RUN_BLOCKS_MAX + 1)))
    assert [len(run) for run in runs] == [RUN_BLOCKS_MAX, RUN_BLOCKS_MAX, 1]
    assert list(runs_of([])) == []


def test_a_run_ends_with_the_block_that_fills_its_transactions() -> None:
    large = [with_transactions(offer, RUN_TRANSACTIONS_MAX // 2) for offer in offers(5)]
    assert heights(list(runs_of(large))) == [[1, 2], [3, 4], [5]]


def test_a_run_ends_with_its_epoch() -> None:
    chain = offers(5)
    chain[1] = with_header(chain[1], next_validators_hash=b"\x01" * 32)
    assert chain[1].header.closes_epoch
    chain[3] = with_header(chain[3], epoch=1)
    assert heights(list(runs_of(chain))) == [[1, 2], [3], [4], [5]]


def test_of_a_run_the_blocks_before_the_first_bad_one_are_good() -> None:
    chain = offers(6)
    tip = make_header(0, ZERO)
    assert check_run(CHAIN_ID, SET, tip, chain) == (6, None)
    weak = list(chain)
    weak[3] = Offer(b"a", REPLACE(chain[3].final, certificate=certify(chain[3].header, 2)), None)
    count, failure = check_run(CHAIN_ID, SET, tip, weak)
    assert (count, failure and failure.code) == (3, Code.BAD_CERTIFICATE)
    torn = [*chain[:2], *chain[3:]]
    count, failure = check_run(CHAIN_ID, SET, tip, torn)
    assert (count, failure and failure.code) == (2, Code.BAD_BLOCK)
    count, failure = check_run(CHAIN_ID, SET, chain[2].header, chain)
    assert (count, failure and failure.code) == (0, Code.BAD_BLOCK)


class Executing:
    """An execution driver that refuses the block of one height."""

    def __init__(self, refused: int, error: InvalidInput | Unavailable) -> None:
        self._refused = refused
        self._error = error
        self.executed: list[int] = []

    def head(self) -> Header:
        return make_header(0, ZERO)

    def validators(self, epoch: int | None = None) -> ValidatorSet:
        return SET

    async def validate(self, block: Block, *, is_certified: bool = False) -> None:
        assert is_certified
        if block.header.height == self._refused:
            raise self._error
        self.executed.append(block.header.height)

    async def adopt(
        self, blocks: Sequence[tuple[Block, Effects | None]]
    ) -> tuple[int, InvalidInput | Unavailable | None]:
        raise AssertionError("it executes")

    async def commit(self, identity: bytes, *certificates: Certificate) -> Header:
        raise AssertionError("it only takes over")


@pytest.mark.parametrize(
    "error",
    [InvalidInput(Code.BAD_BLOCK, "a lie"), Unavailable(Code.HALTED, "halt_at_height is reached")],
)
async def test_a_node_that_executes_says_how_far_it_came_and_why_not_further(
    error: InvalidInput | Unavailable,
) -> None:
    async def advance(vote: Vote) -> None:
        raise AssertionError(vote)

    executor = Executing(3, error)
    chain = CertifiedChain(executor, advance)
    assert await chain.take_over(offers(5), adopts=False) == (2, error)
    assert executor.executed == [1, 2]


def test_blocks_that_are_final_through_a_descendant_are_certified_by_its_path() -> None:
    chain = make_chain(3, uncertified=(1, 2))
    runs = list(runs_of([Offer(b"a", final, None) for final in chain]))
    assert check_run(CHAIN_ID, SET, make_header(0, ZERO), runs[0]) == (3, None)
    broken = FinalBlock(chain[0].block, chain[0].path[1:], chain[0].certificate)
    count, failure = check_run(
        CHAIN_ID, SET, make_header(0, ZERO), [Offer(b"a", broken, None), *runs[0][1:]]
    )
    assert (count, failure and failure.code) == (0, Code.BAD_CERTIFICATE)

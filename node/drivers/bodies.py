"""Whole blocks for consensus: assembled from compact proposals, or fetched by hash from peers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from andon.core.block import Block, block_hash, justification_digest
from andon.core.merkle import merkle_root
from andon.core.wire import BlockMessage, BlockWanted, Proposal, TransactionsWanted
from node.drivers.consensus_ports import Chain, Pool, Transport

PROPOSALS_MAX = 256
BLOCKS_MAX = 128
WANTED_MAX = 64
ASSEMBLE_TRIES = 20
ASSEMBLE_EVERY_S = 0.015
FETCH_EVERY_S = 0.25
FETCH_TRIES_MAX = 120
BODY_WAIT_S = 4.0
ANSWERS_PER_TICK_MAX = 16
"""Blocks given to one peer within FETCH_EVERY_S; who asks for more does not need them."""

V = TypeVar("V")


class Bodies:
    """Bounded tables of proposals and unfinal blocks. The event loop owns it."""

    def __init__(
        self,
        chain: Chain,
        pool: Pool,
        transport: Transport,
        peers: Callable[[], list[bytes]],
    ) -> None:
        self._chain = chain
        self._pool = pool
        self._transport = transport
        self._peers = peers
        self._proposals: dict[bytes, tuple[bytes, Proposal]] = {}
        self._blocks: dict[bytes, Block] = {}
        self._fetched: dict[bytes, None] = {}
        self._wanted: dict[bytes, int] = {}
        self._arrived: dict[bytes, asyncio.Event] = {}
        self._answers: dict[bytes, int] = {}

    def add_proposal(self, peer_key: bytes, proposal: Proposal) -> None:
        """Remember a compact block of which the leader signed the header."""
        _put(self._proposals, proposal.vote.vote.block, (peer_key, proposal), PROPOSALS_MAX)

    def add_block(self, identity: bytes, block: Block) -> None:
        """Remember a whole block."""
        _put(self._blocks, identity, block, BLOCKS_MAX)
        self._wanted.pop(identity, None)
        arrived = self._arrived.pop(identity, None)
        if arrived is not None:
            arrived.set()

    def drop(self, identity: bytes) -> None:
        """Forget a body that does not fit its header, so that another is fetched."""
        self._blocks.pop(identity, None)
        self._proposals.pop(identity, None)
        self._fetched.pop(identity, None)

    def prune(self, height: int) -> None:
        """Forget what is final."""
        for identity in [k for k, block in self._blocks.items() if block.header.height <= height]:
            del self._blocks[identity]
            self._fetched.pop(identity, None)
        old = [k for k, (_, item) in self._proposals.items() if item.header.height <= height]
        for identity in old:
            del self._proposals[identity]

    def get(self, identity: bytes) -> Block | None:
        """Give a block that is at hand."""
        return self._blocks.get(identity) or self._chain.block(identity)

    async def obtain(self, identity: bytes) -> Block | None:
        """Get a block from wherever; None if it does not come in time."""
        block = self.get(identity) or await self._assemble(identity)
        if block is not None:
            self.add_block(identity, block)
            return block
        self.want(identity)
        arrived = self._arrived.setdefault(identity, asyncio.Event())
        try:
            async with asyncio.timeout(BODY_WAIT_S):
                await arrived.wait()
        except TimeoutError:
            self._arrived.pop(identity, None)
        return self._blocks.get(identity)

    def want(self, identity: bytes) -> None:
        """Ask peers for a block, one after the other, until it comes (R19)."""
        if identity not in self._wanted and len(self._wanted) < WANTED_MAX:
            self._wanted[identity] = 0
            self._ask(identity)

    def take_answer(self, block: Block) -> bytes | None:
        """Take a block that a peer sent; its hash if it was asked for and fits together."""
        identity = block_hash(block.header)
        if identity not in self._wanted:
            return None
        if block.header.justification_digest != justification_digest(block.justification):
            return None
        if block.header.transactions_root != merkle_root(block.transactions):
            return None
        self.add_block(identity, block)
        _put(self._fetched, identity, None, BLOCKS_MAX)
        return identity

    def is_fetched(self, identity: bytes) -> bool:
        """Tell whether a peer that may not be its leader gave us the body."""
        return identity in self._fetched

    def answer(self, peer_key: bytes, identity: bytes) -> None:
        """Give a peer a block that it asked for, within bounds."""
        count = self._answers.get(peer_key, 0)
        block = self.get(identity) if count < ANSWERS_PER_TICK_MAX else None
        if block is not None:
            self._answers[peer_key] = count + 1
            self._transport.send(peer_key, BlockMessage(block))

    async def run(self) -> None:
        """Ask again, until cancelled."""
        while True:
            await asyncio.sleep(FETCH_EVERY_S)
            self._answers.clear()
            for identity, tries in list(self._wanted.items()):
                if tries >= FETCH_TRIES_MAX or identity in self._blocks:
                    del self._wanted[identity]
                else:
                    self._ask(identity)

    def _ask(self, identity: bytes) -> None:
        tries = self._wanted[identity]
        self._wanted[identity] = tries + 1
        peers = self._peers()
        proposal = self._proposals.get(identity)
        if tries == 0 and proposal is not None:
            self._transport.send(proposal[0], BlockWanted(identity))
        elif peers:
            self._transport.send(peers[tries % len(peers)], BlockWanted(identity))

    async def _assemble(self, identity: bytes) -> Block | None:
        """Fill a proposal with transactions of the mempool; the leader is asked for the rest."""
        found = self._proposals.get(identity)
        if found is None:
            return None
        peer_key, proposal = found
        raws: dict[bytes, bytes] = {}
        for attempt in range(ASSEMBLE_TRIES):
            missing: list[bytes] = []
            for wanted in proposal.transaction_ids:
                if wanted in raws:
                    continue
                transaction = self._pool.get(wanted)
                if transaction is None:
                    missing.append(wanted)
                else:
                    raws[wanted] = transaction.raw
            if not missing:
                return self._whole(identity, proposal, raws)
            if attempt == 1:  # the first pause lets gossip win the race
                self._transport.send(peer_key, TransactionsWanted(tuple(missing)))
            await asyncio.sleep(ASSEMBLE_EVERY_S)
        return None

    def _whole(self, identity: bytes, proposal: Proposal, raws: dict[bytes, bytes]) -> Block | None:
        transactions = tuple(raws[wanted] for wanted in proposal.transaction_ids)
        if proposal.header.transactions_root != merkle_root(transactions):
            # An id does not cover the signature bytes, or the leader lies: take its own bytes.
            self._proposals.pop(identity, None)
            return None
        return Block(
            header=proposal.header,
            justification=proposal.justification,
            transactions=transactions,
            predictions=proposal.predictions,
        )


def _put(table: dict[bytes, V], key: bytes, value: V, count_max: int) -> None:
    table.pop(key, None)
    while len(table) >= count_max:
        del table[next(iter(table))]
    table[key] = value

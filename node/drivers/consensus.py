"""Performs what the core of consensus asks for, in order, and tells it what happened.

One task feeds the core; slow work (building, validating, committing, fetching) runs beside it and
comes back as events. A Keep before a Cast is durable before the signature exists (R18).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from typing import assert_never

import structlog

from andon.core.block import Block, Header, block_hash
from andon.core.certificate import Certificate, SignedVote, Vote
from andon.core.errors import Code, InvalidInput, Unavailable
from andon.core.transaction import parse_transaction
from andon.core.wire import (
    BlockMessage,
    BlockWanted,
    CertificateMessage,
    Message,
    Proposal,
    VoteMessage,
)
from consensus import bft
from node.drivers.bodies import Bodies
from node.drivers.consensus_ports import (
    Chain,
    ConsensusStatus,
    ConsensusStore,
    Hooks,
    Pool,
    Signer,
    Transport,
    base_of,
)
from node.drivers.holding import Held, Holding
from node.drivers.inbox import LATER_COUNT_MAX, LATER_PER_PEER_MAX, Inbox
from node.drivers.intake import Intake, Taken, epoch_of, find_bad
from node.drivers.vote_log import VoteLog
from node.drivers.workbench import Workbench
from node.lane import Lane

INLINE_CHECKS_MAX = 4
"""Up to so many signatures are verified on the loop; more go to a thread."""
BATCH_COUNT_MAX = 64
COMMITS_MAX = 256
SYNC_QUIET_S = 2.0
"""A catch-up that brought no block for this long counts as over."""

log = structlog.get_logger()


class ConsensusDriver:
    """One validator, or with `key` None one observer, of one chain."""

    def __init__(
        self,
        *,
        chain_id: str,
        key: bytes | None,
        chain: Chain,
        pool: Pool,
        transport: Transport,
        store: ConsensusStore,
        signer: Signer | None,
        clock_ms: Callable[[], int],
        hooks: Hooks,
    ) -> None:
        """Restore what was durable (blocking, before the loop runs).

        Raises:
            Corrupt: STORAGE_DAMAGED, or a sign state that is older than the chain.
        """
        self._key = key
        self._chain = chain
        self.transport = transport
        self._hooks = hooks
        self._log = VoteLog(store, signer)
        self._thread = Lane("vote")
        self._bodies = Bodies(chain, pool, transport, self._peer_keys)
        self._bench = Workbench(chain, self._bodies, hooks, clock_ms)
        self._intake = Intake(chain_id, chain.validators, clock_ms)
        self._holding = Holding(hooks.brings_to)
        self._messages = Inbox()
        self._later = Inbox(LATER_COUNT_MAX, LATER_PER_PEER_MAX)
        self._events: deque[bft.Event] = deque()
        self._commits: asyncio.Queue[bft.Commit] = asyncio.Queue(COMMITS_MAX)
        self._wake = asyncio.Event()
        self._group: asyncio.TaskGroup | None = None
        self._catch_ups = 0
        at = self._position()
        self._state = bft.initial_state(at)
        restored, blocks = self._log.restore(at.base, at.index)
        for block in blocks:
            self._bodies.add_block(block_hash(block.header), block)
        self._state, effects = bft.step(self._state, restored)
        durable = bft.KeepCertificate | bft.Forget
        self._restored_effects = [item for item in effects if isinstance(item, durable)]

    # -- what the node calls ----------------------------------------------------------------

    def receive(self, peer_key: bytes, message: Message) -> None:
        """Queue a message of an authenticated peer; drops it if too many wait."""
        self._messages.put(peer_key, message)
        self._wake.set()

    def sync_started(self) -> None:
        """A certified block came from a peer: sign nothing until the catch-up ends (S8)."""
        self._catch_ups += 1
        self._post(bft.SyncStarted())
        loop = asyncio.get_running_loop()
        loop.call_later(SYNC_QUIET_S, self._end_quiet_sync, self._catch_ups)

    def synced_to(self, header: Header, certificate: Certificate) -> None:
        """Catching up ended with this final block."""
        self._spawn(self._take_synced(header, certificate, self._catch_ups))

    def slot(self) -> int:
        """The open slot."""
        return self._state.slot

    def gathered(self, vote: Vote) -> Certificate | None:
        """All signatures held on a vote of this epoch, late ones too."""
        return bft.gather(self._state, vote)

    def status(self) -> ConsensusStatus:
        """Where this node stands."""
        state = self._state
        validators = state.validators.validators
        leader = validators[bft.leader_of(len(validators), state.base.epoch, state.slot)]
        return ConsensusStatus(
            epoch=state.base.epoch,
            slot=state.slot,
            final_slot=state.base.slot,
            leader=leader.key,
            is_validator=state.index is not None,
            is_syncing=state.is_syncing,
            is_halted=state.is_halted,
            queued_count=len(self._messages),
            dropped_count=self._messages.dropped,
        )

    async def run(self) -> None:
        """Take part until cancelled; an error of the disk ends it."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                group.create_task(self._bodies.run())
                group.create_task(self._holding.run(lambda: self._state, self._look_at))
                group.create_task(self._commit_in_order())
                await self._perform(list(self._restored_effects))
                self._post(bft.Started())
                while True:
                    await self._turn()
        finally:
            self._group = None
            self._thread.close()

    # -- one turn: events first, then a batch of messages --------------------------------------

    async def _turn(self) -> None:
        while self._events:
            self._state, effects = bft.step(self._state, self._events.popleft())
            await self._perform(effects)
        if not self._messages:
            self._wake.clear()
            await self._wake.wait()
            return
        taken: list[tuple[bytes, Taken]] = []
        while self._messages and len(taken) < BATCH_COUNT_MAX:
            peer_key, message = self._messages.take()
            item = self._take(peer_key, message)
            if item is not None:
                taken.append((peer_key, item))
        await self._verify(taken)
        # Lets timers and transports run also while messages keep coming.
        await asyncio.sleep(0)

    def _take(self, peer_key: bytes, message: Message) -> Taken | None:
        match message:
            case BlockWanted():
                self._bodies.answer(peer_key, message.block)
                return None
            case BlockMessage():
                self._take_block(message.block)
                return None
            case VoteMessage() | CertificateMessage() | Proposal():
                epoch = epoch_of(message)
                if epoch != self._state.base.epoch:
                    self._take_foreign(peer_key, message, epoch)
                    return None
            case _:
                return None
        try:
            return self._intake.take(self._state, peer_key, message)
        except InvalidInput as error:
            self._hooks.punish(peer_key, f"consensus {error.code.name}")
            return None

    def _take_foreign(self, peer_key: bytes, message: Message, epoch: int) -> None:
        if epoch == self._state.base.epoch + 1:
            self._later.put(peer_key, message)
        if epoch > self._state.base.epoch:
            self._hooks.on_behind()

    def _take_block(self, block: Block) -> None:
        identity = self._bodies.take_answer(block)
        if identity is not None:
            self._post_received(identity, block)

    async def _verify(self, taken: list[tuple[bytes, Taken]]) -> None:
        checks = [check for _, item in taken for check in item.checks]
        if len(checks) > INLINE_CHECKS_MAX:
            bad = await asyncio.to_thread(find_bad, checks)
        else:
            bad = find_bad(checks)
        for peer_key, item in taken:
            if any(id(check) in bad for check in item.checks):
                self._hooks.punish(peer_key, f"consensus {Code.BAD_SIGNATURE.name}")
                continue
            if item.proposal is not None:
                self._bodies.add_proposal(peer_key, item.proposal)
            self._events.append(item.event)

    # -- effects --------------------------------------------------------------------------------

    async def _perform(self, effects: list[bft.Effect]) -> None:
        for effect in effects:
            match effect:
                case bft.KeepCertificate():
                    self._log.keep_certificate(effect.certificate)
                case bft.KeepBlock():
                    self._keep_block(effect.block)
                case bft.Forget():
                    self._log.forget(effect.epoch, effect.slot, effect.above)
                case bft.Cast():
                    await self._cast(effect.vote)
                case bft.Propose():
                    await self._propose(effect)
                case bft.SendCertificate():
                    self.transport.broadcast(CertificateMessage(effect.certificate))
                case bft.SendVote():
                    self.transport.broadcast(VoteMessage(effect.vote))
                case bft.SetTimer():
                    self._set_timer(effect)
                case bft.Build():
                    self._spawn(self._answer(self._bench.build(effect, self._state)))
                case bft.Validate() | bft.Fetch():
                    if not self._holding.takes(effect, self._state):
                        self._look_at(effect)
                case bft.Commit():
                    await self._commits.put(effect)
                case bft.CatchUp():
                    self._hooks.on_behind()
                case bft.Report():
                    self._hooks.on_evidence(effect.first, effect.second)
                case bft.Halt() | bft.Diverged():
                    log.error("consensus.halted", reason=type(effect).__name__.lower())
                case _:
                    assert_never(effect)

    def _keep_block(self, identity: bytes) -> None:
        if (block := self._bodies.get(identity)) is not None:
            self._log.keep_block(block, self._state.base.epoch, self._state.slot)

    async def _sign(self, vote: Vote) -> SignedVote | None:
        assert self._state.index is not None, "the core casts only for members of the set"
        work = partial(self._log.sign, self._log.take_pending(), vote, self._state.index)
        try:
            return await self._thread.run(work)
        except (InvalidInput, Unavailable) as error:
            log.warning("vote.refused", reason=error.message, slot=vote.slot)
            self._hooks.on_vote_refused()
            return None

    async def advance(self, vote: Vote) -> None:
        """Close the slots of a final vote durably: always before its block is stored."""
        if self._log.has_recorded(vote.epoch, vote.slot):
            return  # As after every block that we voted for: not worth a hop to the thread.
        work = partial(self._log.advance, vote.epoch, vote.slot)
        await self._thread.run(work)

    async def _cast(self, vote: Vote) -> None:
        signed = await self._sign(vote)
        if signed is not None:
            self.transport.broadcast(VoteMessage(signed))
            self._events.appendleft(bft.VoteReceived(signed))
            log.debug("vote.sent", kind=vote.kind.name, epoch=vote.epoch, slot=vote.slot)

    async def _propose(self, effect: bft.Propose) -> None:
        block = self._bodies.get(effect.vote.block)
        signed = None if block is None else await self._sign(effect.vote)
        if block is None or signed is None:
            return
        proposal = Proposal(
            vote=signed,
            header=block.header,
            justification=block.justification,
            slot_justification=effect.slot_justification,
            transaction_ids=tuple(parse_transaction(raw).id for raw in block.transactions),
            predictions=block.predictions,
        )
        self.transport.broadcast(proposal)

    def _set_timer(self, effect: bft.SetTimer) -> None:
        fired = bft.TimerFired(effect.timer, effect.epoch, effect.slot)
        loop = asyncio.get_running_loop()
        loop.call_later(effect.delay_ms / 1000, self._post, fired)

    def _look_at(self, effect: Held) -> None:
        if isinstance(effect, bft.Validate):
            self._spawn(self._answer(self._bench.validate(effect)))
        elif (block := self._bodies.get(effect.block)) is not None:
            self._post_received(effect.block, block)
        else:
            self._bodies.want(effect.block)

    def _post_received(self, identity: bytes, block: Block) -> None:
        received = bft.BlockReceived(
            block=identity, header=block.header, justification=block.justification
        )
        self._post(received)

    # -- slow work beside the core ----------------------------------------------------------------

    async def _answer(self, work: Coroutine[None, None, bft.Event]) -> None:
        self._post(await work)

    async def _commit_in_order(self) -> None:
        while True:
            effect = await self._commits.get()
            vote = effect.certificate.vote
            await self.advance(vote)
            try:
                await self._chain.commit(effect.block, effect.certificate)
            except Unavailable as error:
                log.warning("commit.delayed", reason=error.message, slot=vote.slot)
                self._hooks.on_behind()
                continue
            self._bodies.prune(self._chain.head().height)
            if self._chain.epoch() == vote.epoch:
                self._post(bft.BlockCommitted(vote.slot, vote.epoch, self._chain.params()))
            else:
                self._post(bft.EpochStarted(self._position()))
                self._later.move_to(self._messages)

    async def _take_synced(self, header: Header, certificate: Certificate, number: int) -> None:
        await self.advance(certificate.vote)
        self._post(bft.SyncedTo(self._position()))
        if number == self._catch_ups:  # else the next one has begun meanwhile
            self._post(bft.SyncFinished())
        if self._chain.epoch() != self._state.base.epoch:
            # The epoch that they waited for runs, or is over: they must not keep newer ones out.
            self._later.move_to(self._messages)
        log.info("consensus.synced", height=header.height)

    # -- small things -----------------------------------------------------------------------------

    def _position(self) -> bft.Position:
        validators = self._chain.validators()
        return bft.Position(
            base=base_of(self._chain),
            validators=validators,
            index=None if self._key is None else validators.index_of(self._key),
            params=self._chain.params(),
        )

    def _end_quiet_sync(self, number: int) -> None:
        """End a catch-up that brings nothing; wait on if the chain is ahead of the core."""
        if not self._state.is_syncing or number != self._catch_ups:
            return
        if self._is_chain_ahead():
            loop = asyncio.get_running_loop()
            loop.call_later(SYNC_QUIET_S, self._end_quiet_sync, number)
        else:
            self._post(bft.SyncFinished())

    def _is_chain_ahead(self) -> bool:
        """R17: somebody else committed blocks that the core does not know of yet."""
        return self._chain.head().height > self._state.base.height

    def _post(self, event: bft.Event) -> None:
        self._events.append(event)
        self._wake.set()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        if self._group is None:
            work.close()
        else:
            self._group.create_task(work)

    def _peer_keys(self) -> list[bytes]:
        keys = [validator.key for validator in self._state.validators.validators]
        return [key for key in keys if key != self._key]

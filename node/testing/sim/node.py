"""A simulated node: the real core, intake, vote log and signer rules over virtual time.

Mirrors node/drivers/consensus.py without its event loop. It may crash before every effect.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, assert_never

from andon.core.block import Block, block_hash, justification_digest
from andon.core.certificate import Certificate, Vote
from andon.core.errors import Code, InvalidInput, Unavailable
from andon.core.wire import (
    BlockMessage,
    BlockWanted,
    CertificateMessage,
    Proposal,
    Status,
    VoteMessage,
)
from consensus import bft
from consensus.ledger import Turn
from node.drivers.holding import Held
from node.drivers.intake import Intake, epoch_of
from node.drivers.vote_log import VoteLog
from node.drivers.workbench import REFUSED_COUNT_MAX
from node.testing.sim.catch_up import CatchUp
from node.testing.sim.chain import ModelChain
from node.testing.sim.disk import Disk, DiskStore, FakeSigner, fake_signature
from node.testing.sim.messages import Blocks, BlocksWanted, SimMessage, Whole
from node.testing.sim.sync import WINDOW

if TYPE_CHECKING:
    from node.testing.sim.world import World

FETCH_EVERY_US = 250_000
STATUS_EVERY_US = 1_000_000
FETCH_TRIES_MAX = 120
LATER_MAX = 512
BODIES_MAX = 512


class SimNode:
    """One process of one key; a restart makes a new one over the same disk."""

    def __init__(self, world: World, instance: int, key: bytes, disk: Disk, *, lies: bool) -> None:
        self.world = world
        self.instance = instance
        self.key = key
        self.disk = disk
        self.chain = ModelChain(world.chain_id, world.genesis_set, world.params, disk, lies=lies)
        tear = world.tear(self) if world.options.crash else None
        signer = FakeSigner(world.chain_id, key, disk, tear)
        self._log = VoteLog(DiskStore(disk, tear), signer)
        self._clock = partial(world.wall_ms, instance)
        self._intake = Intake(world.chain_id, self.chain.validators, self._clock)
        self._events: deque[bft.Event] = deque()
        self._later: deque[tuple[bytes, SimMessage]] = deque(maxlen=LATER_MAX)
        self.bodies: dict[bytes, Block] = {}
        self._wanted: dict[bytes, int] = {}
        self._fetched: dict[bytes, bool] = {}
        self._refused_count = 0
        self._is_handling = False
        self._catch_up = CatchUp(self)
        position = self.chain.position(key)
        self.state = bft.initial_state(position)
        restored, blocks = self._log.restore(position.base, position.index)
        for block in blocks:
            self.bodies[block_hash(block.header)] = block
        self.state, effects = bft.step(self.state, restored)
        for effect in effects:
            if isinstance(effect, bft.KeepCertificate | bft.Forget):
                self._perform(effect)

    def start(self) -> None:
        """Begin to take part."""
        self.world.after(FETCH_EVERY_US, self, self._ask_again)
        self.world.after(STATUS_EVERY_US, self, self._tell_status)
        self.feed(bft.Started())

    # -- messages -------------------------------------------------------------------------

    def receive(self, peer_key: bytes, message: SimMessage) -> None:
        """Take one message."""
        match message:
            case VoteMessage() | CertificateMessage() | Proposal():
                self._receive_consensus(peer_key, message)
            case Whole():
                identity = block_hash(message.block.header)
                if identity not in self.bodies:
                    _put(self.bodies, identity, message.block)
            case BlockWanted():
                block = self.bodies.get(message.block) or self.chain.block(message.block)
                if block is not None:
                    self.world.send(self, peer_key, BlockMessage(block))
            case BlockMessage():
                self._receive_block(message.block)
            case Status():
                self._catch_up.note(peer_key, message.height)
            case BlocksWanted():
                window = tuple(self.disk.finals[message.first - 1 : message.first - 1 + WINDOW])
                if window and message.first > 0:
                    self.world.send(self, peer_key, Blocks(window))
            case Blocks():
                self._catch_up.receive(peer_key, message.finals)
            case _:
                pass

    def _receive_consensus(
        self, peer_key: bytes, message: VoteMessage | CertificateMessage | Proposal
    ) -> None:
        epoch = epoch_of(message)
        if epoch != self.state.base.epoch:
            if epoch == self.state.base.epoch + 1:
                self._later.append((peer_key, message))
            if epoch > self.state.base.epoch:
                self._catch_up.hurry()
            return
        try:
            taken = self._intake.take(self.state, peer_key, message)
            if taken is None:
                return
            for check in taken.checks:
                if fake_signature(check.key, check.message) != check.signature:
                    raise InvalidInput(Code.BAD_SIGNATURE, "a forged signature")  # noqa: TRY301
        except InvalidInput as error:
            self.world.watch.refused(error)
            return
        self.feed(taken.event)

    def _receive_block(self, block: Block) -> None:
        identity = block_hash(block.header)
        fits = block.header.justification_digest == justification_digest(block.justification)
        if self._wanted.pop(identity, None) is None or not fits:
            return
        _put(self.bodies, identity, block)
        self._fetched[identity] = True
        self.feed(
            bft.BlockReceived(
                block=identity, header=block.header, justification=block.justification
            )
        )

    # -- the core -------------------------------------------------------------------------

    def feed(self, event: bft.Event) -> None:
        """Let the core handle an event and all that follows at once."""
        self._events.append(event)
        if self._is_handling:
            return
        self._is_handling = True
        try:
            while self._events:
                event = self._events.popleft()
                self.state, effects = bft.step(self.state, event)
                self.world.watch.stepped(self, event)
                for effect in effects:
                    self.world.crash_point(self)
                    self._perform(effect)
        finally:
            self._is_handling = False

    def _perform(self, effect: bft.Effect) -> None:
        match effect:
            case bft.KeepCertificate():
                self._log.keep_certificate(effect.certificate)
            case bft.KeepBlock():
                block = self.bodies.get(effect.block) or self.chain.block(effect.block)
                if block is not None:
                    self._log.keep_block(block, self.state.base.epoch, self.state.slot)
            case bft.Forget():
                self._log.forget(effect.epoch, effect.slot, effect.above)
            case bft.Cast():
                self._cast(effect.vote)
            case bft.Propose():
                self._propose(effect)
            case bft.SendCertificate():
                self.world.broadcast(self, CertificateMessage(effect.certificate))
            case bft.SendVote():
                self.world.broadcast(self, VoteMessage(effect.vote))
            case bft.SetTimer():
                fired = bft.TimerFired(effect.timer, effect.epoch, effect.slot)
                self.world.after(effect.delay_ms * 1000, self, self.feed, fired)
            case bft.Build():
                self.world.after(self.world.build_us(), self, self._build, effect)
            case bft.Validate() | bft.Fetch():
                if not self._catch_up.takes(effect):
                    self.look_at(effect)
            case bft.Commit():
                self.world.after(self.world.commit_us(), self, self._commit, effect)
            case bft.CatchUp():
                self._catch_up.hurry()
            case bft.Report():
                self.world.watch.reported(self, effect)
            case bft.Halt() | bft.Diverged():
                self.world.watch.halted(self, effect)
            case _:
                assert_never(effect)

    def _cast(self, vote: Vote) -> None:
        assert self.state.index is not None
        entries = self._log.take_pending()
        try:
            signed = self._log.sign(entries, vote, self.state.index)
        except InvalidInput:
            self.world.count("sign.refused")
            return
        self.world.crash_point(self)
        self.world.watch.signed(self, signed)
        self.world.broadcast(self, VoteMessage(signed))
        self._events.appendleft(bft.VoteReceived(signed))

    def _propose(self, effect: bft.Propose) -> None:
        block = self.bodies.get(effect.vote.block) or self.chain.block(effect.vote.block)
        assert self.state.index is not None
        if block is None:
            return
        entries = self._log.take_pending()
        try:
            signed = self._log.sign(entries, effect.vote, self.state.index)
        except InvalidInput:
            self.world.count("sign.refused")
            return
        self.world.watch.signed(self, signed)
        self.world.propose(
            self,
            Proposal(
                vote=signed,
                header=block.header,
                justification=block.justification,
                slot_justification=effect.slot_justification,
                transaction_ids=(),
                predictions=block.predictions,
            ),
            block,
        )

    # -- slow work ------------------------------------------------------------------------

    def _build(self, effect: bft.Build) -> None:
        if effect.slot != self.state.slot or effect.epoch != self.state.base.epoch:
            self.feed(bft.BuildFailed(effect.slot))
            return
        try:
            now_ms = self._clock()
            turn = Turn(slot=effect.slot, justification=effect.justification, time_ms=now_ms)
            block = self.chain.build(effect.parent, turn, self.world.pool())
        except Unavailable:
            self.feed(bft.BuildFailed(effect.slot))
            return
        identity = block_hash(block.header)
        _put(self.bodies, identity, block)
        self.feed(
            bft.BlockBuilt(
                slot=effect.slot,
                block=identity,
                header=block.header,
                justification=block.justification,
            )
        )

    def _validate(self, effect: bft.Validate) -> None:
        block = self.bodies.get(effect.block)
        verdict: bool | None = None
        if block is None:
            self._want(effect.block)
        else:
            try:
                self.chain.validate(block, is_certified=effect.is_certified)
                verdict = True
                self._refused_count = 0
            except InvalidInput as error:
                self.world.count(f"block.refused.{error.code.name}")
                # As node/drivers/workbench.py: the header does not bind the claimed outputs one by
                # one, so a body that others gave us, or that a quorum did not see, may be replaced.
                del self.bodies[effect.block]
                is_open = effect.is_certified or self._fetched.pop(effect.block, False)
                self._refused_count += 1
                verdict = None if is_open and self._refused_count <= REFUSED_COUNT_MAX else False
            except Unavailable:
                verdict = None
        self.feed(bft.BlockValidated(effect.block, verdict))

    def _commit(self, effect: bft.Commit) -> None:
        vote = effect.certificate.vote
        self._log.advance(vote.epoch, vote.slot)
        self.world.crash_point(self)
        try:
            headers = self.chain.commit(effect.block, effect.certificate)
        except Unavailable:
            self._catch_up.hurry()
            return
        self._catch_up.moved()
        self.world.watch.committed(self, headers)
        self.world.crash_point(self)
        self.bodies = {
            key: block
            for key, block in self.bodies.items()
            if block.header.height > self.chain.head.height
        }
        if self.chain.epoch == vote.epoch:
            self.feed(bft.BlockCommitted(vote.slot, vote.epoch, self.chain.params))
            return
        self.feed(bft.EpochStarted(self.chain.position(self.key)))
        later, self._later = list(self._later), deque(maxlen=LATER_MAX)
        for peer_key, message in later:
            self.receive(peer_key, message)

    def commit_certified(self, identity: bytes, certificate: Certificate) -> None:
        """Store what the catch-up brought, after its slots are closed."""
        self._log.advance(certificate.vote.epoch, certificate.vote.slot)
        self.world.crash_point(self)
        self.world.watch.committed(self, self.chain.commit(identity, certificate))
        self._catch_up.moved()

    # -- fetching -----------------------------------------------------------------------------

    def look_at(self, effect: Held) -> None:
        """Carry out what no catch-up brings."""
        if isinstance(effect, bft.Validate):
            self.world.after(self.world.validate_us(self.instance), self, self._validate, effect)
        else:
            self._fetch(effect.block)

    def _fetch(self, identity: bytes) -> None:
        block = self.bodies.get(identity)
        if block is None:
            self._want(identity)
            return
        received = bft.BlockReceived(
            block=identity, header=block.header, justification=block.justification
        )
        self.world.after(0, self, self.feed, received)

    def _want(self, identity: bytes) -> None:
        if identity not in self._wanted:
            self._wanted[identity] = 0
            self._ask(identity)

    def _ask(self, identity: bytes) -> None:
        tries = self._wanted[identity]
        self._wanted[identity] = tries + 1
        peers = [v.key for v in self.state.validators.validators if v.key != self.key]
        if peers:
            self.world.send(self, peers[tries % len(peers)], BlockWanted(identity))

    def _ask_again(self) -> None:
        for identity, tries in list(self._wanted.items()):
            if tries >= FETCH_TRIES_MAX or identity in self.bodies:
                del self._wanted[identity]
            else:
                self._ask(identity)
        self.world.after(FETCH_EVERY_US, self, self._ask_again)

    def _tell_status(self) -> None:
        head = self.chain.head
        self.world.broadcast(self, Status(head.height, self.chain.epoch, self.state.slot, b""))
        self._catch_up.look()
        self.world.after(STATUS_EVERY_US, self, self._tell_status)


def _put(table: dict[bytes, Block], key: bytes, block: Block) -> None:
    while len(table) >= BODIES_MAX:
        del table[next(iter(table))]
    table[key] = block

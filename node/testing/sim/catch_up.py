"""Catch-up of a simulated node: the real rules of silence, claims, runs and held effects (S8, S9).

Mirrors node/drivers/sync.py: one window at a time, one peer after the other. A window is asked for
once its peer is late; what comes unasked counts for nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from andon.core.block import block_hash
from andon.core.certificate import ValidatorSet
from andon.core.errors import InvalidInput, Unavailable
from andon.core.wire import FinalBlock
from consensus import bft
from node.drivers.certified import check_follows, runs_of
from node.drivers.claims import Claims
from node.drivers.holding import Held, Holding
from node.drivers.silence import LAG_NOW, STALLED_S, Outcome, Silence
from node.drivers.windows import Offer
from node.testing.sim.messages import BlocksWanted
from node.testing.sim.sync import WINDOW, check_final_block
from node.testing.sim.watch import SimulationFailed

if TYPE_CHECKING:
    from node.testing.sim.node import SimNode

PATIENCE_US = 500_000
LOOK_HELD_US = 100_000
QUIET_US = 2_000_000
US_PER_S = 1_000_000


class CatchUp:
    """Of one node; gone with its process."""

    def __init__(self, node: SimNode) -> None:
        self._node = node
        self._world = node.world
        self._claims = Claims(lambda key: key)
        self._silence = Silence(self._claims, lambda: node.chain.head, self._validators)
        self._holding = Holding(lambda: self._silence.brings_to(self._now_s()))
        self._is_running = False
        self._outcome = Outcome.NOTHING
        self._first = 0
        self._tip = node.chain.head
        self._asked: tuple[bytes, int] = b"", 0
        """The peer whose answer is waited for, and how many were asked before."""
        self._turns: list[bytes] = []
        self._silences = 0
        self._looks_at_held = False
        self._moved_us = self._world.now_us

    # -- what the node calls --------------------------------------------------------------

    def note(self, peer_key: bytes, height: int) -> None:
        """Remember what a peer claims."""
        self._claims.note(peer_key, height)
        self.look()

    def hurry(self) -> None:
        """Consensus sees that others are ahead."""
        self._silence.hurry()
        self.look()

    def look(self) -> None:
        """Begin to catch up if that is due."""
        self._silence.watch(self._now_s())
        if not self._is_running and self._silence.is_behind(self._now_s()):
            self._is_running = True
            self._silence.begin(self._now_s())
            self._round()

    def moved(self) -> None:
        """The chain grew, whoever brought it."""
        self._moved_us = self._world.now_us

    def takes(self, effect: Held) -> bool:
        """Keep back what a catch-up brings."""
        if not self._holding.takes(effect, self._node.state):
            return False
        self._world.count("sync.held")
        if not self._looks_at_held:
            self._looks_at_held = True
            self._world.after(LOOK_HELD_US, self._node, self._look_at_held)
        return True

    def receive(self, peer_key: bytes, finals: tuple[FinalBlock, ...]) -> None:
        """Take a window from the peer that was asked."""
        if not self._is_running or peer_key != self._asked[0]:
            return
        self._asked = b"", self._asked[1] + 1
        window = [Offer(peer_key, final, None) for final in finals]
        if not window or window[0].header.height != self._first:
            self._ask_next()
            return
        if self._silence.is_worth([offer.header for offer in window], self._now_s()):
            self._take(window)
        else:
            self._world.count("sync.left")
            self._outcome = Outcome.LEFT
        self._end_round()

    # -- rounds -----------------------------------------------------------------------------

    def _round(self) -> None:
        if not self._silence.is_behind(self._now_s()):
            self._is_running = False
            if self._silence.end():
                self._end_silence()
            return
        self._outcome, self._tip = Outcome.NOTHING, self._node.chain.head
        self._first = self._tip.height + 1
        self._turns = self._claims.in_turn(self._first, self._first // WINDOW, self._now_s())
        self._asked = b"", self._asked[1]
        self._ask_next()

    def _ask_next(self) -> None:
        if not self._turns:
            self._end_round()
            return
        self._asked = self._turns.pop(0), self._asked[1] + 1
        self._world.count("sync.asked")
        self._world.after(PATIENCE_US, self._node, self._give_up, self._asked)
        self._world.send(self._node, self._asked[0], BlocksWanted(self._first))

    def _give_up(self, asked: tuple[bytes, int]) -> None:
        if self._is_running and asked == self._asked:
            self._claims.note_slow(asked[0], self._now_s())
            self._ask_next()

    def _end_round(self) -> None:
        if self._outcome is Outcome.BLOCKS:
            self._world.count("sync.used")
            if not self._silence.is_silent:
                raise SimulationFailed("S8: certified blocks came without silence")
        if self._silence.end_round(self._outcome, self._now_s()):
            self._end_silence()
        self._world.after(1, self._node, self._round)

    def _take(self, window: list[Offer]) -> None:
        """Check and adopt in runs, commit what has a certificate of its own."""
        node = self._node
        for run in runs_of(window):
            for offer in run:
                if offer.header.height <= node.chain.head.height:
                    continue
                try:
                    self._adopt(offer)
                except (InvalidInput, Unavailable) as error:
                    self._world.watch.refused(error)
                    if isinstance(error, InvalidInput):
                        self._claims.doubt(offer.peer, self._now_s())
                    return

    def _adopt(self, offer: Offer) -> None:
        node, final, header = self._node, offer.final, offer.header
        tip = self._tip if self._tip.height > node.chain.head.height else node.chain.head
        check_follows(header, tip)
        check_final_block(self._world.chain_id, node.chain.validators(header.epoch), final)
        if self._silence.starts():
            self._begin_silence()
        node.chain.validate(final.block, is_certified=True)
        self._tip = header
        self._silence.moved(self._now_s())
        self._outcome = Outcome.BLOCKS
        self._claims.trust(offer.peer)
        if not final.path:
            node.commit_certified(block_hash(header), final.certificate)

    # -- silence ------------------------------------------------------------------------------

    def _begin_silence(self) -> None:
        """S8, seen from outside: the node is behind by much, stalls, or misses an epoch's end."""
        node, world = self._node, self._world
        behind = max(len(disk.finals) for disk in world.disks) - node.chain.head.height
        is_stalled = world.now_us - self._moved_us >= STALLED_S * US_PER_S
        closes = any(
            final.block.header.closes_epoch
            for disk in world.disks
            for final in disk.finals[node.chain.head.height :]
        )
        if behind < LAG_NOW and not is_stalled and not closes and world.is_honest(node.instance):
            raise SimulationFailed(f"S8: node {node.instance} is silenced {behind} blocks behind")
        self._silences += 1
        node.feed(bft.SyncStarted())
        world.after(QUIET_US, node, self._end_quiet, self._silences)

    def _end_silence(self) -> None:
        node = self._node
        node.feed(bft.SyncedTo(node.chain.position(node.key)))
        node.feed(bft.SyncFinished())

    def _end_quiet(self, number: int) -> None:
        """As ConsensusDriver: a catch-up that brings nothing ends for the core."""
        node = self._node
        if not node.state.is_syncing or number != self._silences:
            return
        if node.chain.head.height > node.state.base.height:
            self._world.after(QUIET_US, node, self._end_quiet, number)
        else:
            node.feed(bft.SyncFinished())

    # -- held effects -------------------------------------------------------------------------

    def _look_at_held(self) -> None:
        self._looks_at_held = False
        for effect in self._holding.release(self._node.state):
            self._node.look_at(effect)
        if self._holding:
            self._looks_at_held = True
            self._world.after(LOOK_HELD_US, self._node, self._look_at_held)

    def _validators(self) -> ValidatorSet:
        return self._node.chain.validators(self._node.chain.epoch)

    def _now_s(self) -> float:
        return self._world.now_us / US_PER_S

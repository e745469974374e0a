"""Virtual time, a faulty network and faulty processes around simulated nodes.

Separate random streams for network, processes and partitions: a draw more in one does not
reshuffle the others. Two phases: faults until the target height (safety), then none, and all
honest nodes must make blocks again (liveness).
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from andon.core.block import Block, Header
from andon.core.certificate import SignedVote, Validator, ValidatorSet
from andon.core.codec import encode
from andon.core.errors import AndonError
from andon.core.genesis import Params
from andon.core.wire import Proposal
from consensus import bft
from node.testing.sim.actors import Actor, make_actor
from node.testing.sim.chain import PREDICT, SET
from node.testing.sim.checkers import Checkers
from node.testing.sim.disk import Disk
from node.testing.sim.messages import Script, SimMessage, Whole
from node.testing.sim.node import SimNode
from node.testing.sim.options import Options

EVENTS_MAX = 2_000_000
LIVE_HEIGHTS = 3
LIVE_MS_MAX = 60_000
"""In the second phase nothing is lost: two capped timeouts and a standstill fit many times."""
TRANSACTIONS = 24
US = 1000


class Crashed(Exception):
    """Unwinds a node that dies between two effects."""


class SimulationFailed(AssertionError):
    """A property does not hold; the message names it."""


@dataclass(slots=True)
class Outcome:
    """What a run did. `digest` covers every commit and vote, in order."""

    options: Options
    events: int = 0
    virtual_ms: int = 0
    height: int = 0
    digest: str = ""
    counts: dict[str, int] = field(default_factory=dict)


class World:
    """All nodes of one run."""

    chain_id = "sim"

    def __init__(
        self, options: Options, params: Params | None = None, script: Script | None = None
    ) -> None:
        self.options = options
        self.params = params or Params(
            skip_timeout_ms=500,
            skip_timeout_max_ms=4000,
            idle_block_ms=10,
            standstill_ms=1000,
        )
        self.keys = [bytes([index + 1]) * 32 for index in range(options.nodes)]
        self.genesis_set = make_set(list(zip(self.keys, options.weights, strict=True)))
        self.now_us = 0
        self.is_faulty = True
        self.counts: dict[str, int] = {}
        self._heap: list[tuple[int, int, SimNode | None, Callable[..., None], tuple[object, ...]]]
        self._heap = []
        self._sequence = 0
        self._network = self._stream("network")
        self._process = self._stream("process")
        self._partitions = self._stream("partition")
        self._blocked: dict[tuple[int, int], None] = {}
        self._transactions = self._workload()
        guilty = self.guilty_keys()
        self.checkers = Checkers(self.genesis_set, guilty, self._transactions)
        self._identity: list[bytes] = list(self.keys)
        if options.actor == "twin":
            self._identity.append(self.keys[options.actor_node])
        self._disks = [Disk() for _ in self._identity]
        self.nodes: list[SimNode | None] = [None] * len(self._identity)
        self._by_key: dict[bytes, list[int]] = {}
        for instance, key in enumerate(self._identity):
            self._by_key.setdefault(key, []).append(instance)
        self._script = script
        self._actor: Actor | None = None
        if options.actor and script is None:
            self._actor = make_actor(options.actor, self, self._stream("actor"))
        # Real nodes do not start in the same microsecond either.
        self._skew_ms = [
            self._process.randint(-options.skew_ms, options.skew_ms) for _ in self._identity
        ]
        if options.actor == "twin":
            self._skew_ms[-1] += 1  # so that the twins build different blocks
        for instance in range(len(self._identity)):
            delay_ms = self._process.randrange(20)
            if instance == options.late_node:
                delay_ms += options.safety_ms_max // 8
            self._schedule(delay_ms * US, None, self._boot, (instance,))
        if options.partition_every_ms:
            self._schedule(options.partition_every_ms * US, None, self._cut, ())

    def guilty_keys(self) -> tuple[bytes, ...]:
        """Keys that may misbehave."""
        return (self.keys[self.options.actor_node],) if self.options.actor else ()

    def is_honest(self, instance: int) -> bool:
        """Tell whether an instance follows the protocol."""
        return self._identity[instance] not in self.guilty_keys()

    # -- running --------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Run both phases.

        Raises:
            SimulationFailed, AssertionError: a property does not hold.
        """
        target = self.options.heights
        self._run_until(
            lambda: self._least_height(alive_only=True) >= target, self.options.safety_ms_max
        )
        self.is_faulty = False
        self._blocked.clear()
        for instance, node in enumerate(self.nodes):
            if node is None:
                self._schedule(0, None, self._boot, (instance,))
        goal = self._best_height() + LIVE_HEIGHTS
        start_ms = self.now_us // US
        reached = self._run_until(lambda: self._least_height() >= goal, start_ms + LIVE_MS_MAX)
        if not reached:
            heights = [None if node is None else node.chain.head.height for node in self.nodes]
            raise SimulationFailed(
                f"progress: heights {heights} after {LIVE_MS_MAX} ms, goal {goal}"
            )
        self.checkers.finish([disk.finals for disk in self._disks])
        self.count("heal_ms", self.now_us // US - start_ms)
        return Outcome(
            options=self.options,
            events=self._sequence,
            virtual_ms=self.now_us // US,
            height=self._best_height(),
            digest=self.checkers.trace_digest(),
            counts=self.counts,
        )

    def _run_until(self, is_done: Callable[[], bool], until_ms: int) -> bool:
        heap = self._heap
        check = 0
        while heap:
            check += 1
            if check % 64 == 0 and is_done():
                return True
            at_us, _, owner, call, args = heapq.heappop(heap)
            if at_us > until_ms * US or self._sequence > EVENTS_MAX:
                heapq.heappush(heap, (at_us, self._sequence + 1, owner, call, args))
                return is_done()
            self.now_us = max(self.now_us, at_us)
            if owner is not None and self.nodes[owner.instance] is not owner:
                continue  # its process is dead
            try:
                call(*args)
            except Crashed:
                continue
        return is_done()

    def _least_height(self, *, alive_only: bool = False) -> int:
        heights = [
            0 if node is None else node.chain.head.height
            for instance, node in enumerate(self.nodes)
            if self.is_honest(instance) and not (alive_only and node is None)
        ]
        return min(heights, default=0)

    def _best_height(self) -> int:
        return max((node.chain.head.height for node in self.nodes if node is not None), default=0)

    # -- what nodes call --------------------------------------------------------------------

    def after(
        self, delay_us: int, owner: SimNode, call: Callable[..., None], *args: object
    ) -> None:
        """Call back later if the process still lives."""
        self._schedule(delay_us, owner, call, args)

    def broadcast(self, node: SimNode, message: SimMessage) -> None:
        """Send to every other key's instances."""
        for instance, key in enumerate(self._identity):
            if key != node.key:
                self._send(node, instance, message)

    def send(self, node: SimNode, peer_key: bytes, message: SimMessage) -> None:
        """Send to the instances of one key."""
        for instance in self._by_key.get(peer_key, ()):
            self._send(node, instance, message)

    def propose(self, node: SimNode, proposal: Proposal, block: Block) -> None:
        """Send a proposal with its body to everybody."""
        for instance, key in enumerate(self._identity):
            if key != node.key:
                self._send(node, instance, proposal, block)

    def wall_ms(self, instance: int) -> int:
        """Clock of an instance."""
        return 1_000_000 + self.now_us // US + self._skew_ms[instance]

    def pool(self) -> list[bytes]:
        """Transactions that were submitted by now."""
        return self._transactions

    def build_us(self) -> int:
        """Time to build."""
        return (self.params.idle_block_ms + self.options.build_ms) * US

    def validate_us(self) -> int:
        """Time to validate."""
        return self.options.validate_ms * US

    def commit_us(self) -> int:
        """Time to commit."""
        return US

    def crash_point(self, node: SimNode) -> None:
        """Between any two effects a process may die."""
        if not self.options.crash or not self.is_faulty:
            return
        if self._process.randrange(1_000_000) < self.options.crash:
            self.count("crash")
            self.nodes[node.instance] = None
            delay_us = self._process.randrange(1, 2 * self.options.down_ms + 2) * US
            self._schedule(delay_us, None, self._boot, (node.instance,))
            raise Crashed

    def count(self, name: str, amount: int = 1) -> None:
        """Note that something was reached."""
        self.counts[name] = self.counts.get(name, 0) + amount

    # -- what checkers see --------------------------------------------------------------------

    def stepped(self, node: SimNode, event: bft.Event) -> None:
        """After every step."""
        if isinstance(event, bft.EpochStarted):
            self.count("epoch")
        elif isinstance(event, bft.ProposalReceived):
            if event.slot_justification is not None:
                self.count("slot.reproposed")
            if len(event.justification.skips) > 1:
                self.count("slot.skip_chain")
        self.checkers.stepped(node.state)

    def signed(self, node: SimNode, signed: SignedVote) -> None:
        """A signature left the signer."""
        self.count(f"vote.{signed.vote.kind.name}")
        if self.is_honest(node.instance):
            self.checkers.signed(node.key, signed)

    def committed(self, node: SimNode, headers: list[Header]) -> None:
        """Blocks became durable at a node."""
        if self.is_honest(node.instance):
            self.checkers.committed(node.instance, headers)

    def reported(self, node: SimNode, report: bft.Report) -> None:
        """A node reports evidence."""
        self.count("evidence")
        key = node.state.validators.validators[report.first.validator].key
        self.checkers.reported(key, report)

    def halted(self, node: SimNode, effect: bft.Effect) -> None:
        """A node saw a fork or cannot execute what is final: never with so few faulty ones."""
        if self.is_honest(node.instance):
            raise SimulationFailed(f"agreement: node {node.instance} halts: {effect}")

    def refused(self, error: AndonError) -> None:
        """A node refused a message."""
        self.count(f"message.refused.{error.code.name}")

    # -- faults ---------------------------------------------------------------------------

    def _boot(self, instance: int) -> None:
        if self.nodes[instance] is not None:
            return
        lies = instance == self.options.liar
        node = SimNode(self, instance, self._identity[instance], self._disks[instance], lies=lies)
        self.nodes[instance] = node
        self.checkers.booted(instance, node.chain.head.height)
        try:
            node.start()
        except Crashed:
            return

    def _cut(self) -> None:
        if not self.is_faulty:
            return
        count = len(self._identity)
        sides = [self._partitions.randrange(2) for _ in range(count)]
        for left in range(count):
            for right in range(count):
                if sides[left] != sides[right] and not (self.options.is_oneway and sides[left]):
                    self._blocked[left, right] = None
        self.count("partition")
        heal_us = self._partitions.randrange(1, 2 * self.options.partition_ms) * US
        self._schedule(heal_us, None, self._blocked.clear, ())
        self._schedule(heal_us + self.options.partition_every_ms * US, None, self._cut, ())

    def _send(
        self, node: SimNode, target: int, message: SimMessage, block: Block | None = None
    ) -> None:
        if self._actor is not None and not self.is_honest(node.instance):
            for changed, body in self._actor.send(node, target, message, block):
                self._put_on_wire(node, target, changed, body)
            return
        self._put_on_wire(node, target, message, block)

    def _put_on_wire(
        self, node: SimNode, target: int, message: SimMessage, block: Block | None
    ) -> None:
        options, rng = self.options, self._network
        delay_us = options.delay_ms * US + rng.randrange(options.jitter_ms * US)
        if self._script is not None:
            held_ms = self._script.delay_ms(self.now_us // US, node.instance, target, message)
            if held_ms is None:
                return
            delay_us += held_ms * US
        if self.is_faulty:
            if (node.instance, target) in self._blocked:
                return
            if options.loss and rng.randrange(10_000) < options.loss:
                return
            if options.reorder and rng.randrange(10_000) < options.reorder:
                delay_us += rng.randrange(20 * options.delay_ms * US + US)
            if options.replay and rng.randrange(10_000) < options.replay:
                again_us = delay_us + rng.randrange(2_000_000)
                self._schedule(again_us, None, self._deliver, (target, node.key, message, block))
        self._schedule(delay_us, None, self._deliver, (target, node.key, message, block))

    def _deliver(
        self, target: int, peer_key: bytes, message: SimMessage, block: Block | None
    ) -> None:
        node = self.nodes[target]
        if node is None:
            return
        if block is not None:
            node.receive(peer_key, Whole(block))
        node.receive(peer_key, message)

    def _schedule(
        self,
        delay_us: int,
        owner: SimNode | None,
        call: Callable[..., None],
        args: tuple[object, ...],
    ) -> None:
        self._sequence += 1
        heapq.heappush(self._heap, (self.now_us + delay_us, self._sequence, owner, call, args))

    def _stream(self, name: str) -> random.Random:
        return random.Random(f"{name}/{self.options.seed}")  # noqa: S311 - a reproducible world

    def _workload(self) -> list[bytes]:
        rng = self._stream("workload")
        transactions = [
            PREDICT + b"%d" % index if rng.randrange(3) == 0 else b"count:%d" % index
            for index in range(TRANSACTIONS)
        ]
        for change in range(self.options.set_changes):
            # Who may be guilty gains no weight and stays below a third.
            faulty = (self.options.actor_node,) if self.options.actor else (self.options.liar,)
            weights = [
                weight if index in faulty else weight + rng.randrange(2) * (change + 1)
                for index, weight in enumerate(self.options.weights)
            ]
            pairs = list(zip(self.keys, weights, strict=True))
            if self.options.nodes > 4 and faulty == (-1,) and rng.randrange(2):
                del pairs[rng.randrange(len(pairs))]
            place = rng.randrange(len(transactions))
            transactions.insert(place, SET + encode(make_set(pairs)))
        return transactions


def make_set(pairs: list[tuple[bytes, int]]) -> ValidatorSet:
    """A set of fake keys."""
    return ValidatorSet(tuple(Validator(key, weight) for key, weight in sorted(pairs)))

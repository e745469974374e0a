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

from andon.core.block import Block
from andon.core.errors import Corrupt
from andon.core.genesis import Params
from andon.core.wire import Proposal
from node.testing.sim.actors import Actor, make_actor
from node.testing.sim.checkers import Checkers
from node.testing.sim.disk import DEAD, SIGN_STATE, Disk, Tear, lose
from node.testing.sim.faults import JUMPS_EVERY_MS, US, Clocks, Links
from node.testing.sim.messages import Script, SimMessage, Whole
from node.testing.sim.node import SimNode
from node.testing.sim.options import Options
from node.testing.sim.watch import SimulationFailed, Watch
from node.testing.sim.workload import make_set, make_workload

EVENTS_MAX = 2_000_000
LIVE_HEIGHTS = 3
LIVE_MS_MAX = 60_000
"""In the second phase nothing is lost: two capped timeouts and a standstill fit many times."""
_FORGETS = ("restored", "sign_state_old")


class Crashed(Exception):
    """Unwinds a node that dies between two effects."""


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
        members = zip(self.keys[: options.members], options.weights, strict=False)
        self.genesis_set = make_set(list(members))
        self.now_us = 0
        self.is_faulty = True
        self.counts: dict[str, int] = {}
        self._heap: list[tuple[int, int, SimNode | None, Callable[..., None], tuple[object, ...]]]
        self._heap = []
        self._sequence = 0
        self._network = self._stream("network")
        self._process = self._stream("process")
        self.transactions = make_workload(options, self.keys, self._stream("workload"))
        self.checkers = Checkers(self.genesis_set, self.guilty_keys(), self.transactions)
        self._identity: list[bytes] = list(self.keys)
        if options.actor == "twin":
            self._identity.append(self.keys[options.actor_node])
        count = len(self._identity)
        self.disks = [Disk() for _ in self._identity]
        self.slow_validate_ms: dict[int, int] = {}
        self._backup: Disk | None = None
        self._refuses: dict[int, None] = {}
        self.nodes: list[SimNode | None] = [None] * count
        self._by_key: dict[bytes, list[int]] = {}
        for instance, key in enumerate(self._identity):
            self._by_key.setdefault(key, []).append(instance)
        self._script = script
        self._actor: Actor | None = None
        if options.actor and script is None:
            self._actor = make_actor(options.actor, self, self._stream("actor"))
        self.watch = Watch(self)
        self._clocks = Clocks(options, count, self._stream("clocks"))
        self.links = Links(options, count, self._stream("partition"))
        self._schedule_faults()

    def _schedule_faults(self) -> None:
        options = self.options
        for instance in range(len(self._identity)):
            # Real nodes do not start in the same microsecond either.
            delay_ms = self._process.randrange(20)
            if instance == options.late_node:
                delay_ms += options.safety_ms_max // 8
            self._schedule(delay_ms * US, None, self.boot, (instance,))
        if options.partition_every_ms:
            self._schedule(options.partition_every_ms * US, None, self._cut, ())
        if options.jump_ms:
            self._schedule(JUMPS_EVERY_MS * US, None, self._jump, ())
        if options.loss_of:
            backup_ms = self._process.randrange(30, 400)
            self._schedule(backup_ms * US, None, self._back_up, ())
            self._schedule((backup_ms + 300) * US, None, self._lose, ())

    def guilty_keys(self) -> tuple[bytes, ...]:
        """Keys that may misbehave: an actor's, and one that runs from a backup."""
        options = self.options
        if options.actor:
            return (self.keys[options.actor_node],)
        # Signed votes were forgotten, and nobody can tell (docs/protocol.md, "Crashes").
        return (self.keys[options.loss_node],) if options.loss_of in _FORGETS else ()

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
        self.run_until(
            lambda: self._least_height(alive_only=True) >= target, self.options.safety_ms_max
        )
        self.is_faulty = False
        self.links.heal()
        self._clocks.settle()
        for instance, node in enumerate(self.nodes):
            if node is None:
                self._schedule(0, None, self.boot, (instance,))
        goal = self._best_height() + LIVE_HEIGHTS
        start_ms = self.now_us // US
        reached = self.run_until(lambda: self._least_height() >= goal, start_ms + LIVE_MS_MAX)
        if not reached:
            heights = [None if node is None else node.chain.head.height for node in self.nodes]
            raise SimulationFailed(
                f"progress: heights {heights} after {LIVE_MS_MAX} ms, goal {goal}"
            )
        self.checkers.finish([disk.finals for disk in self.disks])
        self.count("heal_ms", self.now_us // US - start_ms)
        self.count("egress_max", self.checkers.egress.most)
        return Outcome(
            options=self.options,
            events=self._sequence,
            virtual_ms=self.now_us // US,
            height=self._best_height(),
            digest=self.checkers.trace_digest(),
            counts=self.counts,
        )

    def run_until(self, is_done: Callable[[], bool], until_ms: int) -> bool:
        """Let things happen until then, or until it is done; tells whether it is."""
        heap = self._heap
        check = 0
        while heap:
            check += 1
            if check % 64 == 0 and is_done():
                return True
            at_us, order, owner, call, args = heapq.heappop(heap)
            if at_us > until_ms * US or self._sequence > EVENTS_MAX:
                heapq.heappush(heap, (at_us, order, owner, call, args))
                self.now_us = max(self.now_us, min(at_us, until_ms * US))
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
        return self._clocks.wall_ms(instance, self.now_us)

    def pool(self) -> list[bytes]:
        """Transactions that were submitted by now."""
        return self.transactions

    def build_us(self) -> int:
        """Time to build."""
        return (self.params.idle_block_ms + self.options.build_ms) * US

    def validate_us(self, instance: int) -> int:
        """Time that an instance takes to validate."""
        return self.slow_validate_ms.get(instance, self.options.validate_ms) * US

    def commit_us(self) -> int:
        """Time to commit."""
        return US

    def crash_point(self, node: SimNode) -> None:
        """Between any two effects a process may die."""
        if not self.options.crash or not self.is_faulty:
            return
        if self._process.randrange(1_000_000) < self.options.crash:
            self.count("crash")
            self._kill(node.instance)
            raise Crashed

    def tear(self, node: SimNode) -> Tear:
        """Give what stands between a node and its disk: it may die before or within a write."""

        def torn(name: str, size: int) -> int:
            if name != DEAD:
                if not self.is_faulty or self._process.randrange(200_000) >= self.options.crash:
                    return size
                written = self._process.randrange(2 * size) if name == SIGN_STATE else 0
                written = max(0, written - size)  # half the time nothing of it
                self.count(f"disk.torn.{name}" if written else f"disk.lost.{name}")
                if written:
                    return written
            self._kill(node.instance)
            raise Crashed

        return torn

    def _kill(self, instance: int) -> None:
        self.nodes[instance] = None
        delay_us = self._process.randrange(1, 2 * self.options.down_ms + 2) * US
        self._schedule(delay_us, None, self.boot, (instance,))

    def count(self, name: str, amount: int = 1) -> None:
        """Note that something was reached."""
        self.counts[name] = self.counts.get(name, 0) + amount

    # -- faults ---------------------------------------------------------------------------

    def boot(self, instance: int) -> None:
        """Start a process over its disk, if it does not run."""
        if self.nodes[instance] is not None or instance in self._refuses:
            return
        disk = self.disks[instance]
        if self.options.crash:
            disk.load_sign_state()
        lies = instance == self.options.liar
        try:
            node = SimNode(self, instance, self._identity[instance], disk, lies=lies)
        except Corrupt:
            self.count("sign.old_refused")
            self._refuses[instance] = None
            return
        self.nodes[instance] = node
        if self.is_honest(instance):
            self.checkers.booted(instance, node.chain.head.height)
        try:
            node.start()
        except Crashed:
            return

    def _cut(self) -> None:
        if not self.is_faulty:
            return
        heal_us = self.links.cut() * US
        self.count("partition")
        self._schedule(heal_us, None, self.links.heal, ())
        self._schedule(heal_us + self.options.partition_every_ms * US, None, self._cut, ())

    def _jump(self) -> None:
        if self.is_faulty:
            self._clocks.jump()
            self.count("clock.jump")
            self._schedule(JUMPS_EVERY_MS * US, None, self._jump, ())

    def _back_up(self) -> None:
        self._backup = self.disks[self.options.loss_node].copy()

    def _lose(self) -> None:
        """The disk of one node is not what it was; it starts again with what there is."""
        instance = self.options.loss_node
        if not self.is_faulty or self._backup is None:
            return
        lose(self.disks[instance], self._backup, self.options.loss_of)
        if self.options.loss_of == "wiped":
            self.checkers.wiped(instance)
        self.count(f"disk.{self.options.loss_of}")
        self._kill(instance)

    def _send(
        self, node: SimNode, target: int, message: SimMessage, block: Block | None = None
    ) -> None:
        if self._actor is not None and not self.is_honest(node.instance):
            for changed, body in self._actor.send(node, target, message, block):
                self._put_on_wire(node, target, changed, body)
            return
        if self.is_honest(node.instance):
            self.checkers.egress.sent(node.instance, self.now_us // US)
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
            if self.links.is_blocked(node.instance, target):
                return
            if options.clog:
                delay_us += self.links.wait_us(node.instance, target, self.now_us, self.count)
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

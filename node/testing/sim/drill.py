"""A quiet simulated network whose processes, disks and links are moved by hand."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from andon.core.certificate import ValidatorSet
from node.testing.sim.disk import lose
from node.testing.sim.faults import US
from node.testing.sim.messages import Script
from node.testing.sim.options import Options, quiet
from node.testing.sim.world import World

HEIGHTS_ENDLESS = 10**6


class Drill:
    """`reach` says how long the network took for something, in virtual milliseconds."""

    def __init__(
        self,
        options: Options | None = None,
        *,
        seed: int = 1,
        nodes: int = 4,
        script: Script | None = None,
    ) -> None:
        plain = options or quiet(seed, nodes=nodes)
        self.world = World(replace(plain, heights=HEIGHTS_ENDLESS), script=script)
        self.world.is_faulty = False
        self.all = tuple(range(len(self.world.nodes)))

    @property
    def best(self) -> int:
        """The greatest final height on any disk."""
        return max(self.height(node) for node in self.all)

    def height(self, node: int) -> int:
        """The final height on a disk."""
        return len(self.world.disks[node].finals)

    def set_at(self, node: int) -> ValidatorSet:
        """The set that rules at a node that runs."""
        process = self.world.nodes[node]
        assert process is not None, "that node is down"
        return process.chain.validators(process.chain.epoch)

    def reach(self, height: int, within_ms: int, nodes: Collection[int] = ()) -> int:
        """Run until these nodes (all if none is named) have a height; gives the time it took."""
        start_us, chosen = self.world.now_us, nodes or self.all
        until_ms = start_us // US + within_ms
        is_there = self.world.run_until(
            lambda: min(self.height(node) for node in chosen) >= height, until_ms
        )
        heights = [self.height(node) for node in chosen]
        assert is_there, f"heights {heights}, wanted {height} in {within_ms} ms"
        return (self.world.now_us - start_us) // US

    def idle(self, for_ms: int) -> None:
        """Let time pass."""
        self.world.run_until(lambda: False, self.world.now_us // US + for_ms)

    def stop(self, *nodes: int) -> None:
        """Kill processes."""
        for node in nodes:
            self.world.nodes[node] = None

    def start(self, *nodes: int) -> None:
        """Start processes that are down."""
        for node in nodes:
            self.world.boot(node)

    def wipe(self, *nodes: int) -> None:
        """Take chain and votes of stopped nodes away; their sign states stay."""
        for node in nodes:
            lose(self.world.disks[node], self.world.disks[node].copy(), "wiped")
            self.world.checkers.wiped(node)

    def cut(self, *sides: Collection[int]) -> None:
        """Let nothing pass between these groups, until `heal`."""
        side_of = {node: index for index, side in enumerate(sides) for node in side}
        self.world.links.cut_between(side_of)
        self.world.is_faulty = True

    def block(self, *links: tuple[int, int]) -> None:
        """Let nothing pass from a sender to a receiver, for each pair, until `heal`."""
        self.world.links.block(links)
        self.world.is_faulty = True

    def slow(self, validate_ms: int, *nodes: int) -> None:
        """Let these nodes take so long to validate a block, until they are told otherwise."""
        self.world.slow_validate_ms.update(dict.fromkeys(nodes, validate_ms))

    def heal(self) -> None:
        """Let everything pass again."""
        self.world.links.heal()
        self.world.is_faulty = False

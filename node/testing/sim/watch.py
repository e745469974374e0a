"""What nodes do, told to the checkers and counted: a campaign has to reach every kind of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from andon.core.block import Header
from andon.core.certificate import SignedVote
from andon.core.codec import encode
from andon.core.errors import AndonError
from consensus import bft
from node.testing.sim.chain import JAIL

if TYPE_CHECKING:
    from node.testing.sim.node import SimNode
    from node.testing.sim.world import World

JAIL_TRANSACTIONS_MAX = 8


class SimulationFailed(AssertionError):
    """A property does not hold; the message names it."""


class Watch:
    """The eyes of one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._jail_transactions = 0

    def stepped(self, node: SimNode, event: bft.Event) -> None:
        """After every step."""
        if isinstance(event, bft.EpochStarted):
            self._world.count("epoch")
        elif isinstance(event, bft.ProposalReceived):
            if event.slot_justification is not None:
                self._world.count("slot.reproposed")
            if len(event.justification.skips) > 1:
                self._world.count("slot.skip_chain")
        self._world.checkers.stepped(node.state)

    def signed(self, node: SimNode, signed: SignedVote) -> None:
        """A signature left the signer."""
        self._world.count(f"vote.{signed.vote.kind.name}")
        if self._world.is_honest(node.instance):
            self._world.checkers.signed(node.key, signed)

    def committed(self, node: SimNode, headers: list[Header]) -> None:
        """Blocks became durable at a node."""
        world = self._world
        if any(header.closes_epoch for header in headers):
            if world.links.is_cut:
                world.count("epoch.under_partition")
            if None in world.nodes:
                world.count("epoch.one_down")
            if node.chain.jailed:
                world.count("jailed")
        if world.is_honest(node.instance):
            world.checkers.committed(node.instance, headers)

    def reported(self, node: SimNode, report: bft.Report) -> None:
        """A node reports evidence; half of the worlds act on it."""
        world = self._world
        world.count("evidence")
        key = node.state.validators.validators[report.first.validator].key
        world.checkers.reported(key, report)
        if world.options.jails and self._jail_transactions < JAIL_TRANSACTIONS_MAX:
            first, second = encode(report.first), encode(report.second)
            assert len(first) == len(second), "the two halves of a pair are of one length"
            if JAIL + first + second not in world.transactions:
                self._jail_transactions += 1
                world.transactions.insert(0, JAIL + first + second)

    def halted(self, node: SimNode, effect: bft.Effect) -> None:
        """A node saw a fork or cannot execute what is final: never with so few faulty ones."""
        if self._world.is_honest(node.instance):
            raise SimulationFailed(f"agreement: node {node.instance} halts: {effect}")

    def refused(self, error: AndonError) -> None:
        """A node refused a message."""
        self._world.count(f"message.refused.{error.code.name}")

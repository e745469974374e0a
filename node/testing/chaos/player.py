"""Play a plan's faults on a running network, and say in the event log what was done when."""

from __future__ import annotations

import asyncio

from node.testing.chaos.log import EventLog
from node.testing.chaos.plan import ChaosPlan, Fault, Verb
from node.testing.local_net import LocalNet
from node.testing.proxy import Mode


class Player:
    """Applies faults; after `play` none is left, but restarted nodes may still be starting."""

    def __init__(self, net: LocalNet, plan: ChaosPlan, log: EventLog) -> None:
        self._net = net
        self._plan = plan
        self._log = log
        self._on_links: list[Fault] = []
        self.kills = 0

    async def play(self) -> None:
        """Begin and end every fault at its time."""
        steps = sorted(
            [(fault.until_ms, 0, number, fault) for number, fault in enumerate(self._plan.faults)]
            + [(fault.at_ms, 1, number, fault) for number, fault in enumerate(self._plan.faults)]
        )
        clock = asyncio.get_running_loop().time
        began_s = clock()
        for at_ms, begins, _, fault in steps:
            await asyncio.sleep(max(0.0, began_s + at_ms / 1000 - clock()))
            word = "fault.begun" if begins else "fault.ended"
            self._log.write(word, verb=fault.verb.value, nodes=fault.nodes, amount=fault.amount)
            await (self._begin(fault) if begins else self._end(fault))
        await asyncio.sleep(max(0.0, began_s + self._plan.faults_ms / 1000 - clock()))
        self._net.heal()
        self._log.write("network.healed")

    async def _begin(self, fault: Fault) -> None:
        match fault.verb:
            case Verb.KILL:
                self.kills += 1
                await self._net.kill(fault.nodes[0])
            case Verb.PAUSE:
                self._net.pause(fault.nodes[0])
            case Verb.PARTITION | Verb.CABLE | Verb.ONE_WAY | Verb.DELAY | Verb.DROP:
                self._on_links.append(fault)
                self._shape()

    async def _end(self, fault: Fault) -> None:
        match fault.verb:
            case Verb.KILL:
                await self._net.start(fault.nodes[0])
            case Verb.PAUSE:
                self._net.resume(fault.nodes[0])
            case Verb.PARTITION | Verb.CABLE | Verb.ONE_WAY | Verb.DELAY | Verb.DROP:
                self._on_links.remove(fault)
                self._shape()

    def _shape(self) -> None:
        for (source, target), proxy in self._net.links.items():
            mode = _mode(source, target, self._on_links)
            # Setting the same mode again would reset what has just connected.
            if proxy.mode is not mode:
                proxy.set_mode(mode)
            touching = [
                fault for fault in self._on_links if source in fault.nodes or target in fault.nodes
            ]
            proxy.delay_ms = max(
                (fault.amount for fault in touching if fault.verb is Verb.DELAY), default=0
            )
            proxy.reset_per_mille = max(
                (fault.amount for fault in touching if fault.verb is Verb.DROP), default=0
            )


def _mode(source: str, target: str, faults: list[Fault]) -> Mode:
    """What the faults make of one link; the hardest wins."""
    found = Mode.PASS
    for fault in faults:
        separates = (source in fault.nodes) != (target in fault.nodes)
        if fault.verb is Verb.PARTITION and separates:
            return Mode.CUT
        if fault.verb is Verb.CABLE and separates:
            found = Mode.STALL
        if fault.verb is Verb.ONE_WAY and found is not Mode.STALL:
            if fault.nodes == (source, target):
                found = Mode.STALL if found is Mode.STALL_BACKWARD else Mode.STALL_FORWARD
            elif fault.nodes == (target, source):
                found = Mode.STALL if found is Mode.STALL_FORWARD else Mode.STALL_BACKWARD
    return found

"""Play a plan's faults on a running network, and say in the event log what was done when."""

from __future__ import annotations

import asyncio
from typing import assert_never

from node.testing.chaos.links import shape
from node.testing.chaos.log import EventLog
from node.testing.chaos.plan import ChaosPlan, Fault, Verb
from node.testing.local_net import LocalNet


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
        name = fault.nodes[0]
        match fault.verb:
            case Verb.KILL:
                self.kills += 1
                await self._net.kill(name)
            case Verb.PAUSE:
                self._net.pause(name)
            case Verb.SKEW:
                await self._net.restart(name, clock_skew_ms=fault.amount)
            case Verb.SLOW_DISK:
                await self._net.restart(name, storage_delay_ms=fault.amount)
            case Verb.DISK_FULL:
                self._net.fill_disk(name)
            case Verb.WORKER_HANGS:
                self._net.hang_worker(name)
            case Verb.SILENT | Verb.REPLAY:
                await self._net.corrupt(name, fault.verb.value)
            case Verb.PARTITION | Verb.CABLE | Verb.ONE_WAY | Verb.DELAY | Verb.DROP:
                self._on_links.append(fault)
                shape(self._net.links, self._on_links)
            case _:
                assert_never(fault.verb)

    async def _end(self, fault: Fault) -> None:
        name = fault.nodes[0]
        match fault.verb:
            case Verb.KILL:
                await self._net.start(name)
            case Verb.PAUSE:
                self._net.resume(name)
            case Verb.SKEW:
                await self._net.restart(name, clock_skew_ms=0)
            case Verb.SLOW_DISK:
                await self._net.restart(name, storage_delay_ms=0)
            case Verb.DISK_FULL:
                # It has ended, or had nothing to write: then its limit ends with the process.
                await self._net.restart(name)
            case Verb.WORKER_HANGS:
                self._net.resume(name)
            case Verb.SILENT | Verb.REPLAY:
                await self._net.restart(name)
            case Verb.PARTITION | Verb.CABLE | Verb.ONE_WAY | Verb.DELAY | Verb.DROP:
                self._on_links.remove(fault)
                shape(self._net.links, self._on_links)
            case _:
                assert_never(fault.verb)

"""Health and metrics of a running node: gathers what `node.health` judges and Prometheus reads."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from node.drivers.execution import ExecutionDriver
from node.drivers.sync import SyncDriver
from node.facade import Health, NodeStatus
from node.health import Facts, live, ready, startup
from node.membership import Membership
from node.metrics import Metrics, Snapshot
from node.net.network import Network
from node.workers.supervisor import Supervisor

TICK_S = 0.1
DIFFERING_SHOWN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What the probes look at."""

    data: Path
    validator_key: bytes | None
    execution: ExecutionDriver
    sync: SyncDriver
    network: Network
    worker: Supervisor
    store_used_ratio: Callable[[], float]
    store_reader_lag: Callable[[], int]
    needs_worker: bool
    damage: Callable[[], str]
    is_halted: Callable[[], bool]
    """Consensus saw two conflicting certificates and signs nothing any more."""


class Probes:
    """Answers probes and scrapes; `run` keeps the tick of the event loop."""

    def __init__(self, watched: Watched, metrics: Metrics) -> None:
        self._watched = watched
        self._metrics = metrics
        self._membership = Membership(
            watched.validator_key, watched.execution, watched.execution.queries
        )
        self._ticked_at_s = time.monotonic()
        self.has_started = False

    async def run(self) -> None:
        """Tick until cancelled, and note how late each tick comes; log the loss of our vote."""
        while True:
            self._ticked_at_s = time.monotonic()
            self._membership.removed_at()
            await asyncio.sleep(TICK_S)
            self._metrics.lag.observe(max(0.0, time.monotonic() - self._ticked_at_s - TICK_S))

    def health(self, probe: str, status: NodeStatus) -> Health:
        """Answer `live`, `ready` or `startup`."""
        if probe == "live":
            return live(int((time.monotonic() - self._ticked_at_s) * 1000))
        if probe == "startup":
            return startup(has_started=self.has_started)
        return ready(self._facts(status))

    def metrics_text(self, status: NodeStatus) -> bytes:
        """Write the exposition."""
        network, execution = self._watched.network, self._watched.execution
        final = execution.final_block(status.height)
        certificate = final.certificate if final is not None else None
        return self._metrics.render(
            Snapshot(
                status=status,
                ready=ready(self._facts(status)),
                traffic=network.counters,
                pending_bytes=network.pending_bytes(),
                store_used_ratio=self._watched.store_used_ratio(),
                store_reader_lag=self._watched.store_reader_lag(),
                worker_restarts=self._watched.worker.restarts,
                validators=execution.validators(),
                certificate=certificate,
                certifiers=execution.validators(
                    None if certificate is None else certificate.vote.epoch
                ),
            )
        )

    def has_quorum(self) -> bool:
        """Tell whether this node and its linked peers have the weight of a quorum."""
        linked = {peer.validator_key for peer in self._watched.network.linked_peers()}
        weight, quorum = self._weight(linked)
        return weight >= quorum

    def _weight(self, linked: set[bytes]) -> tuple[int, int]:
        """Weight of the linked validators and this one, and the quorum."""
        validators = self._watched.execution.validators()
        members = linked | {self._watched.validator_key or b""}
        weight = sum(item.weight for item in validators.validators if item.key in members)
        return weight, validators.quorum

    def _facts(self, status: NodeStatus) -> Facts:
        watched = self._watched
        weight, quorum = self._weight(
            {peer.validator_key for peer in status.peers if peer.connected}
        )
        disk = shutil.disk_usage(watched.data)
        return Facts(
            status=status,
            idle_block_ms=watched.execution.params().idle_block_ms,
            tip_age_ms=max(0, time.time_ns() // 1_000_000 - status.time_ms),
            supported_height=watched.sync.supported_height,
            disk_free_ratio=disk.free / disk.total,
            linked_weight=weight,
            quorum=quorum,
            refusals=watched.network.refusals(),
            removed_at=self._membership.removed_at(),
            needs_worker=watched.needs_worker,
            differing="; ".join(
                f"model {identity.hex()}: {reason}"
                for identity, reason in list(watched.worker.differing.items())[:DIFFERING_SHOWN]
            ),
            damage=watched.damage(),
            fatal="consensus is halted: the chain has forked" if watched.is_halted() else "",
        )

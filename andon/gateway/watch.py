"""What the parts of a gateway do now and why one waits: for `/state`, `/metrics` and people.

A part is `intake`, `chain`, or `mqtt` with its client id. It works, or it waits for something
that has a name. Totals of messages and windows are not here: the outbox keeps them on disk.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from andon.core.errors import AndonError

disable_created_metrics()  # type: ignore[no-untyped-call] # they double the exposition and tell nothing here

INTAKE, CHAIN = "intake", "chain"
LATENCIES_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 3.0, 6.0, 15.0, 30.0)
log = logging.getLogger(__name__)


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """One part; `reason` is empty while it works."""

    part: str
    works: bool
    reason: str
    since_ms: int


class Watch:
    """The board on which the parts write; safe in any thread."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._lock = threading.Lock()
        self._standings: dict[str, Standing] = {}
        self.registry = CollectorRegistry()
        self._working = Gauge(
            "andon_gateway_working",
            "1 if a part works, 0 if it waits: intake, chain, each broker",
            ("part",),
            registry=self.registry,
        )
        self._connections = self._counter(
            "andon_gateway_broker_connections", "Connections that a broker accepted", "broker"
        )
        self._sessions_lost = self._counter(
            "andon_gateway_broker_sessions_lost",
            "Sessions that a broker forgot, with what waited in them",
            "broker",
        )
        self._failures = self._counter(
            "andon_gateway_submit_failures", "Submissions that did not come to an end", "code"
        )
        self._seconds = Histogram(
            "andon_gateway_submit_seconds",
            "From sending a transaction to its finality",
            buckets=LATENCIES_S,
            registry=self.registry,
        )
        self.works(INTAKE)
        self.works(CHAIN)

    def _counter(self, name: str, text: str, label: str) -> Counter:
        return Counter(name, text, (label,), registry=self.registry)

    def works(self, part: str) -> None:
        """Note that a part does what it is for."""
        self._set(part, "")

    def waits(self, part: str, reason: AndonError | str) -> None:
        """Note that a part waits, and for what."""
        self._set(part, str(reason))

    def is_working(self, part: str) -> bool:
        """Tell whether a part works."""
        with self._lock:
            return self._standings[part].works

    def standings(self) -> tuple[Standing, ...]:
        """All parts, in the order in which they first spoke."""
        with self._lock:
            return tuple(self._standings.values())

    def add_broker(self, broker: str) -> None:
        """Begin the counts of a broker at zero, so that a first loss is seen as one."""
        self._connections.labels(broker)
        self._sessions_lost.labels(broker)
        self.waits(part_of(broker), "connecting for the first time")

    def connected(self, broker: str, *, is_session_lost: bool) -> None:
        """Count a connection, and a session that the broker has forgotten."""
        self._connections.labels(broker).inc()
        if is_session_lost:
            self._sessions_lost.labels(broker).inc()

    def submitted(self, seconds: float) -> None:
        """Count a transaction that is final."""
        self._seconds.observe(seconds)

    def submit_failed(self, error: AndonError) -> None:
        """Count a failure and say that the chain is waited for."""
        self._failures.labels(error.code.name).inc()
        self.waits(CHAIN, error)

    def _set(self, part: str, reason: str) -> None:
        with self._lock:
            before = self._standings.get(part)
            if before is not None and before.reason == reason:
                return
            is_same = before is not None and before.works == (not reason)
            since_ms = before.since_ms if before is not None and is_same else self._now_ms()
            self._standings[part] = Standing(
                part=part, works=not reason, reason=reason, since_ms=since_ms
            )
            self._working.labels(part).set(int(not reason))
        if reason:
            log.warning("%s waits: %s", part, reason)
        elif before is not None:
            log.info("%s works", part)


def part_of(broker: str) -> str:
    """The part's name of a broker, which its client id tells from others."""
    return f"mqtt {broker}"

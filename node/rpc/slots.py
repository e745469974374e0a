"""How many requests a server works on at a time; who only waits holds no place of theirs.

A client that waits for a block costs memory and no work. On a halted chain such clients pile up;
they must not shut out readers, nor the probes that decide whether a node is restarted.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

from andon.core.errors import Code, Unavailable
from node.rpc.limits import REQUESTS_AT_ONCE_MAX, WAITS_AT_ONCE_MAX

BUSY_RETRY_MS = 1000
_slots: ContextVar[Slots | None] = ContextVar("rpc_slots", default=None)


class Slots:
    """Places of one server: those at work, those that wait, and streams."""

    def __init__(self, streams_max: int) -> None:
        self._streams_max = streams_max
        self.at_work = 0
        self.waiting = 0
        self.streams = 0

    @contextlib.contextmanager
    def work(self) -> Iterator[None]:
        """Hold a place while a request is worked on.

        Raises:
            Unavailable: RATE_LIMITED if all are taken.
        """
        if self.at_work >= REQUESTS_AT_ONCE_MAX:
            raise Unavailable(Code.RATE_LIMITED, "the node is busy", retry_ms=BUSY_RETRY_MS)
        self.at_work += 1
        token = _slots.set(self)
        try:
            yield
        finally:
            _slots.reset(token)
            self.at_work -= 1

    @contextlib.contextmanager
    def streaming(self) -> Iterator[None]:
        """Count a stream, which lives long and has a bound of its own, and not as a request.

        Raises:
            Unavailable: TOO_MANY if all are taken.
        """
        if self.streams >= self._streams_max:
            raise Unavailable(
                Code.TOO_MANY,
                f"{self._streams_max} event streams are open already",
                hint="ask another node, or have its operator raise rpc_streams_max",
            )
        self.streams += 1
        try:
            with self._outside():
                yield
        finally:
            self.streams -= 1

    @contextlib.contextmanager
    def wait(self) -> Iterator[None]:
        """Give the place back while a request waits for the chain, and take it again.

        Raises:
            Unavailable: RATE_LIMITED if too many wait already.
        """
        if self.waiting >= WAITS_AT_ONCE_MAX:
            raise Unavailable(
                Code.RATE_LIMITED,
                f"{WAITS_AT_ONCE_MAX} requests wait for blocks already",
                hint="submit with wait=accepted and ask for the transaction later",
                retry_ms=BUSY_RETRY_MS,
            )
        self.waiting += 1
        try:
            with self._outside():
                yield
        finally:
            self.waiting -= 1

    @contextlib.contextmanager
    def _outside(self) -> Iterator[None]:
        self.at_work -= 1
        token = _slots.set(None)  # what runs inside holds no place that it could give back
        try:
            yield
        finally:
            _slots.reset(token)
            self.at_work += 1


@contextlib.contextmanager
def waiting() -> Iterator[None]:
    """Wait without a place at work, if the present request has one."""
    slots = _slots.get()
    with contextlib.nullcontext() if slots is None else slots.wait():
        yield

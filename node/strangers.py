"""Connections that have not made one whole request yet: each is cut off in time (slowloris).

aiohttp has deadlines for neither the head of a request nor an idle first connection (reliability
reference 4.2), so they are kept here, for the port of the peers and for that of the RPC.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web
from aiohttp.web_protocol import RequestHandler


class Strangers:
    """Makes the protocols of a listening socket and remembers those not heard of yet."""

    def __init__(self, runner: web.AppRunner, seconds: float, count_max: int) -> None:
        """`runner` must be set up before the first connection."""
        self._runner = runner
        self._seconds = seconds
        self._count_max = count_max
        self._timers: dict[RequestHandler, asyncio.TimerHandle] = {}

    def factory(self) -> Callable[[], asyncio.Protocol]:
        """What `loop.create_server` takes."""
        return self._make

    def greet(self, request: web.Request) -> None:
        """A whole request has come: its connection is no stranger any more."""
        if (timer := self._timers.pop(request.protocol, None)) is not None:
            timer.cancel()

    def close(self) -> None:
        """Stop all clocks."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _make(self) -> asyncio.Protocol:
        server = self._runner.server
        assert server is not None
        handler = server()
        is_full = len(self._timers) >= self._count_max
        # The timer holds the handler only until it fires, so the table cannot leak.
        self._timers[handler] = asyncio.get_running_loop().call_later(
            0 if is_full else self._seconds, self._drop, handler
        )
        return handler

    def _drop(self, handler: RequestHandler) -> None:
        del self._timers[handler]
        if isinstance(handler.transport, asyncio.Transport):
            handler.transport.abort()

"""Ask the prediction worker over its socket: numbered requests, many in flight, bounded.

Owns one connection. Frames and records are `andon.core.worker`; starting the process and loading
models again after a crash is `node.workers.supervisor`.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from andon.core import worker as protocol
from andon.core.errors import Code, InvalidInput, Unavailable

IN_FLIGHT_MAX = 256
_UNAVAILABLE = (
    Code.WORKER_DOWN,
    Code.INTERNAL,
    Code.NOT_READY,
    Code.CONFORMANCE_FAILED,
    Code.TOO_MANY,
)
"""What a worker says of itself or its machine; everything else is said of what it was sent."""

Body = (
    protocol.Pong
    | protocol.Loaded
    | protocol.Outputs
    | protocol.Done
    | protocol.Explained
    | protocol.Counters
    | protocol.Failed
)
Question = (
    protocol.Ping
    | protocol.Load
    | protocol.Predict
    | protocol.Conform
    | protocol.Explain
    | protocol.Unload
    | protocol.Stats
)


class WorkerClient:
    """One open connection to a worker."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._number = 0
        self._waiting: dict[int, asyncio.Future[Body]] = {}
        self._slots = asyncio.Semaphore(IN_FLIGHT_MAX)
        self._is_down = False
        self.heard_s = asyncio.get_running_loop().time()
        """When the worker last said anything, on the clock of the loop."""

    async def run(self) -> None:
        """Read replies until the worker goes away; then every waiting request fails."""
        try:
            while True:
                prefix = await self._reader.readexactly(protocol.LENGTH_BYTES)
                data = await self._reader.readexactly(protocol.frame_length(prefix))
                self.heard_s = asyncio.get_running_loop().time()
                self._settle(protocol.decode_reply(data))
        except (asyncio.IncompleteReadError, OSError, InvalidInput):
            pass  # the supervisor sees the end and starts anew
        finally:
            self._is_down = True
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(worker_down())
            self._waiting.clear()
            self._writer.close()

    async def ask(self, question: Question, timeout_ms: int) -> Body:
        """Send one request and wait for its reply.

        Raises:
            InvalidInput: the worker refuses (its code and fields).
            Unavailable: WORKER_DOWN, also after `timeout_ms`.
        """
        try:
            async with asyncio.timeout(timeout_ms / 1000), self._slots:
                return await self._exchange(question)
        except TimeoutError:
            raise Unavailable(
                Code.WORKER_DOWN, f"the worker gave no answer in {timeout_ms} ms", timed_out=True
            ) from None

    async def _exchange(self, question: Question) -> Body:
        if self._is_down:
            raise worker_down()
        self._number += 1
        number = self._number
        future: asyncio.Future[Body] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            self._writer.write(protocol.frame(protocol.Request(number=number, body=question)))
            await self._writer.drain()
            body = await future
        except OSError:
            raise worker_down() from None
        finally:
            self._waiting.pop(number, None)
        if isinstance(body, protocol.Failed):
            raise error_of(body)
        return body

    def _settle(self, reply: protocol.Reply) -> None:
        future = self._waiting.pop(reply.number, None)
        if future is not None and not future.done():
            future.set_result(reply.body)


async def connect(path: Path) -> WorkerClient:
    """Open a connection to the socket at `path`. Raises OSError while nobody listens."""
    reader, writer = await asyncio.open_unix_connection(path)
    return WorkerClient(reader, writer)


def worker_down() -> Unavailable:
    """The error of every request that a dead worker leaves unanswered."""
    return Unavailable(
        Code.WORKER_DOWN, "the prediction worker is down", hint="see logs/worker.log; it restarts"
    )


def error_of(failed: protocol.Failed) -> InvalidInput | Unavailable:
    """Rebuild the typed error that a worker reported.

    A backend that differs is this machine's fault: nobody may say `False` of a package for it.
    """
    try:
        code = Code(failed.code)
    except ValueError:
        code = Code.INTERNAL
    kind = Unavailable if code in _UNAVAILABLE else InvalidInput
    return kind(code, failed.message, hint=failed.hint, **dict(failed.fields))

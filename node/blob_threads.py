"""Threads for what takes long with blobs, so that it holds none of the loop's own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from andon.core.errors import Code, Unavailable

BUSY_RETRY_MS = 1000

T = TypeVar("T")


class BlobThreads:
    """A few threads with a bounded queue."""

    def __init__(self, count: int, name: str, jobs_max: int) -> None:
        self._pool = ThreadPoolExecutor(count, thread_name_prefix=name)
        self._jobs_max = jobs_max
        self._jobs = 0

    def close(self) -> None:
        """Wait for the jobs at work and drop those that wait."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def do(self, job: Callable[[], T]) -> asyncio.Future[T]:
        """Run a job; one whose waiter goes away runs on. Raises Unavailable RATE_LIMITED."""
        if self._jobs >= self._jobs_max:
            raise Unavailable(
                Code.RATE_LIMITED,
                f"{self._jobs} requests for blobs wait already",
                hint="try again, or ask another node",
                retry_ms=BUSY_RETRY_MS,
            )
        self._jobs += 1
        running = self._pool.submit(job)
        loop = asyncio.get_running_loop()
        # Of the thread's job, not of who waits: a client that goes away does not free the thread.
        running.add_done_callback(lambda _: _call_soon(loop, self._ended))
        return asyncio.wrap_future(running, loop=loop)

    def _ended(self) -> None:
        self._jobs -= 1


def _call_soon(loop: asyncio.AbstractEventLoop, work: Callable[[], None]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(work)

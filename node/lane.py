"""A thread that does one job after another, for who needs an order and not a pool.

`ThreadPoolExecutor` of one thread does the same with 70 us of processor a hop in the place of 25:
two futures with a lock each, and a count of idle threads. A block takes some six hops.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import TypeVar

T = TypeVar("T")


class Lane:
    """Owns the thread. Its queue is as long as there are callers, each of which waits."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._lock = threading.Lock()
        """Held to queue and to close: nothing is queued behind the end."""
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def run(self, job: Callable[[], T]) -> asyncio.Future[T]:
        """Do a job behind those before it; gives a future of the running loop.

        A job whose future is cancelled before it began is left out.

        Raises:
            RuntimeError: the lane is closed.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def work() -> None:
            if future.cancelled():
                return
            try:
                result = job()
            except BaseException as error:  # noqa: BLE001 - whoever awaits the future gets it
                tell(_fail, future, error)
            else:
                tell(_give, future, result)

        def tell(what: Callable[..., object], *told: object) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody awaits it
                loop.call_soon_threadsafe(what, *told)

        self._put((work, lambda: tell(future.cancel)))
        return future

    def call(self, job: Callable[[], T]) -> T:
        """Do a job and wait for it, from a thread that is neither the lane's nor a loop's.

        Raises:
            RuntimeError: the lane is closed. CancelledError: it was closed meanwhile.
        """
        future: Future[T] = Future()

        def work() -> None:
            try:
                future.set_result(job())
            except BaseException as error:  # noqa: BLE001 - whoever waits gets it
                future.set_exception(error)

        self._put((work, future.cancel))
        return future.result()

    def close(self) -> None:
        """Finish the job that runs, cancel those behind it, and wait. Harmless a second time."""
        with self._lock:
            self._is_closed = True
            with contextlib.suppress(Empty):
                while True:
                    if (job := self._jobs.get_nowait()) is not None:
                        job[1]()
            self._jobs.put(None)
        if self._thread is not None:
            self._thread.join()

    def _put(self, job: _Job) -> None:
        with self._lock:
            if self._is_closed:
                raise RuntimeError(f"the lane {self._name!r} is closed")
            if self._thread is None:
                # A daemon: who forgets `close`, as a test may, is not kept alive by it.
                self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                self._thread.start()
            self._jobs.put(job)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job[0]()
            del job  # or what it gave would live until the next


_Job = tuple[Callable[[], None], Callable[[], object]]
"""What does it, and what cancels it."""


def _give(future: asyncio.Future[T], result: T) -> None:
    if not future.done():  # cancelled meanwhile
        future.set_result(result)


def _fail(future: asyncio.Future[T], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)

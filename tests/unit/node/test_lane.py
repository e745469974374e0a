"""A lane does jobs in order, gives what they gave, and ends when told."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import CancelledError

import pytest

from node.lane import Lane


class Slow:
    """A job that notes when it began and waits for the test before it is done."""

    def __init__(self) -> None:
        self.began, self.gate = threading.Event(), threading.Event()
        self.done: list[int] = []

    def job(self) -> None:
        self.began.set()
        self.gate.wait()
        self.done.append(1)


async def test_jobs_are_done_in_order_on_one_thread() -> None:
    done: list[tuple[int, int]] = []
    lane = Lane("test")
    futures = [lane.run(lambda at=at: done.append((at, threading.get_ident()))) for at in range(50)]
    await asyncio.gather(*futures)
    lane.close()
    assert [at for at, _ in done] == list(range(50))
    assert {thread for _, thread in done} != {threading.get_ident()}
    assert len({thread for _, thread in done}) == 1


async def test_what_a_job_gives_and_raises_comes_back() -> None:
    lane = Lane("test")
    assert await lane.run(lambda: 7) == 7
    with pytest.raises(ValueError, match="bad"):
        await lane.run(lambda: int("bad"))
    assert await asyncio.to_thread(lane.call, lambda: 8) == 8
    with pytest.raises(ValueError, match="bad"):
        await asyncio.to_thread(lane.call, lambda: int("bad"))
    lane.close()


async def test_a_job_that_is_cancelled_before_it_began_is_left_out() -> None:
    done: list[int] = []
    lane, gate = Lane("test"), threading.Event()
    first = lane.run(gate.wait)
    second = lane.run(lambda: done.append(2))
    second.cancel()
    gate.set()
    assert await first
    await lane.run(lambda: done.append(3))
    lane.close()
    assert done == [3]


async def test_a_job_that_is_cancelled_while_it_runs_ends_and_harms_nobody() -> None:
    lane, slow = Lane("test"), Slow()
    done = slow.done
    future = lane.run(slow.job)
    await asyncio.to_thread(slow.began.wait)
    future.cancel()
    slow.gate.set()
    await lane.run(lambda: None)
    lane.close()
    assert done == [1]
    assert future.cancelled()


async def test_closing_ends_the_running_job_cancels_the_rest_and_refuses_more() -> None:
    lane, slow = Lane("test"), Slow()
    done = slow.done
    first, second = lane.run(slow.job), lane.run(lambda: done.append(2))
    await asyncio.to_thread(slow.began.wait)
    refused: list[type[BaseException]] = []

    def call() -> None:
        try:
            lane.call(lambda: done.append(3))
        except CancelledError as error:
            refused.append(type(error))

    caller, closer = threading.Thread(target=call), threading.Thread(target=lane.close)
    caller.start()
    await asyncio.sleep(0.05)
    closer.start()
    with pytest.raises(asyncio.CancelledError):
        await second
    slow.gate.set()
    await asyncio.to_thread(closer.join)
    await asyncio.to_thread(caller.join)
    await first
    lane.close()
    assert done == [1]
    assert refused == [CancelledError]
    with pytest.raises(RuntimeError, match="closed"):
        lane.run(lambda: None)


def test_a_loop_that_ended_meanwhile_does_not_end_the_lane() -> None:
    lane, gate = Lane("test"), threading.Event()

    async def begin() -> None:
        lane.run(gate.wait)

    asyncio.run(begin())
    gate.set()
    assert lane.call(lambda: 5) == 5
    lane.close()

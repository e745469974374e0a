"""The loop that a node's process runs."""

import asyncio
import gc
from collections.abc import Iterator

import pytest
import uvloop

from node.loop import YOUNG_OBJECTS_MAX, run


@pytest.fixture(autouse=True)
def _collector() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


def test_a_node_runs_on_uvloop_with_a_collector_that_seldom_looks() -> None:
    seen: list[object] = []

    async def main() -> None:
        await asyncio.sleep(0)
        seen.extend((asyncio.get_running_loop(), gc.get_threshold()[0], gc.get_freeze_count()))

    run(main())
    loop, threshold, frozen = seen
    assert isinstance(loop, uvloop.Loop)
    assert threshold == YOUNG_OBJECTS_MAX
    assert isinstance(frozen, int)
    assert frozen > 0


def test_a_failure_of_the_main_task_comes_out() -> None:
    async def main() -> None:
        raise ValueError("for the caller")

    with pytest.raises(ValueError, match="for the caller"):
        run(main())


@pytest.mark.parametrize(
    ("error", "is_told"), [(ConnectionResetError(), False), (ValueError("a bug"), True)]
)
def test_a_handshake_that_nobody_waits_for_is_no_error_and_a_bug_is(
    caplog: pytest.LogCaptureFixture, error: Exception, *, is_told: bool
) -> None:
    async def main() -> None:
        asyncio.get_running_loop().create_future().set_exception(error)
        await asyncio.sleep(0)

    run(main())
    gc.collect()
    assert bool([record for record in caplog.records if record.exc_info]) == is_told

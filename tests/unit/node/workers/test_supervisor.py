import asyncio
import contextlib
import os
import random
import signal
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from andon.core.codec import decode
from andon.core.errors import AndonError, Code, InvalidInput, Unavailable
from andon.core.model import ModelManifest
from andon.core.worker import BROKEN, READY
from node.workers.supervisor import DIFFERING_MAX, Supervisor, WorkerSettings, _Kept

CHECKOUT = Path(__file__).resolve().parents[4]


@asynccontextmanager
async def running(home: Path, backend: str, predict_ms: int = 20_000) -> AsyncIterator[Supervisor]:
    settings = WorkerSettings(home=home, checkout=CHECKOUT, backend=backend)
    supervisor = Supervisor(settings, random.Random(1), predict_ms)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(supervisor.run())
        yield supervisor
        task.cancel()


def gone() -> bytes:
    raise InvalidInput(Code.NOT_FOUND, "the blob was removed")


def children_of(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(part) for part in text.split()]


async def test_a_killed_worker_is_started_again_and_leaves_no_process_behind(
    tmp_path: Path,
) -> None:
    async with running(tmp_path, "cpu") as supervisor:
        # An unknown model is refused by the worker itself: proof that requests get through.
        with pytest.raises(AndonError) as error:
            await supervisor.conform(b"m" * 32)
        assert error.value.code is not Code.WORKER_DOWN
        before = children_of(os.getpid())
        supervisor._models[b"x" * 32] = _Kept(gone, 1)
        os.kill(before[-1], signal.SIGKILL)
        async with asyncio.timeout(20):
            while supervisor.restarts == 0:  # noqa: ASYNC110 - polls
                await asyncio.sleep(0.02)
        with pytest.raises(AndonError) as error:
            await supervisor.conform(b"m" * 32)
        assert error.value.code is not Code.WORKER_DOWN
        # A package that cannot be read again is lost, and keeps nothing else from being served.
        assert supervisor.models_loaded == 0
        assert supervisor.restarts == 1
        after = children_of(os.getpid())
        assert len(after) == len(before)
    assert len(children_of(os.getpid())) == len(before) - 1


@pytest.mark.parametrize(("backend", "is_capped"), [("cpu", True), ("gpu", False)])
async def test_the_memory_of_a_worker_on_a_cpu_is_capped(
    tmp_path: Path, backend: str, *, is_capped: bool
) -> None:
    settings = WorkerSettings(home=tmp_path, checkout=CHECKOUT, backend=backend, memory_mib=700)
    command = Supervisor(settings, random.Random(1))._command(tmp_path / "s")
    assert ("--memory-mib" in command) == is_capped


async def test_without_a_backend_every_prediction_is_unavailable(tmp_path: Path) -> None:
    async with running(tmp_path, "none") as supervisor:
        with pytest.raises(Unavailable) as error:
            await supervisor.conform(b"m" * 32)
        assert error.value.code is Code.WORKER_DOWN
        assert supervisor.state == "none"


async def test_the_word_gpu_of_a_configuration_starts_a_worker(tmp_path: Path) -> None:
    # Without such a device it says so and stays; it does not end, which would start it for ever.
    async with running(tmp_path, "gpu") as supervisor, asyncio.timeout(60):
        while supervisor.state not in (READY, BROKEN):
            assert supervisor.restarts == 0
            await asyncio.sleep(0.02)
        assert supervisor.state == READY or "backend gpu does not start" in supervisor.detail


async def test_a_model_that_is_not_loaded_yet_is_nobodys_fault(tmp_path: Path) -> None:
    async with running(tmp_path, "none") as supervisor:
        with pytest.raises(Unavailable) as error:
            await supervisor.predict(b"m" * 32, [b"w"])
        assert error.value.code is Code.MODEL_NOT_ACTIVE


async def test_a_worker_that_hangs_is_killed_and_its_model_loaded_again(tmp_path: Path) -> None:
    blob = (CHECKOUT / "models" / "packages" / "rul-demo" / "package.blob").read_bytes()
    async with running(tmp_path, "cpu", predict_ms=3_000) as supervisor:
        loaded = await supervisor.load(blob, lambda: blob)
        window = bytes(decode(ModelManifest, loaded.manifest).input_bytes)
        before = await supervisor.predict(loaded.model_id, [window])
        release = threading.Event()

        def blocked() -> bytes:
            release.wait(120)
            return gone()

        # A larger model that takes long to load again must not keep this one waiting.
        supervisor._models = {b"x" * 32: _Kept(blocked, 10**12), **supervisor._models}
        os.kill(children_of(os.getpid())[-1], signal.SIGSTOP)
        with pytest.raises(Unavailable):
            await supervisor.predict(loaded.model_id, [window])
        async with asyncio.timeout(30):
            while supervisor.restarts == 0:  # noqa: ASYNC110 - polls
                await asyncio.sleep(0.02)
        async with asyncio.timeout(60):
            while True:  # a cold worker on a busy machine may need more than one attempt
                with contextlib.suppress(Unavailable):
                    assert await supervisor.predict(loaded.model_id, [window]) == before
                    break
        release.set()
        while supervisor.models_loaded == 2:  # noqa: ASYNC110 - polls
            await asyncio.sleep(0.02)
        await supervisor.unload(loaded.model_id)
        assert supervisor.models_loaded == 0
        with pytest.raises(InvalidInput) as unknown:  # the worker has forgotten it, too
            await supervisor.conform(loaded.model_id)
        assert unknown.value.code is Code.MODEL_NOT_ACTIVE


async def test_models_that_this_machine_computes_wrong_are_known_until_they_are_gone(
    tmp_path: Path,
) -> None:
    async with running(tmp_path, "none") as supervisor:
        error = Unavailable(Code.CONFORMANCE_FAILED, "another value", model=(b"m" * 32).hex())
        supervisor._note_difference(error)
        assert supervisor.differing == {b"m" * 32: "another value"}
        for number in range(2 * DIFFERING_MAX):
            error.fields["model"] = number.to_bytes(32, "big").hex()
            supervisor._note_difference(error)
        assert len(supervisor.differing) == DIFFERING_MAX
        await supervisor.unload(b"m" * 32)
        assert b"m" * 32 not in supervisor.differing

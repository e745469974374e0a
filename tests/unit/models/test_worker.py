"""The worker process over its socket: states, batching, bounds, typed failures, chaos fault."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from andon.core import worker as protocol
from andon.core.codec import decode
from andon.core.errors import Code, Unavailable
from andon.core.model import ModelId, ModelManifest
from models.interpreter import interpret
from models.package import Description, Package, build_package
from models.quantiser import linear_quantiser
from models.runtime import Executor, Runtime
from models.worker import Worker
from tests.unit.models.test_memory import wide

OPEN: list[socket.socket] = []


@pytest.fixture(autouse=True)
def closed_sockets() -> Iterator[None]:
    yield
    while OPEN:
        OPEN.pop().close()


class Client:
    """Blocking, one connection, enough for tests."""

    def __init__(self, path: Path) -> None:
        self.stream = socket.socket(socket.AF_UNIX)
        OPEN.append(self.stream)
        self.stream.settimeout(20)
        until = time.monotonic() + 20
        while self.stream.connect_ex(str(path)):
            assert time.monotonic() < until
            time.sleep(0.01)

    def send(self, number: int, body: object) -> None:
        self.stream.sendall(protocol.frame(protocol.Request(number, body)))  # type: ignore[arg-type] # any body

    def receive(self) -> protocol.Reply:
        length = protocol.frame_length(self._exactly(protocol.LENGTH_BYTES))
        return protocol.decode_reply(self._exactly(length))

    def ask(self, body: object, number: int = 7) -> object:
        self.send(number, body)
        reply = self.receive()
        assert reply.number == number
        return reply.body

    def is_closed(self) -> bool:
        return self.stream.recv(1) == b""

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = self.stream.recv(count - len(data))
            assert part
            data += part
        return data


class Slow(Runtime):
    """A numpy runtime whose start waits until the test lets it go."""

    def __init__(self, fails: bool = False) -> None:  # noqa: FBT001, FBT002 # a test double
        super().__init__("numpy")
        self.go = threading.Event()
        self.fails = fails
        self.batches: list[int] = []

    def warm(self) -> str:
        assert self.go.wait(20)
        if self.fails:
            raise Unavailable(Code.WORKER_DOWN, "no such device")
        return "numpy for tests"

    def predict(self, model_id: bytes, windows: object) -> list[tuple[int, ...]]:
        assert isinstance(windows, list)
        self.batches.append(len(windows))
        return super().predict(model_id, windows)


class Lying(Runtime):
    """A backend that is off by one."""

    def warm(self) -> str:
        return "wrong on purpose"

    def _executor(self, package: Package) -> Executor:
        return lambda batch: interpret(package.graph, package.weights, batch).astype(np.int32) + 1


class Heavy(Runtime):
    """Loads of "heavy" take until the test lets them go."""

    def __init__(self, backend: str) -> None:
        super().__init__(backend)
        self.is_loading, self.go = threading.Event(), threading.Event()

    def load(self, blob: bytes) -> ModelId:
        if blob == b"heavy":
            self.is_loading.set()
            assert self.go.wait(20)
        return super().load(blob)


class Cold(Runtime):
    """Has batch sizes left to compile, and notes when it is asked to."""

    def __init__(self) -> None:
        super().__init__("numpy")
        self.sizes, self.warmed = [8, 16], list[int]()
        self.is_warm = threading.Event()

    def begin_warming(self, model_id: bytes) -> bool:
        return True

    def warm_next(self, model_id: bytes) -> bool:
        self.warmed.append(self.sizes.pop(0))
        if not self.sizes:
            self.is_warm.set()
        return bool(self.sizes)


class Failing(Runtime):
    """Meets what no code foresaw."""

    def __init__(self, error: Exception) -> None:
        super().__init__("numpy")
        self.error, self.fails = error, False

    def load(self, blob: bytes) -> ModelId:
        if self.fails:
            raise self.error
        return super().load(blob)

    def predict(self, model_id: bytes, windows: object) -> list[tuple[int, ...]]:
        raise self.error


def hungry_package() -> Package:
    """Its windows are checked nine at a time, and those take some 260 MB."""
    graph, tensors = wide(16)
    about = Description(name="hungry", version="1", task="rul", scale_num=1, scale_den=8)
    samples = np.zeros((1, *graph.input_shape), np.int8)
    quantiser = linear_quantiser(("x",), np.zeros(1), np.ones(1))
    return build_package(about, graph, tensors, quantiser, samples)


class Running:
    """A worker in a thread of this process."""

    def __init__(self, folder: Path, runtime: Runtime, fault: str = "none") -> None:
        self.path = folder / "w.sock"
        self.worker = Worker(self.path, runtime, fault)
        self.thread = threading.Thread(target=self.worker.serve)
        self.thread.start()

    def stop(self) -> None:
        self.worker.stop()
        self.thread.join(20)
        assert not self.thread.is_alive()


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[tuple[Running, Slow]]:
    runtime = Slow()
    running = Running(tmp_path, runtime)
    yield running, runtime
    runtime.go.set()
    running.stop()


@pytest.fixture
def ready(slow: tuple[Running, Slow], tiny: Package) -> tuple[Client, Running, Slow]:
    running, runtime = slow
    runtime.go.set()
    client = Client(running.path)
    assert isinstance(client.ask(protocol.Load(tiny.to_blob())), protocol.Loaded)
    return client, running, runtime


def window(value: int) -> bytes:
    return np.full(6, value, np.int8).tobytes()


def test_batch_sizes_are_compiled_once_a_batch_comes_and_not_for_every_model_loaded(
    tmp_path: Path, tiny: Package
) -> None:
    runtime = Cold()
    running = Running(tmp_path, runtime)
    try:
        client = Client(running.path)
        assert isinstance(client.ask(protocol.Load(tiny.to_blob())), protocol.Loaded)
        alone = client.ask(protocol.Predict(tiny.id, (window(1),)))
        # What is slow is done in order: if the load had left something, it would come before this.
        assert isinstance(client.ask(protocol.Conform(tiny.id)), protocol.Done)
        assert runtime.warmed == []
        both = client.ask(protocol.Predict(tiny.id, (window(1), window(2))))
        assert runtime.is_warm.wait(20)
        assert runtime.warmed == [8, 16]
        client.ask(protocol.Predict(tiny.id, (window(1), window(2))))
        assert isinstance(client.ask(protocol.Conform(tiny.id)), protocol.Done)
        assert runtime.warmed == [8, 16]
        assert isinstance(alone, protocol.Outputs)
        assert isinstance(both, protocol.Outputs)
    finally:
        running.stop()


def test_it_answers_pings_while_warming_and_holds_work_until_ready(
    slow: tuple[Running, Slow], tiny: Package
) -> None:
    running, runtime = slow
    client = Client(running.path)
    client.send(1, protocol.Load(tiny.to_blob()))
    client.send(2, protocol.Predict(bytes(32), (window(1),)))
    assert client.ask(protocol.Ping(), 3) == protocol.Pong(protocol.WARMING, "numpy")
    runtime.go.set()
    loaded, _ = sorted((client.receive(), client.receive()), key=lambda reply: reply.number)
    assert isinstance(loaded.body, protocol.Loaded)
    assert decode(ModelManifest, loaded.body.manifest) == tiny.manifest
    assert client.ask(protocol.Ping()) == protocol.Pong(protocol.READY, "numpy for tests")


def test_predictions_of_one_model_that_wait_together_run_as_one_batch(
    slow: tuple[Running, Slow], tiny: Package
) -> None:
    running, runtime = slow
    clients = [Client(running.path) for _ in range(3)]
    runtime.load(tiny.to_blob())
    for client in clients:
        # The answered ping shows that what was sent before it is queued.
        for number in (2, 3):
            client.send(number, protocol.Predict(tiny.id, (window(number * 40 - 120), window(90))))
        assert client.ask(protocol.Ping(), 4)
    runtime.go.set()
    for client in clients:
        first, second = client.receive(), client.receive()
        assert isinstance(first.body, protocol.Outputs)
        assert isinstance(second.body, protocol.Outputs)
        assert first.body.outputs[1] == second.body.outputs[1]
        assert first.body.outputs[0] != second.body.outputs[0]
    assert runtime.batches == [12]


def test_predictions_go_on_while_another_model_loads(tmp_path: Path, tiny: Package) -> None:
    runtime = Heavy("numpy")
    runtime.load(tiny.to_blob())
    running = Running(tmp_path, runtime)
    try:
        loading, client = Client(running.path), Client(running.path)
        loading.send(1, protocol.Load(b"heavy"))
        assert runtime.is_loading.wait(20)
        assert isinstance(client.ask(protocol.Predict(tiny.id, (window(3),))), protocol.Outputs)
        assert isinstance(client.ask(protocol.Ping()), protocol.Pong)
        runtime.go.set()
        assert isinstance(loading.receive().body, protocol.Failed)
    finally:
        runtime.go.set()
        running.stop()


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("RESOURCE_EXHAUSTED")])
def test_what_goes_wrong_in_one_job_is_its_answer_and_not_the_end(
    tmp_path: Path, tiny: Package, error: Exception, capfd: pytest.CaptureFixture[str]
) -> None:
    runtime = Failing(error)
    running = Running(tmp_path, runtime)
    try:
        client = Client(running.path)
        for body in (protocol.Load(b"x"), protocol.Predict(tiny.id, (window(1),))):
            runtime.fails = False
            assert isinstance(client.ask(protocol.Load(tiny.to_blob())), protocol.Loaded)
            runtime.fails = True
            failed = client.ask(body)
            assert isinstance(failed, protocol.Failed)
            assert failed.code == Code.INTERNAL.value
            assert "worker_memory_mib" in failed.hint
            assert type(error).__name__ in capfd.readouterr().err
    finally:
        running.stop()


def test_a_package_that_needs_more_memory_than_allowed_fails_alone(
    tmp_path: Path, tiny: Package
) -> None:
    path = tmp_path / "w.sock"
    command = [sys.executable, "-m", "models.worker", "--socket", str(path), "--with-parent"]
    command += ["--backend", "numpy", "--memory-mib", "160"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            client = Client(path)
            failed = client.ask(protocol.Load(hungry_package().to_blob()))
            assert isinstance(failed, protocol.Failed)
            assert failed.code == Code.INTERNAL.value
            assert isinstance(client.ask(protocol.Load(tiny.to_blob())), protocol.Loaded)
        finally:
            process.terminate()


def test_one_bad_request_does_not_fail_its_neighbours(
    ready: tuple[Client, Running, Slow], tiny: Package
) -> None:
    client, _, _ = ready
    bodies = (
        protocol.Predict(tiny.id, (window(3),)),
        protocol.Predict(tiny.id, (b"short",)),
        protocol.Predict(bytes(32), (window(3),)),
    )
    for number, body in enumerate(bodies, 1):
        client.send(number, body)
    answers = {reply.number: reply.body for reply in (client.receive() for _ in bodies)}
    assert isinstance(answers[1], protocol.Outputs)
    assert isinstance(answers[2], protocol.Failed)
    assert isinstance(answers[3], protocol.Failed)
    assert answers[2].code == Code.BAD_MODEL_INPUT.value
    assert answers[3].code == Code.MODEL_NOT_ACTIVE.value


def test_a_bad_package_is_a_typed_failure(ready: tuple[Client, Running, Slow]) -> None:
    failed = ready[0].ask(protocol.Load(b"nonsense"))
    assert isinstance(failed, protocol.Failed)
    assert failed.code == Code.BAD_MODEL_PACKAGE.value


def test_more_windows_than_the_bound_are_refused(
    ready: tuple[Client, Running, Slow], tiny: Package
) -> None:
    body = protocol.Predict(tiny.id, (window(1),) * (protocol.WINDOWS_MAX + 1))
    failed = ready[0].ask(body)
    assert isinstance(failed, protocol.Failed)
    assert failed.code == Code.TOO_MANY.value


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\xff\xff\xff\xff", Code.TOO_LARGE),
        (b"\x00\x00\x00\x00", Code.MALFORMED),
        (b"\x00\x00\x00\x02\xc1\xc1", Code.MALFORMED),
        (b"\x00\x00\x00\x06\x92\xcc\x01\x91\xa4p", Code.MALFORMED),
    ],
)
def test_bytes_that_are_no_request_end_that_connection_only(
    ready: tuple[Client, Running, Slow], data: bytes, code: Code
) -> None:
    client, running, _ = ready
    hostile = Client(running.path)
    hostile.stream.sendall(data)
    reply = hostile.receive()
    assert reply.number == 0
    assert isinstance(reply.body, protocol.Failed)
    assert reply.body.code == code.value
    assert hostile.is_closed()
    assert isinstance(client.ask(protocol.Ping()), protocol.Pong)


def test_a_client_that_vanishes_leaves_the_others_served(
    ready: tuple[Client, Running, Slow], tiny: Package
) -> None:
    client, running, _ = ready
    gone = Client(running.path)
    gone.send(1, protocol.Predict(tiny.id, (window(1),) * 200))
    gone.stream.close()
    assert isinstance(client.ask(protocol.Predict(tiny.id, (window(2),))), protocol.Outputs)


def test_counters_conformance_and_unload(
    ready: tuple[Client, Running, Slow], tiny: Package
) -> None:
    client = ready[0]
    client.ask(protocol.Predict(tiny.id, (window(1), window(2))))
    counters = client.ask(protocol.Stats())
    assert isinstance(counters, protocol.Counters)
    found = dict(zip(counters.names, counters.values, strict=True))
    assert found["predictions"] == 2
    assert found["loads"] == 1
    assert client.ask(protocol.Conform(tiny.id)) == protocol.Done()
    assert client.ask(protocol.Unload(tiny.id)) == protocol.Done()
    assert isinstance(client.ask(protocol.Conform(tiny.id)), protocol.Failed)


def test_a_backend_that_does_not_start_leaves_a_worker_that_says_so(
    tmp_path: Path, tiny: Package
) -> None:
    runtime = Slow(fails=True)
    runtime.go.set()
    running = Running(tmp_path, runtime)
    try:
        client = Client(running.path)
        failed = client.ask(protocol.Load(tiny.to_blob()))
        assert isinstance(failed, protocol.Failed)
        assert failed.code == Code.WORKER_DOWN.value
        assert client.ask(protocol.Ping()) == protocol.Pong(protocol.BROKEN, "no such device")
    finally:
        running.stop()


def test_a_worker_whose_backend_computes_something_else_serves_no_prediction(
    tmp_path: Path, tiny: Package
) -> None:
    running = Running(tmp_path, Lying())
    try:
        client = Client(running.path)
        refused = client.ask(protocol.Load(tiny.to_blob()))
        assert isinstance(refused, protocol.Failed)
        assert refused.code == Code.CONFORMANCE_FAILED.value
        asked = client.ask(protocol.Predict(tiny.id, (window(5),)))
        assert isinstance(asked, protocol.Failed)
        assert asked.code == Code.MODEL_NOT_ACTIVE.value
    finally:
        running.stop()


def test_a_stop_that_comes_after_the_end_is_no_error(slow: tuple[Running, Slow]) -> None:
    # So does one whose flag the loop saw before it was woken: both find the sockets closed.
    running, runtime = slow
    runtime.go.set()
    running.stop()
    running.worker.stop()


def test_a_worker_that_is_stopped_while_it_warms_up_ends_cleanly(tmp_path: Path) -> None:
    runtime = Slow()
    running = Running(tmp_path, runtime)
    Client(running.path)
    running.stop()
    runtime.go.set()
    warm = [thread for thread in threading.enumerate() if thread.name == "warm"]
    for thread in warm:
        thread.join(20)
    assert not any(thread.is_alive() for thread in warm)
    assert not running.path.exists()


def test_the_chaos_fault_changes_the_first_element_only(tmp_path: Path, tiny: Package) -> None:
    plain = Runtime("numpy")
    plain.load(tiny.to_blob())
    expected = plain.predict(tiny.id, [window(5)])[0]
    runtime = Slow()
    runtime.go.set()
    running = Running(tmp_path, runtime, fault="wrong-output")
    try:
        client = Client(running.path)
        client.ask(protocol.Load(tiny.to_blob()))
        outputs = client.ask(protocol.Predict(tiny.id, (window(5),)))
    finally:
        running.stop()
    assert isinstance(outputs, protocol.Outputs)
    assert outputs.outputs[0][0] == expected[0] ^ 1
    assert outputs.outputs[0][1:] == expected[1:]


def test_the_real_process_serves_on_xla_and_ends_on_a_signal(tmp_path: Path, tiny: Package) -> None:
    path = tmp_path / "w.sock"
    command = [sys.executable, "-m", "models.worker", "--socket", str(path), "--with-parent"]
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": "."}) as process:
        try:
            client = Client(path)
            assert isinstance(client.ask(protocol.Load(tiny.to_blob())), protocol.Loaded)
            outputs = client.ask(protocol.Predict(tiny.id, tiny.golden.windows))
            assert outputs == protocol.Outputs(tiny.golden.outputs)
            assert oct(path.stat().st_mode)[-3:] == "600"
        finally:
            process.terminate()
        assert process.wait(20) == 0
    assert not path.exists()

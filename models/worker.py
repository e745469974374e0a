"""The prediction worker: `python -m models.worker --socket PATH [--backend cpu]`.

One process a validator, so that XLA never runs in the node's event loop. It serves the records of
`andon.core.worker` on a Unix domain socket in one plain loop; predictions that wait at the same
time are evaluated as one batch a model. Loads and checks of models take seconds and have a thread
of their own, one after another, so that predictions go on. It listens before it imports JAX and
answers pings meanwhile. It keeps no state on disk: after a restart the node loads the models again.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import selectors
import signal
import socket
import sys
import threading
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue

from andon.core import worker as protocol
from andon.core.errors import AndonError, InvalidInput
from models.environment import BACKENDS, cap_memory
from models.runtime import Runtime
from models.worker_jobs import FAULTS, Answer, Jobs, Order

CONNECTIONS_MAX = 64
READ_BYTES = 1 << 20
PARENT_CHECK_S = 2.0
OUTPUT_BYTES_MAX = 256 * 1024 * 1024
LOAD_NICE = 3
"""Predictions, which votes wait for, come before loads where processors are few."""


@dataclass(slots=True, eq=False)
class _Connection:
    stream: socket.socket
    received: bytearray = field(default_factory=bytearray)
    sending: bytearray = field(default_factory=bytearray)
    outstanding: int = 0
    is_closing: bool = False


@dataclass(frozen=True, slots=True)
class _Job:
    connection: _Connection
    number: int
    body: Order | protocol.Predict


class Worker:
    """The loop: read what is there, do one thing, answer, repeat."""

    def __init__(
        self, path: Path, runtime: Runtime, fault: str = "none", parent: int | None = None
    ) -> None:
        self._path = path
        self._parent = parent
        self._runtime = runtime
        self._jobs = Jobs(runtime, fault)
        self._state = protocol.WARMING
        self._detail = runtime.backend
        self._waiting: deque[_Job] = deque()
        self._slow: SimpleQueue[_Job | bytes | None] = SimpleQueue()
        self._cold: set[bytes] = set()
        """Models whose batch sizes are compiled once a batch comes; at most those loaded."""
        self._done: deque[tuple[_Job, Answer]] = deque()
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.settimeout(0)
        self._wake_write.settimeout(0)
        self._connections: set[_Connection] = set()
        self._stopping = False

    def serve(self) -> None:
        """Listen and serve until `stop`; removes the socket file at the end."""
        self._path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(str(self._path))
            # Whoever can connect can load models and learn inputs: the owner only.
            self._path.chmod(0o600)
            listener.listen(CONNECTIONS_MAX)
            listener.settimeout(0)
            self._selector.register(listener, selectors.EVENT_READ, None)
            self._selector.register(self._wake_read, selectors.EVENT_READ, None)
            threading.Thread(target=self._warm, name="warm", daemon=True).start()
            threading.Thread(target=self._do_slow, name="slow", daemon=True).start()
            try:
                while not self._stopping:
                    self._turn(listener)
            finally:
                for connection in list(self._connections):
                    self._close(connection)
                self._slow.put(None)
                self._selector.close()
                self._wake_read.close()
                self._wake_write.close()
                self._path.unlink(missing_ok=True)

    def stop(self) -> None:
        """End `serve` after the current job; safe in a signal handler and from other threads."""
        self._stopping = True
        self._wake(b"s")

    def _wake(self, reason: bytes) -> None:
        # The loop may have ended, by itself or on the flag just set, and closed the socket; or
        # so many waking bytes wait already that one more is not needed.
        with contextlib.suppress(OSError):
            self._wake_write.send(reason)

    def _warm(self) -> None:
        try:
            self._detail = self._runtime.warm()
            self._state = protocol.READY
        except AndonError as error:
            self._break(error.message)
        except ImportError as error:
            self._break(f"{error}")
        self._wake(b"w")

    def _break(self, reason: str) -> None:
        self._jobs.broken = self._detail = reason
        self._state = protocol.BROKEN

    def _do_slow(self) -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOAD_NICE)
        while (job := self._slow.get()) is not None:
            if isinstance(job, bytes):
                # One batch size a turn: a load that waits goes first.
                if self._jobs.warm_next(job):
                    self._slow.put(job)
                continue
            assert not isinstance(job.body, protocol.Predict)
            answer = self._jobs.perform(job.body)
            if isinstance(answer, protocol.Loaded) and self._jobs.begin_warming(answer.model_id):
                self._cold.add(answer.model_id)
            self._done.append((job, answer))
            self._wake(b"l")

    def _turn(self, listener: socket.socket) -> None:
        runnable = bool(self._waiting) and self._state != protocol.WARMING
        for key, events in self._selector.select(0 if runnable else PARENT_CHECK_S):
            if key.fileobj is listener:
                self._accept(listener)
            elif key.fileobj is self._wake_read:
                self._wake_read.recv(64)
            else:
                self._exchange(key.data, events)
        while self._done:
            self._finish(*self._done.popleft())
        if self._waiting and self._state != protocol.WARMING:
            self._work()
        if self._parent is not None and os.getppid() != self._parent:
            self._stopping = True

    def _accept(self, listener: socket.socket) -> None:
        stream, _ = listener.accept()
        if len(self._connections) >= CONNECTIONS_MAX:
            stream.close()
            return
        stream.settimeout(0)
        connection = _Connection(stream)
        self._connections.add(connection)
        self._selector.register(stream, selectors.EVENT_READ, connection)

    def _exchange(self, connection: _Connection, events: int) -> None:
        try:
            if events & selectors.EVENT_READ:
                data = connection.stream.recv(READ_BYTES)
                if not data:
                    self._close(connection)
                    return
                connection.received += data
                self._parse(connection)
            self._flush(connection)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._close(connection)

    def _parse(self, connection: _Connection) -> None:
        prefix = protocol.LENGTH_BYTES
        try:
            while (
                len(connection.received) >= prefix
                and connection.outstanding < protocol.REQUESTS_IN_FLIGHT_MAX
                and not connection.is_closing
            ):
                length = protocol.frame_length(bytes(connection.received[:prefix]))
                if len(connection.received) < prefix + length:
                    return
                data = bytes(connection.received[prefix : prefix + length])
                del connection.received[: prefix + length]
                self._accept_request(connection, protocol.decode_request(data))
        except InvalidInput as error:
            self._jobs.counters["errors"] += 1
            self._answer(connection, 0, protocol.failed(error))
            connection.is_closing = True

    def _accept_request(self, connection: _Connection, request: protocol.Request) -> None:
        self._jobs.counters["requests"] += 1
        body = request.body
        if isinstance(body, protocol.Ping):
            self._answer(connection, request.number, protocol.Pong(self._state, self._detail))
        elif isinstance(body, protocol.Stats):
            names = tuple(sorted(self._jobs.counters))
            values = tuple(self._jobs.counters[name] for name in names)
            self._answer(connection, request.number, protocol.Counters(names, values))
        else:
            connection.outstanding += 1
            self._waiting.append(_Job(connection, request.number, body))

    def _work(self) -> None:
        """Do the oldest job, and with it every waiting prediction of the same model."""
        job = self._waiting.popleft()
        if isinstance(job.body, protocol.Unload):
            self._finish(job, self._jobs.perform(job.body))
            self._cold.discard(job.body.model_id)
            return
        if not isinstance(job.body, protocol.Predict):
            self._slow.put(job)
            return
        batch, rest, windows = [job], deque[_Job](), len(job.body.windows)
        windows_max = self._jobs.windows_max(job.body.model_id)
        while self._waiting:
            other = self._waiting.popleft()
            same = isinstance(other.body, protocol.Predict) and (
                other.body.model_id == job.body.model_id
            )
            size = len(other.body.windows) if isinstance(other.body, protocol.Predict) else 0
            if same and windows + size <= windows_max:
                batch.append(other)
                windows += size
            else:
                rest.append(other)
        self._waiting = rest
        answers = self._jobs.predict(job.body.model_id, _predictions(batch))
        for one, answer in zip(batch, answers, strict=True):
            self._finish(one, answer)
        if windows > 1 and job.body.model_id in self._cold:
            # Not when it was loaded: a model costs 0.7 s of processor, and there may be hundreds.
            self._cold.discard(job.body.model_id)
            self._slow.put(job.body.model_id)

    def _finish(self, job: _Job, body: Answer) -> None:
        connection = job.connection
        connection.outstanding -= 1
        if connection in self._connections:
            self._answer(connection, job.number, body)
            self._parse(connection)
            self._flush(connection)

    def _answer(
        self,
        connection: _Connection,
        number: int,
        body: Answer | protocol.Pong | protocol.Counters,
    ) -> None:
        connection.sending += protocol.frame(protocol.Reply(number, body))
        if len(connection.sending) > OUTPUT_BYTES_MAX:
            connection.is_closing = True

    def _flush(self, connection: _Connection) -> None:
        try:
            while connection.sending:
                sent = connection.stream.send(connection.sending)
                del connection.sending[:sent]
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self._close(connection)
            return
        if connection.is_closing and not connection.sending:
            self._close(connection)
            return
        # Stop reading a client that does not read its answers or has enough outstanding.
        full = connection.outstanding >= protocol.REQUESTS_IN_FLIGHT_MAX or connection.is_closing
        events = 0 if full else selectors.EVENT_READ
        events |= selectors.EVENT_WRITE if connection.sending else 0
        self._watch(connection, events)

    def _watch(self, connection: _Connection, events: int) -> None:
        registered = connection.stream in self._selector.get_map()
        if events and registered:
            self._selector.modify(connection.stream, events, connection)
        elif events:
            self._selector.register(connection.stream, events, connection)
        elif registered:
            self._selector.unregister(connection.stream)

    def _close(self, connection: _Connection) -> None:
        if connection not in self._connections:
            return
        self._connections.discard(connection)
        self._watch(connection, 0)
        connection.stream.close()
        self._waiting = deque(job for job in self._waiting if job.connection is not connection)


def _predictions(jobs: list[_Job]) -> list[protocol.Predict]:
    return [job.body for job in jobs if isinstance(job.body, protocol.Predict)]


def main(arguments: list[str] | None = None) -> int:
    """Run one worker until SIGTERM, SIGINT or, if asked, the end of its parent process."""
    parser = argparse.ArgumentParser(prog="models.worker", description=__doc__)
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--backend", choices=BACKENDS, default="cpu")
    parser.add_argument("--fault", choices=FAULTS, default="none", help="a tool for chaos tests")
    parser.add_argument("--with-parent", action="store_true", help="end when the parent ends")
    parser.add_argument(
        "--memory-mib", type=int, default=0, help="refuse to take more memory; 0 for no cap"
    )
    options = parser.parse_args(arguments)
    if options.memory_mib:
        cap_memory(options.memory_mib)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    parent = os.getppid() if options.with_parent else None
    worker = Worker(options.socket, Runtime(options.backend), options.fault, parent)
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: worker.stop())
    worker.serve()
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # A thread may load or compile a model: XLA aborts if the interpreter ends beneath it. There is
    # nothing to save.
    os._exit(code)

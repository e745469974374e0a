"""Keep one prediction worker alive and predict through it.

Starts `python -m models.worker`, connects, loads every model that the node wants, and only then
lets predictions through; after a crash it does all of this again with growing delays. Without a
worker (backend `none`) every prediction is Unavailable: the node runs but cannot vote for blocks
that hold predictions.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import structlog

from andon.core import worker as protocol
from andon.core.codec import decode
from andon.core.errors import AndonError, Code, InvalidInput, Unavailable
from andon.core.model import ModelManifest
from node.allocator import ENVIRONMENT
from node.config import NO_BACKEND, Config
from node.net.limits import Backoff
from node.workers.client import WorkerClient, connect, worker_down

PREDICT_MS = 20_000
"""A worker that says nothing for longer hangs: it is killed and started anew."""
LOAD_MS = 300_000
"""Far above what checking a package may cost (`models.package.CHECK_MULTIPLY_ADDS_MAX`)."""
PING_MS = 60_000  # a compilation delays the pong
PING_EVERY_S = 5.0
CONNECT_S = 20.0
CONNECT_POLL_S = 0.02
STOP_S = 2.0
MODELS_MAX = 256
DIFFERING_MAX = 256
WINDOWS_PER_REQUEST = 1024
_SOCKET_PATH_MAX = 100  # sockaddr_un holds 108 bytes

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """How to start the worker. `fault` is a chaos tool; `checkout` holds the models package."""

    home: Path
    checkout: Path
    backend: str
    fault: str = "none"
    memory_mib: int = 0
    """What a worker on a CPU may take; 0 for no cap."""


def worker_settings(home: Path, checkout: Path, config: Config) -> WorkerSettings:
    """The settings of a node's worker."""
    return WorkerSettings(
        home=home,
        checkout=checkout,
        backend=config.worker_backend,
        fault=config.worker_fault,
        memory_mib=config.worker_memory_mib,
    )


@dataclass(slots=True)
class _Kept:
    """A model that a new worker is to load; `reread` gives its package again."""

    reread: Callable[[], bytes]
    multiply_adds: int
    is_loaded: asyncio.Event = field(default_factory=asyncio.Event)


class Supervisor:
    """The node's predictor."""

    def __init__(
        self, settings: WorkerSettings, jitter: random.Random, predict_ms: int = PREDICT_MS
    ) -> None:
        self._settings = settings
        self._predict_ms = predict_ms
        self._jitter = jitter
        self._client: WorkerClient | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._ready = asyncio.Event()
        self._loading = asyncio.Lock()
        """Loads go one after another in the worker; none is to wait there on its own time."""
        self._models: dict[bytes, _Kept] = {}
        self.state = "none" if settings.backend == NO_BACKEND else "starting"
        self.detail = ""
        self.restarts = 0
        self.differing: dict[bytes, str] = {}
        """Models that this machine computed wrong, and where."""

    @property
    def models_loaded(self) -> int:
        """Number of models that are loaded, or will be after a restart."""
        return len(self._models)

    async def run(self) -> None:
        """Keep a worker running until cancelled."""
        if self._settings.backend == NO_BACKEND:
            return
        backoff = Backoff(first_s=0.2, max_s=10.0)
        with tempfile.TemporaryDirectory(prefix="andon-") as folder:
            path = self._settings.home / "worker.sock"
            if len(os.fsencode(path)) > _SOCKET_PATH_MAX:
                path = Path(folder) / "worker.sock"
            while True:
                try:
                    await self._run_once(path, backoff)
                except (OSError, AndonError, TimeoutError) as error:
                    self.detail = str(error)[:300]
                self._ready.clear()
                self._client = None
                for kept in self._models.values():
                    kept.is_loaded.clear()
                self.state = "down"
                self.restarts += 1
                log.error("worker.ended", detail=self.detail, restarts=self.restarts)
                await asyncio.sleep(backoff.next_s(self._jitter.random()))

    async def _run_once(self, path: Path, backoff: Backoff) -> None:
        with _open_log(self._settings.home) as output:
            process = await asyncio.create_subprocess_exec(
                *self._command(path),
                cwd=self._settings.checkout,
                env=ENVIRONMENT | os.environ,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self.state = "starting"
        self._process = process
        try:
            async with asyncio.timeout(CONNECT_S):
                client = await _connect_when_up(path, process)
            async with asyncio.TaskGroup() as group:
                reading = group.create_task(client.run())
                tending = group.create_task(self._tend(client, backoff))
                await asyncio.wait((reading, tending), return_when=asyncio.FIRST_COMPLETED)
                reading.cancel()
                tending.cancel()
        finally:
            await _stop(process)
        self.detail = f"exit status {process.returncode}"

    def _command(self, path: Path) -> Sequence[str]:
        settings = self._settings
        command = [sys.executable, "-m", "models.worker", "--socket", str(path)]
        command += ["--backend", settings.backend, "--with-parent"]
        if settings.memory_mib and settings.backend == "cpu":
            # The driver of an accelerator maps more than any cap would allow.
            command += ["--memory-mib", str(settings.memory_mib)]
        return [*command, "--fault", settings.fault] if settings.fault != "none" else command

    async def _tend(self, client: WorkerClient, backoff: Backoff) -> None:
        """Open the door, load the models, ping; returns when the worker does not answer."""
        try:
            await self._ping(client)
            self._client = client
            self._ready.set()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._load_again(client))
                group.create_task(self._keep_pinging(client, backoff))
        except* (Unavailable, InvalidInput) as errors:
            self.detail = str(errors.exceptions[0])[:300]

    async def _keep_pinging(self, client: WorkerClient, backoff: Backoff) -> None:
        backoff.reset()
        while True:
            await self._ping(client)
            await asyncio.sleep(PING_EVERY_S if self.state == protocol.READY else 0.25)

    async def _load_again(self, client: WorkerClient) -> None:
        """Load all models into a new worker, small ones first: none must wait for a larger one.

        One that does not load is forgotten; whoever wants it loads it again.
        """
        for model_id, kept in sorted(self._models.items(), key=lambda item: item[1].multiply_adds):
            try:
                blob = await asyncio.to_thread(kept.reread)
                async with self._loading:
                    await client.ask(protocol.Load(blob=blob), LOAD_MS)
                kept.is_loaded.set()
            except AndonError as error:
                self._models.pop(model_id, None)
                log.error("model.lost", model=model_id.hex(), reason=str(error)[:300])  # noqa: TRY400 - no trace: a state of this machine
                if error.code is Code.WORKER_DOWN:
                    raise

    async def _ping(self, client: WorkerClient) -> None:
        pong = await client.ask(protocol.Ping(), PING_MS)
        if isinstance(pong, protocol.Pong):
            if pong.state != self.state:
                log.info("worker.state", state=pong.state, detail=pong.detail)
            self.state, self.detail = pong.state, pong.detail

    async def _ask(
        self,
        question: protocol.Load | protocol.Predict | protocol.Conform | protocol.Explain,
        timeout_ms: int,
    ) -> object:
        if self._settings.backend == NO_BACKEND:
            raise worker_down()
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                await self._ready.wait()
        except TimeoutError:
            raise worker_down() from None
        if self._client is None:
            raise worker_down()
        try:
            return await self._client.ask(question, timeout_ms)
        except Unavailable as error:
            if error.code is Code.CONFORMANCE_FAILED:
                self._note_difference(error)
            raise

    def _note_difference(self, error: Unavailable) -> None:
        identity = bytes.fromhex(str(error.fields.get("model", "")))
        if identity not in self.differing:
            log.error("model.differs", model=identity.hex(), reason=error.message[:300])
        if len(self.differing) < DIFFERING_MAX:
            self.differing[identity] = error.message

    async def load(self, blob: bytes, reread: Callable[[], bytes]) -> protocol.Loaded:
        """Check a package blob, compile it and run its vectors.

        `reread` (blocking) gives the blob again when a worker is started anew.

        Raises:
            InvalidInput: BAD_MODEL_PACKAGE, NOT_CERTIFIED, DIGEST_MISMATCH.
            Unavailable: WORKER_DOWN, CONFORMANCE_FAILED, TOO_MANY beyond MODELS_MAX.
        """
        if len(self._models) >= MODELS_MAX:
            raise Unavailable(
                Code.TOO_MANY, f"{MODELS_MAX} models are loaded already", hint="retire some"
            )
        try:
            async with self._loading:
                loaded = await self._ask(protocol.Load(blob=blob), LOAD_MS)
        except Unavailable as error:
            # What does not end keeps every other model out.
            self._end_if_hung(error, silent_ms=0)
            raise
        if not isinstance(loaded, protocol.Loaded):
            raise worker_down()
        work = decode(ModelManifest, loaded.manifest).multiply_adds
        self._models[loaded.model_id] = kept = _Kept(reread, work)
        kept.is_loaded.set()
        self.differing.pop(loaded.model_id, None)
        return loaded

    async def unload(self, model_id: bytes) -> None:
        """Forget a model, here and in the worker."""
        self._models.pop(model_id, None)
        self.differing.pop(model_id, None)
        if self._client is not None:
            with contextlib.suppress(Unavailable):  # a worker that is down has forgotten it
                await self._client.ask(protocol.Unload(model_id=model_id), PING_MS)

    async def conform(self, model_id: bytes) -> None:
        """Run a model's conformance vectors again.

        Raises:
            Unavailable: CONFORMANCE_FAILED with model, input and element.
        """
        await self._ask(protocol.Conform(model_id=model_id), LOAD_MS)

    async def explain(
        self, model_id: bytes, window: bytes, committed: tuple[int, ...]
    ) -> protocol.Explained:
        """Say where a committed output parts from what the model means.

        Raises:
            Unavailable: WORKER_DOWN. InvalidInput: MODEL_NOT_ACTIVE, BAD_MODEL_INPUT.
        """
        question = protocol.Explain(model_id=model_id, window=window, committed=committed)
        answer = await self._ask(question, LOAD_MS)
        if not isinstance(answer, protocol.Explained):
            raise worker_down()
        return answer

    def has_model(self, model_id: bytes) -> bool:
        """Tell whether a model is loaded (or will be after a restart)."""
        return model_id in self._models

    async def predict(self, model_id: bytes, windows: list[bytes]) -> list[tuple[int, ...]]:
        """Evaluate windows in batches, in order.

        Raises:
            InvalidInput: BAD_MODEL_INPUT. Unavailable: WORKER_DOWN, MODEL_NOT_ACTIVE.
        """
        kept = self._models.get(model_id)
        if kept is None:
            raise _not_loaded(model_id)
        await self._until_loaded(model_id, kept)
        outputs: list[tuple[int, ...]] = []
        size = protocol.windows_max(kept.multiply_adds, WINDOWS_PER_REQUEST)
        for start in range(0, len(windows), size):
            piece = tuple(windows[start : start + size])
            question = protocol.Predict(model_id=model_id, windows=piece)
            try:
                answer = await self._ask(question, self._predict_ms)
            except Unavailable as error:
                self._end_if_hung(error, self._predict_ms)
                raise
            if not isinstance(answer, protocol.Outputs) or len(answer.outputs) != len(piece):
                raise Unavailable(Code.WORKER_DOWN, "the worker answered something else")
            outputs.extend(answer.outputs)
        return outputs

    async def _until_loaded(self, model_id: bytes, kept: _Kept) -> None:
        try:
            async with asyncio.timeout(self._predict_ms / 1000):
                await kept.is_loaded.wait()
        except TimeoutError:
            raise _not_loaded(model_id) from None

    def _end_if_hung(self, error: Unavailable, silent_ms: int) -> None:
        """Kill a worker that did not answer in time and says nothing else; `run` starts another.

        One that answers others meanwhile is busy: another would only have to do the same again.
        """
        process, client = self._process, self._client
        if "timed_out" not in error.fields or process is None or client is None:
            return
        silent_s = asyncio.get_running_loop().time() - client.heard_s
        if process.returncode is None and silent_s * 1000 >= silent_ms:
            log.error("worker.hung", silent_s=round(silent_s, 1))
            with contextlib.suppress(ProcessLookupError):
                process.kill()


def _not_loaded(model_id: bytes) -> Unavailable:
    # Not the asker's fault: the registry has it, this node has not fetched or loaded it yet.
    return Unavailable(Code.MODEL_NOT_ACTIVE, f"model {model_id.hex()[:16]} is not loaded here yet")


def _open_log(home: Path) -> BinaryIO:
    path = home / "logs" / "worker.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("ab")


async def _connect_when_up(path: Path, process: asyncio.subprocess.Process) -> WorkerClient:
    while True:
        if process.returncode is not None:
            raise Unavailable(
                Code.WORKER_DOWN,
                f"the worker ended with status {process.returncode}",
                hint="see logs/worker.log",
            )
        try:
            return await connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            await asyncio.sleep(CONNECT_POLL_S)


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(STOP_S):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()

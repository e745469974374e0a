"""The process behind `andon gateway run`: sources, one intake thread, one sender."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from andon.client.async_client import AsyncClient
from andon.client.wallet import load_key_file
from andon.core.errors import AndonError, Code, InvalidInput, Unavailable
from andon.core.genesis import genesis_from_json
from andon.gateway.config import GatewayConfig
from andon.gateway.intake import Intake
from andon.gateway.metrics import Face, serving
from andon.gateway.mqtt import MqttSource
from andon.gateway.outbox import Outbox
from andon.gateway.plain import PlainDecoder
from andon.gateway.quantise import Quantiser, read_quantiser
from andon.gateway.reading import Arrival, Decoder
from andon.gateway.replay import replay
from andon.gateway.sparkplug_session import SparkplugDecoder
from andon.gateway.submit import Sender
from andon.gateway.watch import INTAKE, Watch
from andon.gateway.windows import Windower

BATCH_MAX = 1000
QUEUE_MAX = 8000
"""Messages in memory; when it is full the sources wait."""

TICK_S = 0.25
FULL_PAUSE_S = 1.0
log = logging.getLogger(__name__)


def wall_ms() -> int:
    """Time of this machine's clock in milliseconds."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Paths:
    """Files of a configuration, relative to its folder."""

    folder: Path

    def resolve(self, name: str) -> Path:
        """Absolute path of a name in the configuration."""
        return self.folder / name


class Gateway:
    """Everything wired; `run` works until it is told to stop."""

    def __init__(
        self, config: GatewayConfig, folder: Path, now_ms: Callable[[], int] = wall_ms
    ) -> None:
        self._config = config
        self._paths = Paths(folder)
        self._now_ms = now_ms
        self._queue: queue.Queue[Arrival] = queue.Queue(QUEUE_MAX)
        self._stopping = threading.Event()
        self._sources: dict[int, MqttSource] = {}
        self._replays_open = len(config.replay)
        self.watch = Watch(now_ms)
        self.outbox = Outbox(self._paths.resolve(config.outbox.path), config.outbox)
        try:
            self.intake = Intake(self.outbox, windowers(config, folder), self._decoders())
        except BaseException:
            self.outbox.close()
            raise

    def stop(self) -> None:
        """End after the batch at hand; what is not on disk is not acknowledged."""
        self._stopping.set()

    async def run(self, *, until_done: bool = False) -> None:
        """Work until `stop`; with `until_done`, also end once all files are replayed and sent.

        Raises:
            AndonError: the disk or the configuration does not allow to go on.
        """
        chain = self._config.chain
        key = load_key_file(self._paths.resolve(chain.key))
        genesis = None
        if chain.genesis:
            genesis = genesis_from_json(self._paths.resolve(chain.genesis).read_bytes())
        calls = {stream.name: stream.call for stream in self._config.streams}
        try:
            async with AsyncClient(chain.nodes, genesis=genesis, key=key) as client:
                sender = Sender(self.outbox, client, key, chain, calls, watch=self.watch)
                face = Face(self.outbox, self.watch, self._queue.qsize, self._now_ms)
                async with serving(face, self._config.metrics.port):
                    await self._work(sender, until_done=until_done)
        finally:
            self.outbox.close()

    async def _work(self, sender: Sender, *, until_done: bool) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(NotImplementedError, RuntimeError):
                loop.add_signal_handler(number, self.stop)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(sender.run()), *self._start_opcua(group)]
            for source in self._sources.values():
                source.start()
            for place, _ in enumerate(self._config.replay):
                threading.Thread(target=self._replay, args=(place,), daemon=True).start()
            try:
                await asyncio.to_thread(self._take_in, until_done=until_done)
                if until_done and not self._stopping.is_set():
                    await asyncio.to_thread(self._wait_drained)
            finally:
                # A thread does not end by cancelling who waits for it.
                self._stopping.set()
                for source in self._sources.values():
                    source.stop()
                for task in tasks:
                    task.cancel()

    def _wait_drained(self) -> None:
        while self.outbox.waiting() and not self._stopping.wait(TICK_S):
            pass

    # -- intake thread --------------------------------------------------------------------

    def _take_in(self, *, until_done: bool) -> None:
        flushed_ms = self._now_ms()
        while not self._stopping.is_set():
            batch = self._next_batch()
            if batch:
                self._commit(batch)
            now = self._now_ms()
            if now - flushed_ms >= TICK_S * 1000:
                flushed_ms = now
                self.intake.flush_idle(now)
            if until_done and not batch and not self._replays_open and self._queue.empty():
                self.intake.flush_idle(2**62)
                return

    def _next_batch(self) -> list[Arrival]:
        batch: list[Arrival] = []
        try:
            batch.append(self._queue.get(timeout=TICK_S))
            while len(batch) < BATCH_MAX:
                batch.append(self._queue.get_nowait())
        except queue.Empty:
            pass
        return batch

    def _commit(self, batch: list[Arrival]) -> None:
        while not self._stopping.is_set():
            try:
                self.intake.commit(batch)
            except Unavailable as error:
                self.watch.waits(INTAKE, error)
                self._stopping.wait(FULL_PAUSE_S)
                continue
            break
        else:
            return
        self.watch.works(INTAKE)
        for number, source in self._sources.items():
            source.acknowledge([arrival for arrival in batch if arrival.source == number])

    def _receive(self, arrival: Arrival) -> None:
        """Hand over a message; waits while the queue is full, which holds its source back."""
        while not self._stopping.is_set():
            try:
                self._queue.put(arrival, timeout=TICK_S)
            except queue.Full:
                continue
            return

    # -- sources --------------------------------------------------------------------------

    def _decoders(self) -> dict[int, Decoder]:
        decoders: dict[int, Decoder] = {}
        for table in self._config.mqtt:
            number = len(decoders)
            source = MqttSource(
                table,
                number,
                self._receive,
                self._now_ms,
                folder=self._paths.folder,
                watch=self.watch,
                sessions=self.outbox,
            )
            self._sources[number] = source
            if table.format == "sparkplug":
                decoders[number] = SparkplugDecoder(table.machine, table.client_id, source.rebirth)
            else:
                decoders[number] = PlainDecoder(table.topic)
        for _ in (*self._config.opcua, *self._config.replay):
            decoders[len(decoders)] = PlainDecoder("")
        return decoders

    def _start_opcua(self, group: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        if not self._config.opcua:
            return []
        from andon.gateway.opcua import OpcuaSource  # noqa: PLC0415 - an extra, half a second

        async def receive(arrival: Arrival) -> None:
            await asyncio.to_thread(self._receive, arrival)

        first = len(self._config.mqtt)
        return [
            group.create_task(
                OpcuaSource(
                    table,
                    first + place,
                    receive,
                    self._now_ms,
                    folder=self._paths.folder,
                    watch=self.watch,
                ).run()
            )
            for place, table in enumerate(self._config.opcua)
        ]

    def _replay(self, place: int) -> None:
        table = self._config.replay[place]
        number = len(self._config.mqtt) + len(self._config.opcua) + place
        try:
            notes = self.outbox.notes()
            for arrival in replay(table, self._paths.folder, number, notes, self._now_ms):
                if self._stopping.is_set():
                    return
                self._receive(arrival)
                if table.rate_per_s:
                    self._stopping.wait(1 / table.rate_per_s)
        except AndonError as error:
            log.error("replay: %s", error)  # noqa: TRY400 - the error says it all
        finally:
            self._replays_open -= 1


def windowers(config: GatewayConfig, folder: Path) -> list[Windower]:
    """The rules of every stream.

    Raises:
        InvalidInput: BAD_CONFIG or a bad package.
    """
    return [Windower(stream, quantiser_of(stream.package, folder)) for stream in config.streams]


def quantiser_of(package: str, folder: Path) -> Quantiser | None:
    """Read a stream's package; None if it names none.

    Raises:
        InvalidInput: BAD_CONFIG or a bad package.
    """
    if not package:
        return None
    try:
        return read_quantiser((folder / package).read_bytes())
    except OSError as error:
        raise InvalidInput(Code.BAD_CONFIG, f"package {package}: {error.strerror}") from None

"""The face of a running gateway, on loopback alone: `/metrics` for Prometheus, `/state` for people.

Totals come from the outbox when somebody scrapes, so that they go on over restarts and an
unwatched gateway pays nothing. Labels are bounded by the configuration.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator

import msgspec
from aiohttp import ClientError, ClientSession, ClientTimeout, web
from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from andon.core.errors import Code, InvalidInput, Unavailable
from andon.gateway.config import MetricsTable
from andon.gateway.outbox import Outbox
from andon.gateway.watch import Standing, Watch
from andon.gateway.windows import coarsening

LOOPBACK = "127.0.0.1"
MESSAGES = {"messages": "taken", "duplicates": "duplicate", "strays": "stray"}
WINDOWS = {"windows": "made", "sent": "final", "refused": "refused"}
Family = CounterMetricFamily | GaugeMetricFamily


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What `/state` answers."""

    parts: tuple[Standing, ...]
    totals: dict[str, int]
    queue_messages: int
    oldest_age_ms: int
    coarsening: int


class Face:
    """Gathers what a gateway shows."""

    def __init__(
        self,
        outbox: Outbox,
        watch: Watch,
        queued: Callable[[], int],
        now_ms: Callable[[], int],
    ) -> None:
        self._outbox = outbox
        self._watch = watch
        self._queued = queued
        self._now_ms = now_ms
        watch.registry.register(OutboxCollector(self))

    def state(self) -> State:
        """Look at everything once."""
        totals = self._outbox.counters()
        made_ms = self._outbox.oldest_ms()
        return State(
            parts=self._watch.standings(),
            totals=totals,
            queue_messages=self._queued(),
            oldest_age_ms=0 if made_ms is None else max(0, self._now_ms() - made_ms),
            coarsening=coarsening(totals["waiting"], self._outbox.settings.coarsen_above),
        )

    def used_ratio(self) -> float:
        """Used part of the outbox."""
        return self._outbox.used_ratio()

    def exposition(self) -> bytes:
        """Write the text format of Prometheus."""
        text: bytes = generate_latest(self._watch.registry)
        return text


class OutboxCollector(Collector):
    """The families whose values are on disk or counted at the scrape."""

    def __init__(self, face: Face) -> None:
        self._face = face

    def collect(self) -> Iterator[Family]:
        """Read the outbox once."""
        state = self._face.state()
        yield _counts(
            "andon_gateway_messages", "Messages that came in, by outcome", MESSAGES, state
        )
        yield _counts("andon_gateway_windows", "Windows by what became of them", WINDOWS, state)
        samples = "Readings in the messages"
        yield CounterMetricFamily("andon_gateway_samples", samples, state.totals["samples"])
        gauges = {
            "andon_gateway_queue_messages": (
                "Messages in memory that are not on disk",
                state.queue_messages,
            ),
            "andon_gateway_outbox_windows": ("Windows that are not final", state.totals["waiting"]),
            "andon_gateway_outbox_oldest_age_seconds": (
                "Age of the oldest window that is not final",
                state.oldest_age_ms / 1000,
            ),
            "andon_gateway_outbox_used_ratio": ("Used part of the outbox", self._face.used_ratio()),
            "andon_gateway_coarsening_factor": (
                "Strides that a window covers now",
                state.coarsening,
            ),
        }
        for name, (text, value) in gauges.items():
            yield GaugeMetricFamily(name, text, value)


def _counts(name: str, text: str, outcomes: dict[str, str], state: State) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=("outcome",))
    for counter, outcome in outcomes.items():
        family.add_metric((outcome,), state.totals[counter])
    return family


@contextlib.asynccontextmanager
async def serving(face: Face, port: int) -> AsyncIterator[None]:
    """Serve on loopback while the block runs; port 0 serves nothing.

    Raises:
        Unavailable: PORT_IN_USE.
    """
    if not port:
        yield
        return

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(body=face.exposition(), content_type="text/plain", charset="utf-8")

    async def state(_request: web.Request) -> web.Response:
        return web.Response(body=msgspec.json.encode(face.state()), content_type="application/json")

    application = web.Application()
    application.add_routes([web.get("/metrics", metrics), web.get("/state", state)])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, LOOPBACK, port).start()
        except OSError as error:
            raise Unavailable(
                Code.PORT_IN_USE,
                f"{LOOPBACK}:{port}: {error.strerror}",
                hint="take another port in [metrics]",
            ) from None
        yield
    finally:
        await runner.cleanup()


async def ask(table: MetricsTable, timeout_s: float) -> State:
    """The state of the gateway that runs with this table.

    Raises:
        InvalidInput: BAD_CONFIG if it serves nothing.
        Unavailable: UNREACHABLE if it does not run.
    """
    if not table.port:
        raise InvalidInput(
            Code.BAD_CONFIG, "the gateway serves no state", hint="[metrics] port = 9464"
        )
    url = f"http://{LOOPBACK}:{table.port}/state"
    try:
        async with (
            ClientSession(timeout=ClientTimeout(timeout_s)) as session,
            session.get(url) as answer,
        ):
            return msgspec.json.decode(await answer.read(), type=State)
    except (ClientError, OSError, TimeoutError) as error:
        said = str(error) or type(error).__name__
        raise Unavailable(Code.UNREACHABLE, f"{url}: {said}", hint="does it run?") from None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise Unavailable(Code.UNREACHABLE, f"{url} is no gateway", hint="compare ports") from None

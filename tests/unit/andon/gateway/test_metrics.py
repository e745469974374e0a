import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from andon.core.errors import AndonError, Code, InvalidInput, Unavailable
from andon.gateway.config import Channel, MetricsTable, OutboxTable, Stream
from andon.gateway.intake import Intake
from andon.gateway.metrics import Face, ask, serving
from andon.gateway.outbox import Batch, Outbox
from andon.gateway.plain import PlainDecoder
from andon.gateway.reading import Arrival
from andon.gateway.watch import CHAIN, Watch
from andon.gateway.windows import Windower
from node.checkout import CHECKOUT
from node.testing.local_net import free_ports
from tests.unit.node.test_metrics import complaints, samples

SETTINGS = OutboxTable(size_mb=64, coarsen_above=4)
STREAM = Stream(name="s", row_ms=100, stride=1, lateness_ms=0, channels={"t": Channel()})


class Clock:
    def __init__(self) -> None:
        self.now = 50_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with Outbox(tmp_path / "o", SETTINGS) as opened:
        yield opened


def arrival(number: int, payload: str = "") -> Arrival:
    text = payload or f'{{"time_ms": {number * 100}, "values": {{"t": {number}}}}}'
    return Arrival(0, "plant/press-1/readings", text.encode(), 1000 + number)


def filled(outbox: Outbox, count: int) -> Intake:
    intake = Intake(outbox, [Windower(STREAM, None)], {0: PlainDecoder("plant/{machine}/readings")})
    intake.commit([arrival(number) for number in range(count)])
    return intake


def finish(outbox: Outbox, first: int, last: int) -> None:
    batch = Batch(
        number=first, first=first, last=last, attempt=0, raw=b"", id=b"i" * 32,
        expires_height=9, is_bare=False,
    )  # fmt: skip
    with outbox.writing() as writer:
        writer.finish(batch, 3)
        writer.settle()


def test_the_exposition_is_clean_and_tells_what_the_outbox_holds(outbox: Outbox) -> None:
    clock = Clock()
    watch = Watch(clock)
    watch.add_broker("gateway-1")
    watch.connected("gateway-1", is_session_lost=True)
    watch.submitted(0.3)
    watch.submit_failed(Unavailable(Code.UNREACHABLE, "no node answers"))
    intake = filled(outbox, 10)
    intake.commit([arrival(1), arrival(0, "no json")])
    text = Face(outbox, watch, lambda: 7, clock).exposition()
    seen = samples(text)
    assert complaints(text) == []
    assert seen["andon_gateway_messages_total", ("taken",)] == 11
    assert seen["andon_gateway_messages_total", ("duplicate",)] == 1
    assert seen["andon_gateway_messages_total", ("stray",)] == 1
    assert seen["andon_gateway_samples_total", ()] == 10
    assert seen["andon_gateway_windows_total", ("made",)] == 9
    assert seen["andon_gateway_outbox_windows", ()] == 9
    assert seen["andon_gateway_outbox_oldest_age_seconds", ()] == 48.999
    assert 0 < seen["andon_gateway_outbox_used_ratio", ()] < 1
    assert seen["andon_gateway_coarsening_factor", ()] == 4
    assert seen["andon_gateway_queue_messages", ()] == 7
    assert seen["andon_gateway_working", ("mqtt gateway-1",)] == 0
    assert seen["andon_gateway_working", ("chain",)] == 0
    assert seen["andon_gateway_working", ("intake",)] == 1
    assert seen["andon_gateway_broker_connections_total", ("gateway-1",)] == 1
    assert seen["andon_gateway_broker_sessions_lost_total", ("gateway-1",)] == 1
    assert seen["andon_gateway_submit_failures_total", ("UNREACHABLE",)] == 1
    assert seen["andon_gateway_submit_seconds_count", ()] == 1


def test_the_age_is_that_of_the_oldest_window_that_waits(outbox: Outbox) -> None:
    clock = Clock()
    face = Face(outbox, Watch(clock), lambda: 0, clock)
    assert face.state().oldest_age_ms == 0
    filled(outbox, 4)
    assert face.state().oldest_age_ms == 50_000 - 1001
    finish(outbox, 0, 1)
    assert face.state().oldest_age_ms == 50_000 - 1003
    finish(outbox, 2, 2)
    assert face.state().oldest_age_ms == 0


def test_a_part_keeps_the_time_since_when_it_waits() -> None:
    clock = Clock()
    watch = Watch(clock)
    watch.waits(CHAIN, "one reason")
    clock.now += 1000
    watch.waits(CHAIN, "another")
    (found,) = [item for item in watch.standings() if item.part == CHAIN]
    assert (found.works, found.reason, found.since_ms) == (False, "another", 50_000)
    watch.works(CHAIN)
    (found,) = [item for item in watch.standings() if item.part == CHAIN]
    assert (found.works, found.reason, found.since_ms) == (True, "", 51_000)


async def test_both_pages_are_served_on_loopback(outbox: Outbox) -> None:
    clock = Clock()
    face = Face(outbox, Watch(clock), lambda: 3, clock)
    filled(outbox, 3)
    table = MetricsTable(port=free_ports(1, 401))
    async with serving(face, table.port):
        url = f"http://127.0.0.1:{table.port}/metrics"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            assert answer.headers["Content-Type"].startswith("text/plain")
            assert samples(await answer.read())["andon_gateway_outbox_windows", ()] == 2
        state = await ask(table, 5)
        assert state == face.state()
        with pytest.raises(Unavailable) as found:
            async with serving(face, table.port):
                await asyncio.sleep(0)
        assert found.value.code is Code.PORT_IN_USE


@pytest.mark.parametrize(
    ("port", "kind", "code"),
    [(0, InvalidInput, Code.BAD_CONFIG), (1, Unavailable, Code.UNREACHABLE)],
)
async def test_a_gateway_that_does_not_answer_is_an_error(
    port: int, kind: type[AndonError], code: Code
) -> None:
    with pytest.raises(kind) as found:
        await ask(MetricsTable(port=port), 5)
    assert found.value.code is code


async def test_the_command_line_tells_what_a_running_gateway_waits_for(
    outbox: Outbox, tmp_path: Path
) -> None:
    clock = Clock()
    watch = Watch(clock)
    table = MetricsTable(port=free_ports(1, 402))
    config = tmp_path / "gw.toml"
    config.write_text(
        f'[[streams]]\nname = "s"\n[[mqtt]]\nclient_id = "g"\n[metrics]\nport = {table.port}\n'
    )

    async def status() -> tuple[int, str]:
        command = (sys.executable, "-m", "andon.cli.main", "gateway", "status", str(config))
        process = await asyncio.create_subprocess_exec(
            *command, cwd=CHECKOUT, stdout=asyncio.subprocess.PIPE
        )
        said, _ = await process.communicate()
        return process.returncode or 0, said.decode()

    async with serving(Face(outbox, watch, lambda: 3, clock), table.port):
        code, said = await status()
        assert (code, "chain: works" in said) == (0, True), said
        watch.submit_failed(Unavailable(Code.UNREACHABLE, "no node answers"))
        code, said = await status()
    assert code == 1
    assert "chain: waits: UNREACHABLE (1205): no node answers" in said
    assert "in memory 3" in said

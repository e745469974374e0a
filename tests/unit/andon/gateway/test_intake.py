"""The intake: a commit is on disk, a redelivery does nothing, a full disk loses nothing."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from andon.core.errors import Unavailable
from andon.gateway.config import Channel, OutboxTable, Stream
from andon.gateway.intake import Intake
from andon.gateway.outbox import Batch, Outbox
from andon.gateway.plain import PlainDecoder
from andon.gateway.reading import Arrival
from andon.gateway.windows import Windower

SETTINGS = OutboxTable(size_mb=64, coarsen_above=4)


def arrival(number: int, machine: str = "press-1", topic: str = "", **more: object) -> Arrival:
    document = {"time_ms": number * 10, "values": {"t": number % 7}} | more
    where = topic or f"plant/{machine}/readings"
    return Arrival(0, where, json.dumps(document).encode(), 10_000_000 + number)


def open_intake(outbox: Outbox) -> Intake:
    stream = Stream(
        name="s", machines=["press-*"], row_ms=100, stride=1, lateness_ms=0, idle_ms=1000,
        channels={"t": Channel()},
    )  # fmt: skip
    return Intake(outbox, [Windower(stream, None)], {0: PlainDecoder("plant/{machine}/readings")})


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with Outbox(tmp_path / "o", SETTINGS) as opened:
        yield opened


def counted(outbox: Outbox) -> int:
    return sum(window.count for _, window in outbox.pending(10_000))


def test_a_commit_survives_and_goes_on_where_it_was(tmp_path: Path) -> None:
    arrivals = [arrival(number) for number in range(100)]
    done = 0
    for size in (1, 30, 7, 62):
        with Outbox(tmp_path / "o", SETTINGS) as outbox:
            open_intake(outbox).commit(arrivals[done : done + size])
        done += size
    with Outbox(tmp_path / "o", SETTINGS) as outbox:
        intake = open_intake(outbox)
        assert intake.flush_idle(2**60) == 1
        assert counted(outbox) == 100
        assert outbox.counters()["samples"] == 100
        assert [item.payload for item in outbox.journal()] == [a.payload for a in arrivals]
        sequences = [window.sequence for _, window in outbox.pending(100)]
        assert sequences == list(range(1, len(sequences) + 1))


def test_a_redelivered_message_is_counted_once(outbox: Outbox) -> None:
    intake = open_intake(outbox)
    intake.commit([arrival(1), arrival(2), arrival(1)])
    again = open_intake(outbox).commit([arrival(2), arrival(3)])
    assert (again.samples, again.duplicates) == (1, 1)
    assert outbox.counters()["messages"] == 3


def test_memory_of_messages_is_bounded_and_covers_the_last_ones(tmp_path: Path) -> None:
    settings = OutboxTable(size_mb=64, seen_max=20)
    with Outbox(tmp_path / "o", settings) as outbox:
        intake = open_intake(outbox)
        for number in range(45):
            intake.commit([arrival(number)])
        found = intake.commit([arrival(number) for number in range(35, 45)])
        assert found.duplicates == 10
        assert intake.commit([arrival(0)]).duplicates == 0


@pytest.mark.parametrize(
    "bad",
    [
        Arrival(0, "plant/press-1/readings", b"{", 1),
        Arrival(0, "plant/press-1/readings", b'{"values": {"t": "hot"}}', 1),
        Arrival(0, "other/topic", b'{"values": {"t": 1}}', 1),
        arrival(1, machine="lathe-1"),
        arrival(1, quality="great"),
        arrival(1, topic="x", machine_=1),
    ],
)
def test_what_cannot_be_understood_is_kept_with_a_reason(outbox: Outbox, bad: Arrival) -> None:
    found = open_intake(outbox).commit([bad, arrival(1)])
    assert (found.strays, found.samples) == (1, 1)
    ((topic, payload, reason),) = outbox.strays()
    assert (topic, payload) == (bad.topic, bad.payload)
    assert reason


def test_a_full_disk_undoes_the_batch_and_it_can_be_tried_again(tmp_path: Path) -> None:
    big = [arrival(number, note="x" * 20_000) for number in range(100)]
    with Outbox(tmp_path / "o", OutboxTable(size_mb=1)) as outbox:
        intake = open_intake(outbox)
        intake.commit(big[:10])
        before = outbox.counters()
        with pytest.raises(Unavailable, match="STORAGE_FULL"):
            intake.commit(big[10:])
        assert outbox.counters() == before
        assert intake.commit(big[10:12]).samples == 2


def test_a_backlog_makes_windows_coarser(outbox: Outbox) -> None:
    intake = open_intake(outbox)
    for first in range(0, 4000, 50):
        intake.commit([arrival(number) for number in range(first, first + 50)])
    intake.flush_idle(2**60)
    windows = [window for _, window in outbox.pending(1000)]
    assert counted(outbox) == 4000
    assert len(windows) < 40
    assert windows[0].rows == 1
    assert windows[-2].rows >= 16


def test_a_finished_batch_leaves_the_outbox(outbox: Outbox) -> None:
    intake = open_intake(outbox)
    intake.commit([arrival(number) for number in range(35)])
    (first, _), (second, _), *_ = outbox.pending(9)
    batch = Batch(
        number=first, first=first, last=first, attempt=0, raw=b"r", id=b"i", expires_height=1,
        is_bare=False,
    )  # fmt: skip
    with outbox.writing() as writer:
        writer.put_batch(batch)
    assert outbox.batch() == batch
    with outbox.writing() as writer:
        writer.finish(batch, 7)
        writer.settle()
    assert outbox.batch() is None
    assert outbox.pending(9)[0][0] == second
    assert outbox.counters()["sent"] == 1

"""Windows: time, lateness, gaps, units, coarsening; every sample is counted once."""

import math
import random

import pytest

from andon.core.errors import InvalidInput
from andon.gateway.config import Channel, Stream
from andon.gateway.quantise import Quantiser
from andon.gateway.reading import BAD, UNCERTAIN, Sample
from andon.gateway.windows import Line, Window, Windower, coarsening

NOW = 10_000_000


def stream(**fields: object) -> Stream:
    base = {
        "name": "s",
        "row_ms": 100,
        "stride": 2,
        "lateness_ms": 50,
        "channels": {"t": Channel()},
    }
    return Stream(**{**base, **fields})  # type: ignore[arg-type]


def quantiser(rows: int = 2, unit: str = "") -> Quantiser:
    return Quantiser(
        model_id=bytes(32), channels=("t",), units=(unit,), settings=(), rows=rows,
        centres=((),), scales=(((0.0, 1.0),),), edges=(), missing=-127,
    )  # fmt: skip


class Machine:
    def __init__(self, windower: Windower, factor: int = 1) -> None:
        self.windower, self.factor, self.line = windower, factor, Line(machine="m", stream="s")
        self.windows: list[Window] = []

    def see(self, time_ms: int, value: float | None = 1.0, quality: str = "good") -> None:
        sample = Sample("m", time_ms, {"t": value}, quality)
        identity = bytes(16)
        self.windows += self.windower.add(self.line, sample, identity, NOW, self.factor)


def test_a_row_is_the_mean_of_its_time_and_closes_behind_the_watermark() -> None:
    machine = Machine(Windower(stream(), quantiser()))
    for time_ms, value in ((0, 10), (60, 20), (110, 40), (149, 40)):
        machine.see(time_ms, value)
    assert machine.line.rows == []
    machine.see(150, 40)
    assert machine.line.rows == [[15.0]]
    machine.see(250, 7)
    (window,) = machine.windows
    assert window.window == bytes([15, 40])
    assert (window.start_ms, window.end_ms, window.count, window.late) == (0, 200, 6, 0)


def test_order_within_the_lateness_does_not_matter() -> None:
    times = [(t, float(t % 70)) for t in range(0, 2000, 20)]
    expected: list[bytes] | None = None
    for seed in range(5):
        machine = Machine(Windower(stream(lateness_ms=200), quantiser()))
        shaken = sorted(
            times, key=lambda item: item[0] + random.Random(seed + item[0]).random() * 99
        )
        for time_ms, value in shaken:
            machine.see(time_ms, value)
        found = [window.window for window in machine.windows]
        assert len(found) == 8
        expected = expected or found
        assert found == expected


def test_late_and_bad_samples_are_counted_and_not_used() -> None:
    machine = Machine(Windower(stream(channels={"t": Channel(low=0, high=50)}), quantiser()))
    machine.see(0, 5)
    machine.see(100, 5)
    machine.see(250, 5)
    assert len(machine.windows) == 1
    machine.see(20, 9)
    machine.see(260, 51)
    machine.see(260, math.nan)
    machine.see(260, None)
    machine.see(260, 5, BAD)
    machine.see(NOW + 400_000, 5)
    machine.see(-1, 5)
    machine.see(270, 9, UNCERTAIN)
    machine.windows += machine.windower.flush(machine.line)
    last = machine.windows[-1]
    assert (last.count, last.late, last.bad) == (8, 1, 6)
    assert machine.line.rows[-1] == [7.0]


def test_a_gap_makes_missing_rows_but_never_more_than_a_window_holds() -> None:
    machine = Machine(Windower(stream(stride=3), quantiser(rows=3)))
    for time_ms in (0, 100, 200, 9_000_000, 9_000_100, 9_000_200):
        machine.see(time_ms)
    found = [window.window for window in machine.windows]
    assert found == [bytes([1, 1, 1]), bytes([129] * 3), bytes([129, 129, 1])]
    assert [window.end_ms for window in machine.windows] == [300, 8_999_800, 9_000_100]


def test_units_are_converted_to_the_units_of_the_package() -> None:
    source = stream(channels={"t": Channel(source="Temp", unit="degF", low=-20, high=120)})
    machine = Machine(Windower(source, quantiser(rows=1, unit="degC")))
    sample = Sample("m", 0, {"Temp": 212.0})
    assert not list(machine.windower.add(machine.line, sample, bytes(16), NOW, 1))
    assert machine.line.open[0] == [pytest.approx(100.0), 1.0]


@pytest.mark.parametrize("unit", ["bar", "furlong"])
def test_units_that_do_not_fit_are_refused(unit: str) -> None:
    with pytest.raises(InvalidInput, match="BAD_CONFIG"):
        Windower(stream(channels={"t": Channel(unit=unit)}), quantiser(unit="degC"))


def test_a_channel_that_the_package_does_not_have_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no channel"):
        Windower(stream(channels={"x": Channel()}), quantiser())


def test_coarser_windows_cover_the_same_samples() -> None:
    counts = []
    for factor in (1, 4):
        machine = Machine(Windower(stream(), quantiser()), factor)
        for time_ms in range(0, 4000, 10):
            machine.see(time_ms)
        machine.windows += machine.windower.flush(machine.line)
        assert sum(window.count for window in machine.windows) == 400
        assert [w.sequence for w in machine.windows] == list(range(1, len(machine.windows) + 1))
        counts.append(len(machine.windows))
    assert counts == [20, 5]


def test_coarsening_doubles_with_the_backlog_up_to_a_bound() -> None:
    assert [coarsening(n, 10) for n in (0, 9, 10, 20, 35, 10**9)] == [1, 1, 2, 4, 8, 1024]

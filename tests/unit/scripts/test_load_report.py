"""The page of `andon bench`."""

from __future__ import annotations

import re

from scripts.bench.load import Result
from scripts.bench.usage import Usage
from scripts.load_report import Step, page, used

MS = {"p50": 10.0, "p95": 20.0, "p99": 40.0, "max": 80.0}


def step(rate: float, final: int = 9, **more: object) -> Step:
    return Step(
        offered_per_s=rate, offered=10, accepted=9, refused={"RATE_LIMITED": 1}, final=final,
        final_per_s=8.5, blocks=3, accepted_ms=MS if final else {}, final_ms=MS if final else {},
        **more,  # type: ignore[arg-type]
    )  # fmt: skip


def test_it_needs_nothing_from_elsewhere_and_escapes_what_it_is_told() -> None:
    text = page("a.<b>", {"processor": "<x>"}, [step(10.0), step(20.0)])
    assert "a.&lt;b&gt;" in text
    assert not re.search(r"<script|https?://|src=|@import|url\(", text)
    assert "RATE_LIMITED 1" in text


def test_latencies_are_drawn_where_there_are_two_steps() -> None:
    assert "<svg" not in page("a.b", {}, [step(10.0)])
    drawn = page("a.b", {}, [step(10.0), step(0.0, final=0), step(20.0)])
    assert drawn.count("<polyline") == 3


def test_processes_are_shown_with_what_a_final_call_cost() -> None:
    result = Result(committed={b"1": 1.0, b"2": 2.0})
    usage = Usage(cpu_s={"node-1 node": 3.0}, rss_bytes={"node-1 node": 2**20})
    found = used(usage, result)
    assert found["cpu_ms_per_final"] == 1500.0
    text = page("a.b", {}, [step(10.0, **found)])
    assert "node-1 node" in text
    assert "1,500.00 ms for each" in text
    assert used(Usage(), result) == {}
    assert "no process of a local network" in page("a.b", {}, [step(10.0)])


def test_what_nothing_became_of_costs_nothing_each() -> None:
    assert used(Usage(cpu_s={"node-1 node": 3.0}), Result())["cpu_ms_per_final"] is None

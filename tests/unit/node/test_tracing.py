"""Spans of the phases: one trace a height, the same on every node; nothing without an endpoint."""

from __future__ import annotations

import pytest

from node.metrics import Metrics
from node.tracing import ENDPOINT, Tracing, open_tracing

pytest.importorskip("opentelemetry.sdk", reason="needs andon[otel]")


def test_nodes_meet_in_the_trace_of_a_height() -> None:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    nodes = [Metrics(), Metrics()]
    for node in nodes:
        node.tracing = Tracing(provider.get_tracer("test"), "plant-1")
        node.observe_phase("admission", 0.25)
        node.observe_phase("commit", 0.5)
        node.tracing.committed(1)
        node.observe_phase("commit", 0.5)
    spans = exporter.get_finished_spans()
    assert [span.name for span in spans] == ["admission", "commit", "commit"] * 2
    assert [span.attributes["andon.height"] for span in spans] == [1, 1, 2] * 2
    traces = [span.context.trace_id for span in spans]
    assert traces[0] == traces[1] == traces[3] == traces[4] != traces[2] == traces[5]
    assert spans[0].end_time - spans[0].start_time == 250_000_000
    assert len({span.parent.span_id for span in spans}) == 2


def test_without_an_endpoint_nothing_is_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENDPOINT, raising=False)
    assert open_tracing("node-1", "plant-1") is None

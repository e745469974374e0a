"""Spans of the phases: one trace a height, the same on every node; nothing without an endpoint."""

from __future__ import annotations

import pytest

from andon.core.block import Header, Receipt
from node.finality import FinalityTracker
from node.metrics import Metrics
from node.tracing import ENDPOINT, TRANSACTIONS_MAX, Tracing, open_tracing

pytest.importorskip("opentelemetry.sdk", reason="needs andon[otel]")

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import (
    InMemorySpanExporter,
)

KEYS = [b"1" * 32, b"2" * 32]
ZERO = bytes(32)


def header(height: int, proposer: bytes) -> Header:
    return Header(
        1, "c", 0, height, height, 0, ZERO, proposer, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, 0
    )


def providers() -> tuple[list[TracerProvider], InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    found = [TracerProvider(), TracerProvider()]
    for provider in found:
        provider.add_span_processor(SimpleSpanProcessor(exporter))
    return found, exporter


def test_nodes_meet_in_the_trace_of_a_height_below_what_its_proposer_sent() -> None:
    found, exporter = providers()
    nodes = [Metrics(), Metrics()]
    for node, provider, key in zip(nodes, found, KEYS, strict=True):
        node.tracing = Tracing(provider, "plant-1", key)
        node.observe_phase("admission", 0.25)
        node.observe_phase("commit", 0.5)
        node.tracing.committed(header(1, KEYS[0]))
        node.observe_phase("commit", 0.5)
    spans = exporter.get_finished_spans()
    first, second = ["admission", "commit", "block", "commit"], ["admission", "commit", "commit"]
    assert [span.name for span in spans] == [*first, *second]
    assert [span.attributes["andon.height"] for span in spans] == [1, 1, 1, 2, 1, 1, 2]
    (root,) = [span for span in spans if span.name == "block"]
    assert root.parent is None
    children = [span for span in spans if span.attributes["andon.height"] == 1 and span != root]
    assert len(children) == 4
    for span in children:
        assert span.context.trace_id == root.context.trace_id
        assert span.parent.span_id == root.context.span_id
        assert span.context.span_id != root.context.span_id
    assert spans[3].context.trace_id == spans[6].context.trace_id != root.context.trace_id
    assert spans[0].end_time - spans[0].start_time == 250_000_000


async def test_a_transaction_is_a_span_from_admission_to_finality_in_its_block() -> None:
    found, exporter = providers()
    tracing = Tracing(found[0], "plant-1", KEYS[0])
    finality = FinalityTracker(lambda _: None)
    finality.trace = tracing.final
    ids = [number.to_bytes(32, "big") for number in range(TRANSACTIONS_MAX + 5)]
    for identity in ids:
        finality.admitted(identity)
    receipts = [
        Receipt(transaction_id=identity, ok=True, gas_used=0, failure=None, results=(), events=())
        for identity in [*ids, b"f" * 32]
    ]
    finality.committed(receipts, 7)
    spans = exporter.get_finished_spans()
    assert {span.name for span in spans} == {"transaction"}
    assert [span.attributes["andon.transaction"] for span in spans] == [
        identity.hex() for identity in ids[:TRANSACTIONS_MAX]
    ]
    assert {span.attributes["andon.height"] for span in spans} == {7}


def test_without_an_endpoint_nothing_is_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENDPOINT, raising=False)
    assert open_tracing("node-1", "plant-1", None) is None

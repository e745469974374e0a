"""Traces for OpenTelemetry: the phases of a node's work as spans, one trace a height.

The trace of a height follows from the chain alone, so the spans of all nodes about one block,
from admission over prediction and votes to the commit, come together in one trace. Phases do not
name their block: what runs between two commits counts for the next one.

Nothing happens unless OTEL_EXPORTER_OTLP_ENDPOINT is set; then the extra `andon[otel]` is needed.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import structlog

from andon.core.hashing import Domain, digest

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACE_BYTES, SPAN_BYTES = 16, 8

log = structlog.get_logger()


class Tracing:
    """Makes spans; `observe` may be called in any thread."""

    def __init__(self, tracer: Tracer, chain_id: str) -> None:
        self._tracer = tracer
        self._chain_id = chain_id
        self._height = 0

    def committed(self, height: int) -> None:
        """What comes now is work on the next height."""
        self._height = height

    def observe(self, phase: str, seconds: float) -> None:
        """Record a phase that has just ended."""
        from opentelemetry import trace  # noqa: PLC0415 - an extra of the package

        height, end_ns = self._height + 1, time.time_ns()
        seed = digest(Domain.BLOB, f"trace {self._chain_id} {height}".encode())
        parent = trace.SpanContext(
            trace_id=int.from_bytes(seed[:TRACE_BYTES], "big"),
            span_id=int.from_bytes(seed[-SPAN_BYTES:], "big"),
            is_remote=True,
            trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED),
        )
        span = self._tracer.start_span(
            phase,
            context=trace.set_span_in_context(trace.NonRecordingSpan(parent)),
            start_time=end_ns - int(seconds * 1e9),
            attributes={"andon.height": height, "andon.chain": self._chain_id},
        )
        span.end(end_ns)


def open_tracing(node: str, chain_id: str) -> Tracing | None:
    """Send spans to where the environment says; None if it says nothing or the extra is missing."""
    if not os.environ.get(ENDPOINT):
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError:
        log.warning("tracing.missing", hint="pip install andon[otel]")
        return None
    resource = Resource.create({"service.name": "andon-node", "service.instance.id": node})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracing(provider.get_tracer("andon"), chain_id)

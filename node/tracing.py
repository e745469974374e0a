"""Traces for OpenTelemetry: the phases of a node's work as spans, one trace a height.

The trace of a height follows from the chain alone, so the spans of all nodes about one block come
together in one trace: `block`, which its proposer sends, is the root; below it are the phases of
every node, from admission over prediction and votes to the commit, and `transaction`, from
admission to finality, with the hash. Phases do not name their block: what runs between two commits
counts for the next one.

Nothing happens unless OTEL_EXPORTER_OTLP_ENDPOINT is set; then the extra `andon[otel]` is needed.
"""

from __future__ import annotations

import os
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING

import structlog

from andon.core.block import Header
from andon.core.hashing import Domain, digest

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Tracer

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACE_BYTES, SPAN_BYTES = 16, 8
TRANSACTIONS_MAX = 32
"""Spans of transactions a block; the others of a full block tell the same."""

log = structlog.get_logger()
_root: ContextVar[tuple[int, int] | None] = ContextVar("root", default=None)
"""Ids that the next span is to have, where it is the root."""


class Tracing:
    """Makes spans; `observe` may be called in any thread."""

    def __init__(
        self, provider: TracerProvider, chain_id: str, validator_key: bytes | None
    ) -> None:
        _choose_ids(provider)
        self._tracer: Tracer = provider.get_tracer("andon")
        self._chain_id = chain_id
        self._validator_key = validator_key
        self._height = 0
        self._began_ns = time.time_ns()
        self._transactions = 0

    def committed(self, header: Header) -> None:
        """What comes now is work on the next height."""
        now_ns = time.time_ns()
        if header.proposer == self._validator_key:
            token = _root.set(self._ids(header.height))
            try:
                self._span("block", header.height, (self._began_ns, now_ns))
            finally:
                _root.reset(token)
        self._height, self._began_ns, self._transactions = header.height, now_ns, 0

    def observe(self, phase: str, seconds: float) -> None:
        """Record a phase that has just ended."""
        self._child(phase, self._height + 1, seconds)

    def final(self, transaction: bytes, height: int, seconds: float) -> None:
        """Record a transaction of ours that has just become final."""
        if self._transactions < TRANSACTIONS_MAX:
            self._transactions += 1
            self._child("transaction", height, seconds, {"andon.transaction": transaction.hex()})

    def _child(
        self, name: str, height: int, seconds: float, extra: dict[str, str] | None = None
    ) -> None:
        from opentelemetry import trace  # noqa: PLC0415 - an extra of the package

        trace_id, span_id = self._ids(height)
        parent = trace.SpanContext(
            trace_id=trace_id,
            span_id=span_id,
            is_remote=True,
            trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED),
        )
        context = trace.set_span_in_context(trace.NonRecordingSpan(parent))
        end_ns = time.time_ns()
        self._span(name, height, (end_ns - int(seconds * 1e9), end_ns), context, extra)

    def _span(
        self,
        name: str,
        height: int,
        times_ns: tuple[int, int],
        context: Context | None = None,
        extra: dict[str, str] | None = None,
    ) -> None:
        began_ns, ended_ns = times_ns
        span = self._tracer.start_span(
            name,
            context=context,
            start_time=began_ns,
            attributes={"andon.height": height, "andon.chain": self._chain_id, **(extra or {})},
        )
        span.end(ended_ns)

    def _ids(self, height: int) -> tuple[int, int]:
        """Trace and root span of a height: the same on every node."""
        seed = digest(Domain.BLOB, f"trace {self._chain_id} {height}".encode())
        return int.from_bytes(seed[:TRACE_BYTES], "big"), int.from_bytes(seed[-SPAN_BYTES:], "big")


def _choose_ids(provider: TracerProvider) -> None:
    """Have the provider give a root the ids that its height demands, and others random ones."""
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator  # noqa: PLC0415

    class Ids(RandomIdGenerator):
        def generate_trace_id(self) -> int:
            root = _root.get()
            return super().generate_trace_id() if root is None else root[0]

        def generate_span_id(self) -> int:
            root = _root.get()
            return super().generate_span_id() if root is None else root[1]

    provider.id_generator = Ids()


def open_tracing(node: str, chain_id: str, validator_key: bytes | None) -> Tracing | None:
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
    return Tracing(provider, chain_id, validator_key)

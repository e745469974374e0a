"""What the OpenAPI document says of the routes that the server itself has."""

from __future__ import annotations

from andon.core.rpc_schema import HealthReply
from node.rpc.route import EVENT_STREAM, JSON, Answer, Content, Operation, Parameter

PROBES = ("live", "ready", "startup")

_VERDICT = (
    Answer("HealthReply", Content(JSON, HealthReply)),
    Answer("HealthReply", Content(JSON, HealthReply), status=503),
)

RPC = Operation(
    name="rpc",
    summary="JSON-RPC 2.0: one request, or a list of them.",
    body=Content(JSON),
    answers=(
        Answer("an answer, or a list of them", Content(JSON)),
        Answer("notifications alone", status=204),
    ),
    failure=Content(JSON),
)
EVENT_STREAM_OF_CHAIN = Operation(
    name="event_stream",
    summary="Server-sent events after a cursor; resume with Last-Event-ID.",
    parameters=tuple(Parameter(name=name) for name in ("cursor", "contract", "name")),
    answers=(Answer("stream of EventReply", Content(EVENT_STREAM, str)),),
)
WEBSOCKET = Operation(
    name="websocket",
    summary="WebSocket: JSON-RPC requests, and subscribe and unsubscribe for events.",
    answers=(Answer("switching protocols", status=101),),
)
METRICS = Operation(
    name="metrics",
    summary="For Prometheus.",
    answers=(Answer("Prometheus exposition", Content("text/plain", str)),),
)
LIVE = Operation(name="health_live", summary="The same as the probe live.", answers=_VERDICT)
HEALTH = Operation(
    name="health",
    summary="A probe of the node's health.",
    parameters=(Parameter(name="probe", schema={"enum": list(PROBES)}),),
    answers=_VERDICT,
)
DOCUMENT = Operation(
    name="openapi", summary="This document.", answers=(Answer("OpenAPI 3.1", Content(JSON, dict)),)
)

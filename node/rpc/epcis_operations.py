"""What the OpenAPI document says of the EPCIS face, and the bodies that it takes."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from node.rpc.epcis_query import PARAMETER_PREFIXES, PARAMETERS
from node.rpc.route import EVENT_STREAM, JSON, WHOLE, Answer, Content, Operation, Parameter

LD_JSON = "application/ld+json"
COLLECTIONS: Mapping[str, str] = {
    "eventTypes": "eventType",
    "bizSteps": "EQ_bizStep",
    "dispositions": "EQ_disposition",
    "readPoints": "EQ_readPoint",
    "bizLocations": "EQ_bizLocation",
}
"""Collections of the binding, and the parameter that each stands for."""


class NamedQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A query that is kept under a name, with the parameters of events."""

    name: str
    query: dict[str, str | list[str] | int]


class SubscriptionTerms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """From where on a subscription sends; `dest` and `initialRecordTime` are refused."""

    stream: bool = True
    initialRecordTime: str = ""  # noqa: N815 - the standard's name
    dest: str = ""
    after: int | None = None


_DOCUMENT = Content(LD_JSON, dict)
_EVENTS = (Answer("an EPCIS query document", _DOCUMENT),)
_MADE = (Answer("made; Location tells where", status=201),)
_GONE = (Answer("gone", status=204),)
_PARAMETERS = (
    Parameter(name="perPage", schema=WHOLE),
    Parameter(name="nextPageToken", schema=WHOLE, text="from the Link of the page before"),
    *(Parameter(name=name) for name in PARAMETERS),
)
_MORE = f"Also parameters that begin with {', '.join(PARAMETER_PREFIXES)}."

CAPTURE = Operation(
    name="epcis_capture",
    summary="Capture an EPCIS document that carries its signed transaction.",
    body=_DOCUMENT,
    answers=(Answer("taken; Location is the job", status=202),),
)
JOB = Operation(
    name="epcis_job",
    summary="What became of a capture, by the hash of its transaction.",
    answers=(Answer("the job", Content(JSON, dict)),),
)
EVENTS = Operation(
    name="epcis_events",
    summary=f"Events that fit, by the standard's simple event query. {_MORE}",
    parameters=_PARAMETERS,
    answers=_EVENTS,
)
EVENT = Operation(name="epcis_event", summary="One event by its id.", answers=_EVENTS)
EVENTS_OF_ITEM = Operation(
    name="epcis_events_of_item",
    summary="Events that name an item.",
    parameters=_PARAMETERS,
    answers=_EVENTS,
)
EVENTS_OF_QUERY = Operation(
    name="epcis_events_of_query",
    summary="Events that fit a named query, and the parameters beside it.",
    parameters=_PARAMETERS,
    answers=_EVENTS,
)
KINDS = Operation(
    name="epcis_event_types",
    summary="The types of events.",
    answers=(Answer("the set", Content(JSON, dict)),),
)
CREATE_QUERY = Operation(
    name="epcis_create_query",
    summary="Keep a query under a name.",
    body=Content(JSON, NamedQuery),
    answers=_MADE,
)
LIST_QUERIES = Operation(
    name="epcis_queries",
    summary="Queries that are kept.",
    answers=(Answer("their list", Content(JSON, list)),),
)
SHOW_QUERY = Operation(
    name="epcis_query",
    summary="One query that is kept.",
    answers=(Answer("the query", Content(JSON, dict)),),
)
DELETE_QUERY = Operation(
    name="epcis_delete_query",
    summary="Delete a query and its subscriptions.",
    answers=_GONE,
)
SUBSCRIBE = Operation(
    name="epcis_subscribe",
    summary="Begin a subscription, which is a stream: a node calls nobody.",
    body=Content(JSON, SubscriptionTerms, is_required=False),
    answers=_MADE,
)
LIST_SUBSCRIPTIONS = Operation(
    name="epcis_subscriptions",
    summary="Subscriptions of a query.",
    answers=(Answer("their list", Content(JSON, list)),),
)
STREAM = Operation(
    name="epcis_subscription",
    summary="A subscription, or its stream for who accepts one; resume with Last-Event-ID.",
    answers=(
        Answer("the subscription, or its events", Content(JSON, dict), Content(EVENT_STREAM, str)),
    ),
)
UNSUBSCRIBE = Operation(
    name="epcis_unsubscribe", summary="End a subscription and its streams.", answers=_GONE
)


def events_of_collection(collection: str) -> Operation:
    """Events with one word of a collection."""
    return Operation(
        name=f"epcis_events_of_{collection}",
        summary=f"Events with a word of {collection}; the same as {COLLECTIONS[collection]}.",
        parameters=_PARAMETERS,
        answers=_EVENTS,
    )

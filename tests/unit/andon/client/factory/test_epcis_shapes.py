"""Documents in the shapes of the standard's published samples, all of them written here."""

from __future__ import annotations

import json
import socket
from typing import Any, NoReturn

import pytest

from andon.client.factory import epcis
from andon.core.codec import Dec, decode_value, encode_value
from andon.core.errors import InvalidInput
from tests.unit.andon.client.factory.documents import GTIN, document

NAMESPACES = {"mx": "https://plant.example/mx/", "cbvmda": "urn:epcglobal:cbv:mda:"}
CONTEXT = [epcis.CONTEXT, {"mx": NAMESPACES["mx"]}, {"cbvmda": NAMESPACES["cbvmda"]}]
SENSORS: list[dict[str, Any]] = [
    {
        "sensorMetadata": {
            "time": "2026-04-02T13:05:00.000Z",
            "deviceID": "https://id.gs1.org/8004/9506003furnace2",
            "dataProcessingMethod": "https://id.gs1.org/253/9506003000019abc",
            "mx:firmware": "2.1",
        },
        "sensorReport": [
            {"type": "Temperature", "value": 26.0, "uom": "CEL", "sDev": 0.1, "percRank": 50},
            {"type": "AbsoluteHumidity", "minValue": 12.1, "maxValue": 12.5, "meanValue": 12.2},
            {"type": "mx:isOpen", "booleanValue": False, "stringValue": "shut"},
            {"exception": "ALARM_CONDITION", "hexBinaryValue": "F0F0"},
        ],
    },
    {"sensorReport": [{"type": "Speed", "value": 160, "uom": "KMH", "mx:axis": {"mx:no": 2}}]},
]
EVERYWHERE: dict[str, Any] = {
    "bizStep": "https://ref.gs1.org/cbv/BizStep-inspecting",
    "disposition": "in_progress",
    "persistentDisposition": {"set": ["completeness_verified"], "unset": ["completeness_inferred"]},
    "readPoint": {"id": "https://id.gs1.org/414/9506003000012"},
    "bizLocation": {"id": "https://id.gs1.org/414/9506003000012/254/dock3"},
    "bizTransactionList": [
        {"type": "po", "bizTransaction": "urn:epc:id:gdti:0614141.00001.1618034"},
        {"bizTransaction": "http://transaction.example/po/12345678"},
    ],
    "sourceList": [{"type": "possessing_party", "source": "urn:epc:id:pgln:9506003.00000"}],
    "destinationList": [{"type": "owning_party", "destination": "urn:epc:id:pgln:9506003.00001"}],
    "sensorElementList": SENSORS,
    "certificationInfo": ["https://accreditation.example/certificate/ABC12345"],
    "mx:batchReport": {"mx:oven": 7, "mx:steps": [{"mx:name": "soak", "mx:minutes": 12.5}]},
}
SHAPES: dict[str, dict[str, Any]] = {
    "object, instances and classes, ilmd of a namespace": {
        "type": "ObjectEvent",
        "action": "ADD",
        "epcList": ["urn:epc:id:sgtin:9506003.100001.S1", GTIN + "/21/S2"],
        "quantityList": [
            {"epcClass": "urn:epc:class:lgtin:9506003.100001.L1", "quantity": 200, "uom": "KGM"},
            {"epcClass": GTIN + "/10/L2"},
        ],
        "ilmd": {
            "cbvmda:bestBeforeDate": "2026-12-01",
            "cbvmda:measurement": [{"type": "grossWeight", "value": 24.28, "uom": "KGM"}],
        },
    },
    "object, sensors alone": {"type": "ObjectEvent", "action": "OBSERVE"},
    "object, deleted": {"type": "ObjectEvent", "action": "DELETE", "epcList": [GTIN + "/21/S1"]},
    "aggregation, packed": {
        "type": "AggregationEvent",
        "action": "ADD",
        "parentID": "urn:epc:id:sscc:9506003.1000000001",
        "childEPCs": [GTIN + "/21/S1", GTIN + "/21/S2"],
        "childQuantityList": [{"epcClass": GTIN + "/10/L1", "quantity": 0.5, "uom": "KGM"}],
    },
    "aggregation, seen without its parent": {
        "type": "AggregationEvent", "action": "OBSERVE", "childEPCs": [GTIN + "/21/S1"],
    },
    "aggregation, emptied": {
        "type": "AggregationEvent", "action": "DELETE", "parentID": GTIN + "/21/S9",
    },
    "association, built in": {
        "type": "AssociationEvent",
        "action": "ADD",
        "parentID": "urn:epc:id:giai:9506003.press4",
        "childEPCs": ["https://id.gs1.org/8004/9506003sensor17"],
        "childQuantityList": [{"epcClass": GTIN + "/10/L1", "quantity": 2}],
    },
    "transaction": {
        "type": "TransactionEvent",
        "action": "ADD",
        "parentID": "urn:epc:id:sscc:9506003.1000000001",
        "epcList": [GTIN + "/21/S1"],
        "quantityList": [{"epcClass": GTIN, "quantity": 5}],
    },
    "transformation in one": {
        "type": "TransformationEvent",
        "inputEPCList": [GTIN + "/21/S1"],
        "inputQuantityList": [{"epcClass": GTIN + "/10/L1", "quantity": 10, "uom": "KGM"}],
        "outputEPCList": [GTIN + "/21/S3"],
        "outputQuantityList": [{"epcClass": GTIN + "/10/L3", "quantity": 9.75, "uom": "KGM"}],
        "ilmd": {"cbvmda:lotNumber": "L3"},
    },
    "transformation over a day": {
        "type": "TransformationEvent",
        "transformationID": "urn:epc:id:gdti:9506003.12345.400",
        "inputEPCList": [GTIN + "/21/S1"],
    },
    "correction": {
        "type": "ObjectEvent",
        "eventID": "urn:uuid:374d95fc-9457-4a51-bd6a-0bba133845a8",
        "action": "OBSERVE",
        "epcList": [GTIN + "/21/S1"],
        "errorDeclaration": {
            "declarationTime": "2026-11-07T14:00:00.000+01:00",
            "reason": "urn:epcglobal:cbv:er:incorrect_data",
            "correctiveEventIDs": ["urn:uuid:404d95fc-9457-4a51-bd6a-0bba133845a8"],
        },
    },
}  # fmt: skip


def written(*events: dict[str, Any]) -> bytes:
    return document(*events, **{"@context": CONTEXT})


@pytest.mark.parametrize("name", SHAPES)
def test_a_document_of_each_shape_is_read_and_survives_the_way_to_the_ledger(name: str) -> None:
    (event,) = epcis.events_of(written({**EVERYWHERE, **SHAPES[name]}))
    assert decode_value(encode_value(event)) == event
    whole = json.loads(epcis.document([event], 0))
    whole["@context"].append(NAMESPACES)
    assert epcis.events_of(json.dumps(whole)) == [event]
    assert event["persistent"] == EVERYWHERE["persistentDisposition"]
    assert event["transactions"] == [
        ["po", "urn:epc:id:gdti:0614141.00001.1618034"],
        ["", "http://transaction.example/po/12345678"],
    ]
    assert event["extension"] == {
        "mx:batchReport": {
            "mx:oven": 7,
            "mx:steps": [{"mx:name": "soak", "mx:minutes": Dec(125 * 10**17)}],
        }
    }
    sensors = event["sensors"]
    assert isinstance(sensors, list)
    assert len(sensors) == 2


def test_a_document_of_all_shapes_keeps_their_order() -> None:
    events = epcis.events_of(written(*({**EVERYWHERE, **item} for item in SHAPES.values())))
    assert [event["kind"] for event in events] == [item["type"] for item in SHAPES.values()]


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("needs action", {"type": "ObjectEvent", "epcList": [GTIN + "/21/S1"]}),
    ("needs epcList or", {"type": "ObjectEvent", "action": "ADD"}),
    ("does not have", {**SHAPES["object, deleted"], "childEPCs": []}),
    ("does not have", {**SHAPES["transformation in one"], "action": "ADD"}),
    ("does not have", {**SHAPES["transaction"], "ilmd": {}}),
    ("needs bizTransactionList", SHAPES["transaction"]),
    ("needs parentID", {"type": "AssociationEvent", "action": "ADD"}),
    ("names its parentID", {**SHAPES["aggregation, seen without its parent"], "action": "ADD"}),
    ("needs outputEPCList or", {"type": "TransformationEvent", "inputEPCList": [GTIN]}),
    ("action ADD", {**SHAPES["object, deleted"], "ilmd": {"cbvmda:lotNumber": "1"}}),
    ("ilmd: an object", {**SHAPES["transformation in one"], "ilmd": "L3"}),
    ("set, unset", {**SHAPES["object, deleted"], "persistentDisposition": {"put": ["x"]}}),
    ("lists of disp", {**SHAPES["object, deleted"], "persistentDisposition": {"set": "x"}}),
    ("1 to 256 elements", {**SHAPES["object, deleted"], "sensorElementList": {}}),
    ("1 to 256 reports", {**SHAPES["object, deleted"], "sensorElementList": [{}]}),
    (
        "type or an exception",
        {**SHAPES["object, deleted"], "sensorElementList": [{"sensorReport": [{"value": 1}]}]},
    ),
    (
        "number",
        {
            **SHAPES["object, deleted"],
            "sensorElementList": [{"sensorReport": [{"type": "T", "value": "hot"}]}],
        },
    ),
    (
        "with texts",
        {
            **SHAPES["object, deleted"],
            "sensorElementList": [
                {"sensorMetadata": {"deviceID": 7}, "sensorReport": [{"type": "T"}]}
            ],
        },
    ),
    ("unknown field", {**SHAPES["object, deleted"], "other:field": 1}),
]


@pytest.mark.parametrize(("reason", "event"), WRONG)
def test_an_event_against_the_rules_of_its_type_is_refused(
    reason: str, event: dict[str, Any]
) -> None:
    with pytest.raises(InvalidInput, match=reason):
        epcis.events_of(written(event))


def test_no_context_is_fetched_whatever_a_document_names(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise AssertionError("reading a document opened a socket")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    urls = [
        "http://169.254.169.254/latest",
        "https://context.example/a.jsonld",
        "file:///etc/hosts",
    ]
    context = [*urls, epcis.CONTEXT, {"mx": "http://127.0.0.1:1/vocabulary"}]
    event = {**SHAPES["object, deleted"], "@context": urls[1], "mx:note": "x"}
    assert len(epcis.events_of(document(event, **{"@context": context}))) == 1

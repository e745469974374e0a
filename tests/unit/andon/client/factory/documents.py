"""Documents in the shapes of the standard's samples, made here."""

from __future__ import annotations

import json
from typing import Any

from andon.client.factory.epcis import CONTEXT

WHEN = "1970-01-02T12:00:00.500+02:00"
GTIN = "https://id.gs1.org/01/19506003000019"
EVENTS: list[dict[str, Any]] = [
    {
        "type": "ObjectEvent",
        "eventID": "ni:///sha-256;" + "0" * 64 + "?ver=CBV2.0",
        "action": "ADD",
        "bizStep": "commissioning",
        "disposition": "https://ref.gs1.org/cbv/Disp-active",
        "epcList": ["urn:epc:id:sgtin:9506003.100001.S1"],
        "quantityList": [{"epcClass": GTIN + "/10/L1", "quantity": 12.5, "uom": "KGM"}],
        "readPoint": {"id": "urn:epc:id:sgln:9506003.00001.0"},
        "bizLocation": {"id": "urn:epc:id:sgln:9506003.00001.0"},
        "ilmd": {"cbvmda:lotNumber": "L1"},
        "sensorElementList": [
            {"sensorReport": [{"type": "Temperature", "value": 26.05, "uom": "CEL"}]}
        ],
        "mx:prediction": {"model": "rul", "votes": 4},
    },
    {
        "type": "AggregationEvent",
        "action": "OBSERVE",
        "parentID": "urn:epc:id:sscc:9506003.1000000001",
        "childEPCs": [GTIN + "/21/S1"],
        "childQuantityList": [{"epcClass": GTIN, "quantity": 3}],
    },
    {
        "type": "TransformationEvent",
        "inputEPCList": [GTIN + "/21/S1"],
        "inputQuantityList": [{"epcClass": GTIN + "/10/L1", "quantity": 1, "uom": "KGM"}],
        "outputEPCList": [GTIN + "/21/S2"],
        "outputQuantityList": [{"epcClass": GTIN + "/10/L2", "quantity": 2}],
        "transformationID": "urn:epc:id:gdti:0614141.12345.400",
    },
    {
        "type": "TransactionEvent",
        "action": "ADD",
        "epcList": [GTIN + "/21/S1"],
        "bizTransactionList": [{"type": "po", "bizTransaction": "urn:epc:id:gdti:0614141.1.2"}],
        "sourceList": [{"type": "owning_party", "source": "urn:epc:id:pgln:9506003.00000"}],
        "destinationList": [{"type": "location", "destination": "urn:x:dock"}],
    },
    {
        "type": "AssociationEvent",
        "action": "DELETE",
        "parentID": "urn:epc:id:giai:9506003.press4",
        "childEPCs": [GTIN + "/21/S1"],
        "persistentDisposition": {"set": ["completeness_inferred"]},
        "eventID": "urn:uuid:1",
        "errorDeclaration": {
            "declarationTime": WHEN,
            "reason": "urn:epcglobal:cbv:er:incorrect_data",
            "correctiveEventIDs": ["urn:uuid:2"],
        },
    },
]


def document(*events: dict[str, Any], **changes: Any) -> bytes:
    """An EPCISDocument; without events all of them."""
    listed = [
        {"eventTime": WHEN, "eventTimeZoneOffset": "+02:00", **event} for event in events or EVENTS
    ]
    whole: dict[str, Any] = {
        "@context": [CONTEXT, {"mx": "https://plant.example/mx/"}],
        "type": "EPCISDocument",
        "schemaVersion": "2.0",
        "creationDate": WHEN,
        "epcisBody": {"eventList": listed},
    }
    return json.dumps({**whole, **changes}).encode()

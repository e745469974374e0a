"""EPCIS 2.0 documents to events of the ledger and back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from andon.client.factory import epcis
from andon.core.codec import Dec, decode_value, encode_value
from andon.core.errors import Code, InvalidInput
from tests.unit.andon.client.factory.documents import EVENTS, document

UNIT = 10**18


def test_all_kinds_are_read_with_exact_numbers_and_one_writing_of_ids() -> None:
    events = epcis.events_of(document())
    assert [event["kind"] for event in events] == [item["type"] for item in EVENTS]
    first = events[0]
    assert first["time_ms"] == 34 * 3_600_000 + 500
    assert first["epcs"] == ["01/19506003000019/21/S1"]
    assert first["quantities"] == [["01/19506003000019/10/L1", Dec(12_500_000 * 10**12), "KGM"]]
    assert (first["step"], first["disposition"]) == ("commissioning", "active")
    assert first["read_point"] == first["location"] == "414/9506003000012"
    assert first["extension"] == {"mx:prediction": {"model": "rul", "votes": 4}}
    assert events[4]["error"] == {
        "time_ms": 34 * 3_600_000 + 500, "reason": "incorrect_data", "corrective": ["urn:uuid:2"],
    }  # fmt: skip


def test_events_survive_the_way_to_the_ledger_and_back() -> None:
    events = epcis.events_of(document())
    stored = [decode_value(encode_value(event)) for event in events]
    assert stored == events
    written = epcis.document(events, 0)
    # What the writer adds is declared in its own context, so the reader takes all of it again.
    whole = json.loads(written)
    whole["@context"].append({"mx": "x", "cbvmda": "x"})
    assert epcis.events_of(json.dumps(whole)) == events


def test_a_query_document_has_its_events_where_the_standard_has_them() -> None:
    events = epcis.events_of(document(EVENTS[1]))
    whole = json.loads(epcis.document(events, 5, query="SimpleEventQuery"))
    assert whole["type"] == "EPCISQueryDocument"
    assert whole["creationDate"] == "1970-01-01T00:00:00.005Z"
    listed = whole["epcisBody"]["queryResults"]["resultsBody"]["eventList"]
    assert listed[0]["parentID"].startswith("https://id.gs1.org/00/")


def test_many_events_are_packed_into_calls_of_64() -> None:
    calls = epcis.capture_calls(document(*[EVENTS[1]] * 130))
    assert [call.method for call in calls] == ["capture_many"] * 3
    packed = decode_value(calls[2].args)
    assert isinstance(packed, dict)
    assert isinstance(packed["events"], list)
    assert len(packed["events"]) == 2


BAD: list[tuple[str, bytes]] = [
    ("document", b"{"),
    ("document", b"[]"),
    ("document", document(type="EPCISQueryDocument")),
    ("document", document(schemaVersion="1.2")),
    ("@context", document(**{"@context": ["https://evil.example/context"]})),
    ("eventList", document(epcisBody={"eventList": []})),
    ("eventList", document(epcisBody=[])),
    ("type is none", document({"type": "QuantityEvent"})),
    ("no time", document({"type": "ObjectEvent", "eventTime": "yesterday"})),
    ("offset", document({"type": "ObjectEvent", "eventTime": "2026-01-01T00:00:00"})),
    ("text", document({"type": "ObjectEvent", "action": 5})),
    ("list is expected", document({"type": "ObjectEvent", "epcList": "x"})),
    ("object is expected", document({"type": "ObjectEvent", "readPoint": "x"})),
    ("missing", document({"type": "ObjectEvent", "readPoint": {}})),
    ("check digit", document({"type": "ObjectEvent", "epcList": ["01/19506003000011/21/S1"]})),
    (
        "number",
        document({"type": "ObjectEvent", "quantityList": [{"epcClass": "x", "quantity": "1"}]}),
    ),
    ("unknown field", document({"type": "ObjectEvent", "unknown:field": 1})),
    ("unknown field", document({"type": "ObjectEvent", "colour": 1})),
    ("18 places", document({"type": "ObjectEvent", "ilmd": {"x": 1e-30}})),
    ("too large", document({"type": "ObjectEvent", "ilmd": {"x": 2**300}})),
    ("NaN", document({"type": "ObjectEvent", "ilmd": {"x": float("nan")}})),
]


@pytest.mark.parametrize(("reason", "text"), BAD)
def test_documents_that_say_nothing_clear_are_refused(reason: str, text: bytes) -> None:
    with pytest.raises(InvalidInput, match=reason):
        epcis.events_of(text)


@pytest.mark.parametrize(
    "number",
    [
        "9e99999999999999999999",
        "1e2000000000",
        "-1.5E-2000000000",
        "0e2000000000",
        "1e101",
        "1e-101",
    ],
)
def test_a_number_that_is_short_to_write_and_huge_to_spell_out_is_refused(number: str) -> None:
    text = document({**EVENTS[0], "ilmd": {"x": "HERE"}})
    with pytest.raises(InvalidInput, match="is not within") as caught:
        epcis.events_of(text.replace(b'"HERE"', number.encode()))
    assert caught.value.code is Code.MALFORMED
    (event,) = epcis.events_of(text.replace(b'"HERE"', b"1.5e3"))
    assert event["ilmd"] == {"x": Dec(1500 * UNIT)}


def test_deep_and_large_documents_are_refused() -> None:
    deep: Any = 1
    for _ in range(20):
        deep = [deep]
    with pytest.raises(InvalidInput, match="deeply"):
        epcis.events_of(document({"type": "ObjectEvent", "ilmd": deep}))
    with pytest.raises(InvalidInput, match="TOO_LARGE"):
        epcis.events_of(b" " * (epcis.DOCUMENT_BYTES_MAX + 1))
    with pytest.raises(InvalidInput, match="1 to 1024"):
        epcis.events_of(document(*[{"type": "ObjectEvent"}] * 1025))
    with pytest.raises(InvalidInput, match="document"):
        epcis.events_of(b"[" * 200_000)


def test_the_context_is_never_fetched() -> None:
    url = "http://127.0.0.1:1/never-fetched.jsonld"
    text = document(EVENTS[1], **{"@context": [epcis.CONTEXT, url]})
    assert epcis.declared_prefixes([epcis.CONTEXT, url]) == frozenset()
    assert len(epcis.events_of(text)) == 1

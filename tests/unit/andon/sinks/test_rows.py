"""Rows of a block: lots and edges by what contracts say, and text that a database would refuse."""

import json

import msgspec
import pytest

from andon.core.json_value import Json, value_to_json
from andon.core.rpc_schema import CallEntry
from andon.sinks.rows import _loads, edges_of, lots_of


def call(method: str, contract: str = "supply", **args: object) -> CallEntry:
    raw = msgspec.Raw(json.dumps(args).encode())
    return CallEntry(contract=contract, method=method, args=raw)


MADE: dict[str, Json] = {
    "id": "e1", "kind": "TransformationEvent", "inputs": ["a"],
    "input_quantities": [["b", 3, "KGM"]], "outputs": ["x", "y"],
}  # fmt: skip


def test_a_transformation_gives_an_edge_from_every_input_to_every_output() -> None:
    expected = [("e1", "MADE", source, target) for source in "ab" for target in "xy"]
    assert list(edges_of(call("capture", event=MADE))) == expected
    assert list(edges_of(call("capture_many", events=[MADE, MADE]))) == expected * 2


def test_an_aggregation_holds_its_children_and_a_parting_does_not() -> None:
    event: dict[str, Json] = {"parent": "pallet", "children": ["c1", "c2"], "action": "ADD"}
    found = list(edges_of(call("capture", event=event)))
    assert found == [("", "HELD", "c1", "pallet"), ("", "HELD", "c2", "pallet")]
    assert list(edges_of(call("capture", event=event | {"action": "DELETE"}))) == []


def test_quantities_may_be_tuples_of_the_chain() -> None:
    event = dict(MADE, inputs=[], input_quantities=[value_to_json(("b", 3))])
    assert [edge[2] for edge in edges_of(call("capture", event=event))] == ["b", "b"]


@pytest.mark.parametrize(
    "other",
    [
        call("capture", contract="other", event=MADE),
        call("query", event=MADE),
        call("capture", event=MADE | {"error": {"reason": "wrong"}}),
        call("capture", event="text"),
        call("capture_many", events={"a": 1}),
        call("capture"),
    ],
)
def test_other_calls_give_no_edges(other: CallEntry) -> None:
    assert list(edges_of(other)) == []


def test_lots_are_what_events_name() -> None:
    assert list(lots_of({"lot": "L1", "verdict": "HOLD"})) == ["L1"]
    assert list(lots_of({"item": "I", "items": ["J", 3, ""]})) == ["I", "J"]
    assert list(lots_of(["lot"])) == []


def test_a_null_character_does_not_reach_a_database() -> None:
    raw = msgspec.Raw(json.dumps({"a\0": ["b\0", {"c": "\\u0000"}]}).encode())
    assert _loads(raw) == {"a\ufffd": ["b\ufffd", {"c": "\\u0000"}]}

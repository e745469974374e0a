"""What blocks of the node in memory do: its state tree and its two built-in verbs."""

from __future__ import annotations

from andon.core.block import Event, Failure, PredictionRecord, Receipt, prediction_id
from andon.core.codec import Key, Value, decode_value, encode_value
from andon.core.hashing import Domain, digest
from andon.core.model import input_digest
from andon.core.state_key import state_key
from andon.core.transaction import Transaction
from consensus.ledger.tree import update_tree
from node.facade import BlockAnswer, Cursor, EventAnswer

MODEL_ID = digest(Domain.MODEL, b"memory")
FAILING = ("fail", "breaks")
"""Methods that fail; `fail` is a word of the language, so no source can declare it."""
TOLD = ("note", "run")
"""Arguments that the event repeats."""


def events_of(block: BlockAnswer, height: int) -> list[EventAnswer]:
    """Events of a block with their cursors."""
    return [
        EventAnswer(
            cursor=Cursor(height, place, number),
            transaction_id=receipt.transaction_id,
            event=event,
        )
        for place, receipt in enumerate(block.receipts)
        for number, event in enumerate(receipt.events)
    ]


class MemoryTree:
    """The state tree of the last block."""

    def __init__(self) -> None:
        self.nodes: dict[bytes, bytes] = {}

    def tree_node(self, path: bytes) -> bytes | None:
        """Content of the node at `path`."""
        return self.nodes.get(path)

    def write(self, changes: dict[bytes, bytes | None]) -> bytes:
        """Apply changes; returns the new root."""
        root, writes = update_tree(self, changes)
        for path, content in writes.items():
            if content is None:
                self.nodes.pop(path, None)
            else:
                self.nodes[path] = content
        return root


def execute(
    transaction: Transaction,
    height: int,
    records: list[PredictionRecord],
    changes: dict[bytes, bytes | None],
) -> Receipt:
    """Run a transaction; appends to `records` and `changes`."""
    results: list[bytes] = []
    events: list[Event] = []
    for call in transaction.body.calls:
        arguments = decode_value(call.args)
        if call.method in FAILING or not isinstance(arguments, dict):
            failure = Failure("E_REQUIRE", call.contract, call.method, 12, "rul below zero")
            return _receipt(transaction, (), failure, ())
        machine, window = arguments.get("machine", ""), arguments.get("window", b"")
        if not isinstance(machine, str) or not isinstance(window, bytes):
            failure = Failure("E_TYPE", call.contract, call.method, 1, "bad arguments")
            return _receipt(transaction, (), failure, ())
        output = (sum(window) % 125,)
        records.append(
            PredictionRecord(
                id=prediction_id(transaction.id, len(records)),
                transaction_id=transaction.id,
                contract=call.contract,
                model_id=MODEL_ID,
                input_digest=input_digest(MODEL_ID, window),
                output=output,
                kind="exact",
                height=height,
            )
        )
        state: dict[Key, Value] = {"rul": output[0], "machine": machine}
        changes[state_key(call.contract, "machines", machine)] = encode_value(state)
        results.append(encode_value(state))
        if output[0] < 30:
            told: Value = {**state, **{key: arguments[key] for key in TOLD if key in arguments}}
            events.append(Event(call.contract, "alert", encode_value(told)))
    return _receipt(transaction, tuple(results), None, tuple(events))


def _receipt(
    transaction: Transaction,
    results: tuple[bytes, ...],
    failure: Failure | None,
    events: tuple[Event, ...],
) -> Receipt:
    return Receipt(
        transaction_id=transaction.id,
        ok=failure is None,
        gas_used=100 if failure is None else 40,
        results=results,
        failure=failure,
        events=events,
    )

import pytest

from andon.core.block import PredictionRecord
from andon.core.errors import Code, InvalidInput
from node import mismatch
from node.mismatch import MismatchLog

MODEL, INPUT = b"m" * 32, b"i" * 32


def error(number: int = 0) -> InvalidInput:
    return InvalidInput(
        Code.PREDICTION_MISMATCH,
        "differs",
        model_id=MODEL,
        input_digest=bytes([number]) * 32 if number else INPUT,
        element=1,
        expected=7,
        computed=8,
        height=5,
    )


def final(*output: int) -> PredictionRecord:
    return PredictionRecord(b"p", b"t", "c", MODEL, INPUT, output, "exact", 5)


async def test_a_mismatch_is_counted_and_shown_with_model_input_and_element() -> None:
    counts: list[int] = []
    record = MismatchLog(lambda: counts.append(1))
    assert record.last is None
    record.record(error())
    assert record.last is not None
    assert (record.last.model_id, record.last.input_digest) == (MODEL, INPUT)
    assert (record.last.element, record.last.expected, record.last.computed) == (1, 7, 8)
    assert counts == [1]


async def test_who_agrees_with_the_quorum_was_right() -> None:
    record = MismatchLog(lambda: None)
    record.record(error())
    record.settle([final(0, 8)])
    assert record.last is None


async def test_who_differs_from_the_quorum_stays_under_suspicion() -> None:
    record = MismatchLog(lambda: None)
    record.record(error())
    record.settle([final(0, 7)])
    assert record.last is not None


async def test_open_mismatches_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mismatch, "OPEN_MAX", 2)
    record = MismatchLog(lambda: None)
    for number in (1, 2, 3):
        record.record(error(number))
    assert len(record._open) == 2
    assert record.last is not None
    assert record.last.count == 3

"""What the ledger reads natively from the registry and from settled predictions."""

from __future__ import annotations

import pytest

from andon.core.codec import Value, encode_value
from consensus.ledger.registry import Settled, parse_settled

SOUND: dict[str, Value] = {
    "number": 1, "contract": "asker", "model": b"m" * 32, "input": b"i" * 32, "output": [5, -7],
}  # fmt: skip


def test_a_settled_request_is_read_as_a_prediction() -> None:
    assert parse_settled(encode_value({**SOUND})) == Settled(
        contract="asker", model_id=b"m" * 32, input_digest=b"i" * 32, output=(5, -7)
    )


@pytest.mark.parametrize(
    "change",
    [
        {"contract": 5},
        {"model": b"m"},
        {"model": "m" * 32},
        {"input": b""},
        {"output": None},
        {"output": [True]},
        {"output": ["5"]},
        {"output": [1 << 63]},
    ],
)
def test_another_shape_settles_nothing(change: dict[str, Value]) -> None:
    assert parse_settled(encode_value({**SOUND, **change})) is None
    assert parse_settled(b"\xc1") is None

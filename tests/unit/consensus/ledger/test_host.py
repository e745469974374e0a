"""Many predictions at once are the same as one after the other: records, outputs, inputs, sizes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from andon.core.errors import Code, InvalidInput
from consensus.ledger import Overlay
from consensus.ledger.host import LedgerHost
from tests.unit.consensus.ledger.world import Chain, ModelSource, model_output

IDENTITY = b"t" * 32
ABC = (b"abcd", b"abce", b"abcf")


class Wild(ModelSource):
    """Gives one output that is out of shape or range."""

    def __init__(self, wild: tuple[int, ...]) -> None:
        super().__init__()
        self._wild = wild

    def output(self, model_id: bytes, window: bytes, digest: bytes) -> tuple[int, ...]:
        return self._wild if window == ABC[1] else super().output(model_id, window, digest)


def host(source: ModelSource | None = None) -> LedgerHost:
    found = LedgerHost(Overlay(Chain().parent.state), source or ModelSource(), 1)
    found.begin_transaction(IDENTITY)
    found.contract = "table"
    return found


@pytest.mark.parametrize(
    "windows",
    [(), ABC, (ABC[0], ABC[1], ABC[0]), (ABC[2], *ABC)],
    ids=["none", "new", "twice", "known"],
)
def test_many_predictions_are_one_after_the_other(windows: Sequence[bytes]) -> None:
    single, many = host(), host()
    for window in (ABC[2], *windows):
        single.predict("sum", window)
    many.predict("sum", ABC[2])
    outputs = many.predict_many("sum", list(windows))
    assert outputs == [model_output(window) for window in windows]
    assert many.predictions == single.predictions
    assert many.outputs == single.outputs
    assert list(many.outputs) == list(single.outputs)
    assert many.inputs == single.inputs
    assert many.outputs_bytes == single.outputs_bytes


@pytest.mark.parametrize("wild", [(1, 2), (), (2**63,), (-(2**63),)])
def test_one_output_out_of_shape_refuses_all(wild: tuple[int, ...]) -> None:
    many = host(Wild(wild))
    with pytest.raises(InvalidInput) as caught:
        many.predict_many("sum", list(ABC))
    assert caught.value.code is Code.PREDICTION_MISMATCH

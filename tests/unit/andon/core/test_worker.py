"""Frames between node and worker: inverse, bounded, typed."""

from __future__ import annotations

import pytest

from andon.core import worker
from andon.core.errors import Code, InvalidInput, Unavailable


@pytest.mark.parametrize(
    "body",
    [
        worker.Ping(), worker.Stats(), worker.Load(b"blob"), worker.Conform(b"m"),
        worker.Unload(b"m"), worker.Predict(b"m", (b"a", b"b")),
    ],
)  # fmt: skip
def test_a_request_is_read_as_it_was_framed(body: object) -> None:
    data = worker.frame(worker.Request(5, body))  # type: ignore[arg-type] # every body
    assert worker.frame_length(data[:4]) == len(data) - 4
    assert worker.decode_request(data[4:]) == worker.Request(5, body)  # type: ignore[arg-type]


def test_negative_outputs_survive() -> None:
    reply = worker.Reply(1, worker.Outputs(((-(2**31), 7),)))
    assert worker.decode_reply(worker.frame(reply)[4:]) == reply


@pytest.mark.parametrize("prefix", [b"\0\0\0\0", b"\x04\x00\x00\x01", b"\xff\xff\xff\xff"])
def test_lengths_out_of_bounds_are_refused(prefix: bytes) -> None:
    with pytest.raises(InvalidInput):
        worker.frame_length(prefix)


def test_a_reply_is_no_request() -> None:
    data = worker.frame(worker.Reply(1, worker.Done()))[4:]
    with pytest.raises(InvalidInput) as caught:
        worker.decode_request(data)
    assert caught.value.code is Code.MALFORMED


def test_typed_errors_keep_code_hint_and_fields() -> None:
    error = Unavailable(Code.CONFORMANCE_FAILED, "differs", hint="do not vote", element=3, a="b")
    failed = worker.failed(error)
    assert failed.code == 403
    assert failed.hint == "do not vote"
    assert failed.fields == (("a", "b"), ("element", "3"))


def test_other_errors_do_not_leak_their_text() -> None:
    failed = worker.failed(ValueError("/secret/path"))
    assert failed.code == Code.INTERNAL.value
    assert "secret" not in failed.message

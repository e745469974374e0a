"""Whatever bytes an endpoint answers, a client gets a typed error."""

from __future__ import annotations

import msgspec
import pytest

from andon.client.transport import error_of, problem_error
from andon.core.errors import Code, Unavailable
from andon.core.rpc_schema import ErrorReply


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff", b'{"title":"\xff"}', b"[" * 100_000])
def test_an_answer_that_is_no_problem_is_no_nodes(body: bytes) -> None:
    error = problem_error(body)
    assert isinstance(error, Unavailable)
    assert error.code is Code.UNREACHABLE


@pytest.mark.parametrize("data", [b'{"hint":"\xff"}', b"[" * 100_000, b"1", b""])
def test_details_of_an_error_that_cannot_be_read_are_left_out(data: bytes) -> None:
    reply = ErrorReply(code=1204, name="NOT_FOUND", message="none", data=msgspec.Raw(data))
    error = error_of(reply)
    assert error.code is Code.NOT_FOUND
    assert error.hint == ""

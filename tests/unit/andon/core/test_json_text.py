"""JSON of open shape: bounded depth, typed errors."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from andon.core.errors import Code, InvalidInput
from andon.core.json_text import JSON_DEPTH_MAX, read_json

PLAIN = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=4), inner, max_size=4)
    ),
)


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


@pytest.mark.parametrize("depth", [1, JSON_DEPTH_MAX])
def test_up_to_the_bound_it_is_read(depth: int) -> None:
    found, levels = read_json(nested(depth)), 0
    while found:
        assert isinstance(found, list)
        (found,), levels = found, levels + 1
    assert levels == depth - 1


@pytest.mark.parametrize(
    "raw",
    [
        nested(JSON_DEPTH_MAX + 1),
        b"[" * 1_000_000,
        b'{"a":' * 100_000,
        b'["\\"",' * 300,
        b'[{"a":' * 200 + b"1" + b"}]" * 200,
    ],
)
def test_beyond_it_is_refused_unread(raw: bytes) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_json(raw)
    assert caught.value.code is Code.TOO_DEEP


def test_brackets_beside_each_other_or_in_text_are_no_depth() -> None:
    beside = b"[" + b",".join([b"[]"] * 1000) + b"]"
    assert read_json(beside) == [[] for _ in range(1000)]
    text = json.dumps("[{" * 1000 + '\\"' + "[" * 1000).encode()
    assert read_json(text) == json.loads(text)


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b'"\xff"', b'"' + b"[" * 200])
def test_what_is_no_json_is_said(raw: bytes) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_json(raw)
    assert caught.value.code is Code.MALFORMED


@given(PLAIN)
def test_what_was_written_is_read(value: object) -> None:
    assert read_json(json.dumps(value).encode()) == value

"""The one byte form: round trips, one spelling a thing, limits."""

from __future__ import annotations

from collections.abc import Callable

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from andon.core.certificate import SignedVote, Vote, VoteKind
from andon.core.codec import (
    VALUE_BYTES_MAX,
    VALUE_DEPTH_MAX,
    Dec,
    Value,
    decode,
    decode_certified,
    decode_value,
    encode,
    encode_arguments,
    encode_value,
)
from andon.core.errors import Code, InvalidInput, Misuse

integers = st.integers(-(2**256) + 1, 2**256 - 1)
scalars = st.one_of(
    st.none(), st.booleans(), integers, st.text(max_size=8), st.binary(max_size=8),
    st.builds(Dec, integers),
)  # fmt: skip
keys = st.one_of(st.integers(), st.text(max_size=4), st.binary(max_size=4)).filter(
    lambda key: not isinstance(key, int) or key.bit_length() <= 256
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(keys, inner, max_size=4),
    ),
    max_leaves=12,
)


def same(left: object, right: object) -> bool:
    """Equal including types: 1, True and 1.0 are equal in Python."""
    if type(left) is not type(right):
        return False
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return left == right


@given(values)
def test_values_come_back_with_their_types(value: Value) -> None:
    assert same(decode_value(encode_value(value)), value)


@given(st.binary(max_size=40))
def test_what_decodes_has_exactly_this_spelling(data: bytes) -> None:
    try:
        value = decode_value(data)
    except InvalidInput:
        return
    assert encode_value(value) == data


@given(st.dictionaries(st.text(max_size=4), st.integers(0, 9), max_size=6))
def test_the_order_in_which_a_map_was_filled_does_not_show(entries: dict[str, int]) -> None:
    backwards = dict(reversed(entries.items()))
    assert encode_arguments(entries) == encode_arguments(backwards)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", Code.MALFORMED),
        (b"\xc1", Code.MALFORMED),
        (b"\x01\x02", Code.MALFORMED),  # trailing byte
        (b"\xcc\x01", Code.NOT_CANONICAL),  # 1 in two bytes
        (b"\xd1\x00\x01", Code.NOT_CANONICAL),
        (b"\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00", Code.MALFORMED),  # 1.0
        (b"\xd9\x01a", Code.NOT_CANONICAL),
        (b"\xa1\xff", Code.MALFORMED),  # not UTF-8
        (b"\x82\xa1b\x01\xa1a\x02", Code.NOT_CANONICAL),  # keys out of order
        (b"\x82\xa1a\x01\xa1a\x02", Code.NOT_CANONICAL),  # a key twice
        (b"\x82\x01\xa1a\xc3\xa1b", Code.NOT_CANONICAL),  # 1 and True are one key in Python
        (b"\xd4\x01\x05", Code.NOT_CANONICAL),  # a small integer in the big form
        (b"\xd4\x09\x05", Code.MALFORMED),  # unknown extension
        (b"\xd5\x02\x00\x05", Code.NOT_CANONICAL),  # a decimal with a needless byte
        (b"\xd4\x03\x05", Code.MALFORMED),  # a tuple that is none
        (b"\x91" * 40 + b"\x01", Code.TOO_DEEP),
    ],
)
def test_other_spellings_are_refused(data: bytes, code: Code) -> None:
    with pytest.raises(InvalidInput) as caught:
        decode_value(data)
    assert caught.value.code is code


def test_depth_and_size_are_bounded_both_ways() -> None:
    deep: Value = 1
    for _ in range(VALUE_DEPTH_MAX):
        deep = [deep]
    assert decode_value(encode_value(deep)) == deep
    with pytest.raises(Misuse) as caught:
        encode_value([deep])
    assert caught.value.code is Code.TOO_DEEP
    with pytest.raises(Misuse) as caught:
        encode_value(bytes(VALUE_BYTES_MAX))
    assert caught.value.code is Code.TOO_LARGE
    with pytest.raises(InvalidInput) as refused:
        decode_value(b"\x01\x01", size_max=1)
    assert refused.value.code is Code.TOO_LARGE
    for strange in (2**256, -(2**256), 1.5, {1}, object(), "\ud800"):
        with pytest.raises(Misuse):
            encode_value(strange)  # type: ignore[arg-type]
    assert decode_value(encode_value(-(2**255))) == -(2**255)


votes = st.builds(
    Vote,
    kind=st.sampled_from(VoteKind),
    epoch=st.integers(0, 2**64 - 1),
    slot=st.integers(0, 2**64 - 1),
    block=st.binary(max_size=32),
)


@given(votes, st.integers(0, 200), st.binary(max_size=64))
def test_records_come_back_and_msgpack_reads_the_same(
    vote: Vote, validator: int, signature: bytes
) -> None:
    record = SignedVote(vote=vote, validator=validator, signature=signature)
    data = encode(record)
    assert decode(SignedVote, data) == record
    # The second library is the first one's oracle.
    plain = [[int(vote.kind), vote.epoch, vote.slot, vote.block], validator, signature]
    assert msgpack.unpackb(data, raw=False) == plain
    assert msgpack.packb(plain, use_bin_type=True) == data


@given(st.binary(max_size=60))
def test_random_bytes_are_a_record_only_in_its_one_spelling(data: bytes) -> None:
    try:
        record = decode(Vote, data)
    except InvalidInput:
        return
    assert encode(record) == data


@pytest.mark.parametrize(
    "plain",
    [
        [1, 0, 1],  # a field too few
        [1, 0, 1, b"", 5],  # a field too many
        [9, 0, 1, b""],  # no such kind
        [1, -1, 1, "text"],  # a wrong type
        [1, 0, 1.0, b""],
        {"kind": 1},
        None,
    ],
)
def test_other_shapes_are_no_record(plain: object) -> None:
    with pytest.raises(InvalidInput) as caught:
        decode(Vote, msgpack.packb(plain))
    assert caught.value.code is Code.MALFORMED
    with pytest.raises(InvalidInput) as caught:
        decode(Vote, bytes(100), size_max=99)
    assert caught.value.code is Code.TOO_LARGE


@given(st.lists(scalars, max_size=20))
def test_a_list_is_its_header_and_its_items(items: list[Value]) -> None:
    header = msgpack.Packer().pack_array_header(len(items))
    assert encode_value(items) == header + b"".join(encode_value(item) for item in items)


@pytest.mark.parametrize("wrap", [lambda value: [value], lambda value: {"k": value}])
def test_every_kind_of_nesting_has_the_same_bound(wrap: Callable[[Value], Value]) -> None:
    value: Value = wrap(1)
    for _ in range(VALUE_DEPTH_MAX - 1):
        value = wrap(value)
    assert decode_value(encode_value(value)) == value
    for empty in ([], {}, ()):
        deepest: Value = empty
        for _ in range(VALUE_DEPTH_MAX):
            deepest = wrap(deepest)
        assert encode_value(deepest)
    for too_deep in (wrap(value), wrap(wrap(value))):
        with pytest.raises(Misuse) as caught:
            encode_value(too_deep)
        assert caught.value.code is Code.TOO_DEEP


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 8, 9, 16, 17, 255, 256, 65_535, 65_536])
def test_extensions_have_the_form_that_the_library_gives_them(size: int) -> None:
    value: Value = (bytes(size),)
    content = msgpack.packb([bytes(size)])
    assert encode_value(value) == msgpack.packb(msgpack.ExtType(3, content))
    assert decode_value(encode_value(value)) == value


@given(integers)
def test_decimals_have_the_form_that_the_library_gives_them(scaled: int) -> None:
    length = ((scaled if scaled >= 0 else scaled + 1).bit_length()) // 8 + 1
    content = scaled.to_bytes(length, "big", signed=True)
    assert encode_value(Dec(scaled)) == msgpack.packb(msgpack.ExtType(2, content))


@given(
    st.lists(
        st.tuples(st.text(max_size=40), st.one_of(st.integers(-5, 2**64), st.text(max_size=3))),
        max_size=4,
        unique_by=lambda entry: entry[0],
    )
)
def test_named_plain_values_decode_in_their_one_order_only(
    entries: list[tuple[str, Value]],
) -> None:
    wanted: Value = dict(entries)  # type: ignore[arg-type] # str is a key
    right = encode_value(wanted)
    try:
        given_order = msgpack.packb(dict(entries), use_bin_type=True)
    except OverflowError:
        given_order = right
    assert decode_value(right) == wanted
    if given_order != right:
        with pytest.raises(InvalidInput):
            decode_value(given_order)


@given(st.lists(st.tuples(st.integers(0, 2**63), st.binary(max_size=40)), max_size=20))
def test_leaves_decoded_at_once_are_those_decoded_one_by_one(
    votes: list[tuple[int, bytes]],
) -> None:
    leaves = [encode(Vote(VoteKind.FINAL, 0, slot, block)) for slot, block in votes]
    assert decode_certified(Vote, leaves) == tuple(decode(Vote, leaf) for leaf in leaves)


@pytest.mark.parametrize(
    "leaves", [[b""], [b"\x90"], [encode(Vote(VoteKind.SKIP, 0, 1, b"")), b"x"]]
)
def test_leaves_of_another_shape_are_refused(leaves: list[bytes]) -> None:
    with pytest.raises(InvalidInput) as caught:
        decode_certified(Vote, leaves)
    assert caught.value.code is Code.MALFORMED

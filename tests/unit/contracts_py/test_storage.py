"""The short ways of storage give the codec's own bytes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from andon.core.codec import Dec, Value, decode_value, encode_value
from contracts_py.engine.storage import pack, unpack

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**256) + 1, 2**256 - 1),
    st.text(max_size=20),
    st.binary(max_size=20),
    st.builds(Dec, st.integers(-(2**200), 2**200)),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=10,
)


@given(VALUES)
def test_pack_is_encode_value_and_unpack_is_its_inverse(value: Value) -> None:
    data = pack(value)
    assert data == encode_value(value)
    assert unpack(data) == decode_value(data) == value
    assert type(unpack(data)) is type(value)

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from andon.core.codec import Dec, Value, encode_value
from andon.core.errors import Code, InvalidInput
from andon.core.json_value import dec_from_text, dec_to_text, value_from_json, value_to_json

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**200), 2**200)
    | st.text(max_size=8)
    | st.binary(max_size=8)
    | st.builds(Dec, st.integers(-(10**30), 10**30))
)
KEYS = SCALARS | st.tuples(st.integers(0, 9), st.text(max_size=3))
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=4), inner, max_size=3)
        | st.dictionaries(KEYS, inner, max_size=2)
    ),
    max_leaves=8,
)


@given(VALUES)
def test_every_value_survives_json(value: Value) -> None:
    text = json.dumps(value_to_json(value))
    assert encode_value(value_from_json(json.loads(text))) == encode_value(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Dec(0), "0"),
        (Dec(-5 * 10**17), "-0.5"),
        (Dec(125 * 10**17), "12.5"),
        (Dec(1), "0." + "0" * 17 + "1"),
    ],
)
def test_decimals_are_written_exactly(value: Dec, text: str) -> None:
    assert dec_to_text(value) == text
    assert dec_from_text(text) == value


@pytest.mark.parametrize(
    "document",
    [
        1.5,
        {"$bytes": "12"},
        {"$bytes": 3},
        {"$dec": "1e5"},
        {"$int": "0x10"},
        {"$what": 1},
        {"$map": [[1]]},
        {"$map": [[1, 2], [1, 3]]},
        {"$map": [[[1], 2]]},
        {"$bytes": "0x00", "a": 1},
    ],
)
def test_what_is_no_value_is_refused(document: object) -> None:
    with pytest.raises(InvalidInput) as caught:
        value_from_json(document)
    assert caught.value.code is Code.MALFORMED


def test_depth_is_bounded() -> None:
    document: object = 1
    for _ in range(20):
        document = [document]
    with pytest.raises(InvalidInput) as caught:
        value_from_json(document)
    assert caught.value.code is Code.TOO_DEEP

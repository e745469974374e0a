"""State keys: one layout, no two meanings, bounded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from andon.core.errors import Code, InvalidInput
from andon.core.state_key import STATE_KEY_BYTES_MAX, is_name, state_key, state_prefix

names = st.from_regex(r"[a-z][a-z0-9_]{0,5}", fullmatch=True)
entry_keys = st.one_of(st.none(), st.integers(0, 5), st.text(max_size=3), st.binary(max_size=3))
places = st.tuples(names, names, entry_keys)


@given(places, places)
def test_different_places_have_different_keys(left: tuple, right: tuple) -> None:
    assert (state_key(*left) == state_key(*right)) == (left == right)
    assert state_key(*left).startswith(state_prefix(*left[:2]))
    # A Var is no entry of a Map of the same name, not even of the key None.
    assert state_key(*left[:2]) != state_key(*left)


def test_the_layout_is_as_documented() -> None:
    assert state_key("identity", "validators") == b"identity\0validators\0"
    assert state_key("models", "aliases", "rul") == b"models\0aliases\0\xa3rul"


def test_bad_names_and_long_keys_are_refused() -> None:
    for bad in ("", "A", "1a", "a-b", "a\n", "a" * 33, "ä"):
        assert not is_name(bad)
        with pytest.raises(InvalidInput) as caught:
            state_key(bad, "x")
        assert caught.value.code is Code.MALFORMED
    with pytest.raises(InvalidInput) as caught:
        state_key("a", "b", bytes(STATE_KEY_BYTES_MAX))
    assert caught.value.code is Code.TOO_LARGE
    assert len(state_key("a", "b", bytes(400))) <= STATE_KEY_BYTES_MAX

"""What a store names is found wherever it stands."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.storage.references import WINDOW_BYTES, Names

DIGESTS = st.binary(min_size=32, max_size=32)


def forms(digest: bytes) -> tuple[bytes, ...]:
    return digest, digest.hex().encode(), digest.hex().upper().encode()


@given(
    st.lists(DIGESTS, min_size=1, max_size=8, unique=True),
    st.lists(st.tuples(st.integers(0, 7), st.integers(0, 2), st.binary(max_size=200)), max_size=12),
    st.binary(max_size=64),
)
def test_every_digest_is_found_in_each_form_at_each_offset_and_no_other(
    digests: list[bytes], places: list[tuple[int, int, bytes]], tail: bytes
) -> None:
    data = tail
    for number, form, before in places:
        data = before + forms(digests[number % len(digests)])[form] + data
    expected = {d for d in digests if any(form in data for form in forms(d))}
    for few in (0, len(digests)):  # by words, and one by one
        names = Names(digests, few)
        assert names.look(data) == expected
        assert names.missing == set(digests) - expected
        assert names.look(data) == set()


@given(st.integers(-48, 48), st.integers(0, 2), st.integers(1, 2))
def test_a_digest_across_the_edge_of_a_window_is_found(offset: int, form: int, window: int) -> None:
    digest = bytes(range(100, 132))
    at = window * WINDOW_BYTES + offset
    text = forms(digest)[form]
    data = bytes(at) + text + bytes(3)
    assert Names([digest], few=0).look(data) == {digest}
    assert Names([digest], few=0).look(data[: at + len(text) - 1]) == set()


def test_half_a_digest_is_none() -> None:
    digest = bytes(range(32))
    for few in (0, 1):
        assert Names([digest], few).look(digest[:31]) == set()
        assert Names([digest], few).look(digest[8:] + digest[:8]) == set()
        assert Names([], few).look(digest) == set()

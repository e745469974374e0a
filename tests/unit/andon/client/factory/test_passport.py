"""Files that are no passports."""

from __future__ import annotations

import pytest

from andon.client.factory.passport import BYTES_MAX, decode_passport
from andon.core.errors import Code, InvalidInput


@pytest.mark.parametrize("data", [b"", b"\x94\xa1\xff\x90\x90\x90", b"\xc1", b"\x91" * 100_000])
def test_bytes_that_are_no_passport_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput) as caught:
        decode_passport(data)
    assert caught.value.code is Code.MALFORMED


def test_a_file_beyond_the_bound_is_refused_unread() -> None:
    with pytest.raises(InvalidInput) as caught:
        decode_passport(bytes(BYTES_MAX + 1))
    assert caught.value.code is Code.TOO_LARGE

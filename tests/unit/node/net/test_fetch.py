"""What peers say of sizes; the requests themselves are tried in test_network.py."""

import pytest

from andon.core.errors import InvalidInput
from node.net.fetch import _total
from node.net.server import TOTAL_HEADER
from node.storage import BLOB_BYTES_MAX


def test_a_size_within_the_bound_is_taken() -> None:
    assert _total({TOTAL_HEADER: "17"}, 17) == 17
    assert _total({TOTAL_HEADER: str(BLOB_BYTES_MAX)}, BLOB_BYTES_MAX) == BLOB_BYTES_MAX


@pytest.mark.parametrize(
    "text", ["18", "", "-1", "1e3", "0" * 18 + "9" * 30, "0" * 18 + "9" * 5000]
)
def test_any_other_is_refused_and_ends_nothing(text: str) -> None:
    with pytest.raises(InvalidInput):
        _total({TOTAL_HEADER: text}, 17)


def test_no_size_is_refused() -> None:
    with pytest.raises(InvalidInput):
        _total({}, 17)

from pathlib import Path

import pytest

from andon.core.errors import Code, Misuse
from node.checkout import check_checkout


def test_this_checkout_is_accepted() -> None:
    check_checkout()


def test_rooms_from_elsewhere_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Misuse) as error:
        check_checkout(tmp_path)
    assert error.value.code is Code.BAD_CONFIG
    assert str(tmp_path) in error.value.message

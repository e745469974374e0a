import os
from pathlib import Path

import pytest

from andon.core.errors import Code, Unavailable
from node.lock import locked


def test_a_second_holder_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    with locked(tmp_path / "lock"):
        with pytest.raises(Unavailable) as error, locked(tmp_path / "lock"):
            pass
        assert error.value.code is Code.LOCKED
        assert str(os.getpid()) in error.value.message


def test_the_lock_is_free_again_afterwards(tmp_path: Path) -> None:
    for _ in range(2):
        with locked(tmp_path / "lock"):
            assert (tmp_path / "lock").read_text().strip() == str(os.getpid())

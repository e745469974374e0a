"""`andon fl` before it speaks to a network: what is given wrongly is refused by name."""

import pytest

from andon.cli.fl import _sized
from andon.core.errors import InvalidInput

from .conftest import Andon


def test_a_member_may_be_given_with_its_records() -> None:
    assert _sized("org-1-operator") == ("org-1-operator", None)
    assert _sized("0x0a=1200") == ("0x0a", 1200)
    for word in ("me=", "me=many", "me=-1", "me=1=2"):
        with pytest.raises(InvalidInput, match="KEY=RECORDS"):
            _sized(word)


def test_an_unknown_strategy_is_refused_with_the_known_ones(andon: Andon) -> None:
    words = ("--initial", "nowhere:initial", "--member", "me", "--strategy", "sgd")
    result = andon("fl", "create", "run", *words, "--from", "me")
    assert result.code != 0
    assert "scaffold" in result.err


def test_nobody_joins_or_leaves_a_run_that_is_not_there(andon: Andon) -> None:
    for verb in ("join", "leave", "status"):
        sender = () if verb == "status" else ("--from", "me")
        result = andon("fl", verb, "nothing", *sender)
        assert result.code != 0
        assert "there is no run nothing" in result.err

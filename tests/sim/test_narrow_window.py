"""Whole networks whose validators forget the middle at once (R20): every property still holds."""

from __future__ import annotations

import pytest

from consensus import bft
from consensus.bft import votes, window
from node.testing.sim.campaign import run_seeds

SEEDS = 8


def test_every_property_holds_where_the_window_is_as_narrow_as_can_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drops = 0
    drop_middle = window.drop_middle

    def counted(state: bft.State, final_slot: int, out: list[bft.Effect]) -> None:
        nonlocal drops
        before = state.sign_floor
        drop_middle(state, final_slot, out)
        drops += state.sign_floor > before

    monkeypatch.setattr(window, "ENDS_SLOTS", 1)
    monkeypatch.setattr(window, "GAP_SLOTS", 1)
    monkeypatch.setattr(votes, "drop_middle", counted)
    summary = run_seeds(range(SEEDS))
    assert summary.failures == []
    assert drops > 0

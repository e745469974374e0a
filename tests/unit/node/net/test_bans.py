from pathlib import Path

import pytest

from node.net.bans import load_bans, save_bans
from node.net.limits import BAN_MAX_S, BAN_MEMORY_S, BAN_S, SCORE_BAN, Ban, PeerScores

PEER = b"\x01" * 32


def banned(now_s: float) -> PeerScores:
    scores = PeerScores()
    assert scores.punish(PEER, SCORE_BAN, "x", now_s)
    return scores


def test_a_ban_outlives_the_process_and_its_monotonic_clock(tmp_path: Path) -> None:
    save_bans(tmp_path / "bans.json", banned(5000.0), 5001.0)
    later = PeerScores()
    assert load_bans(tmp_path / "bans.json", later, 7.0) == 1
    assert later.is_banned(PEER, 8.0)
    assert not later.is_banned(PEER, 7.0 + BAN_S + 1)


def test_the_next_ban_after_a_restart_is_longer(tmp_path: Path) -> None:
    save_bans(tmp_path / "bans.json", banned(0.0), 1.0)
    later = PeerScores()
    load_bans(tmp_path / "bans.json", later, 0.0)
    later.punish(PEER, SCORE_BAN, "again", 100.0)
    assert later.is_banned(PEER, 100.0 + 2 * BAN_S - 1)


def test_a_ban_that_has_ended_bans_nobody_and_makes_the_next_one_longer(tmp_path: Path) -> None:
    save_bans(tmp_path / "bans.json", banned(0.0), BAN_S + 1)
    later = PeerScores()
    assert load_bans(tmp_path / "bans.json", later, 0.0) == 0
    assert not later.is_banned(PEER, 0.0)
    later.punish(PEER, SCORE_BAN, "again", 100.0)
    assert later.is_banned(PEER, 100.0 + 2 * BAN_S - 1)


def test_a_ban_of_long_ago_is_forgotten(tmp_path: Path) -> None:
    scores = banned(0.0)
    assert scores.bans(BAN_S + BAN_MEMORY_S + 1) == []
    save_bans(tmp_path / "bans.json", scores, BAN_S + BAN_MEMORY_S + 1)
    later = PeerScores()
    load_bans(tmp_path / "bans.json", later, 0.0)
    assert later.bans(0.0) == []


def test_a_clock_that_was_wrong_cannot_ban_for_ever(tmp_path: Path) -> None:
    scores = PeerScores()
    scores.restore(Ban(peer=PEER, until_s=10.0**9, count=1))
    save_bans(tmp_path / "bans.json", scores, 0.0)
    later = PeerScores()
    load_bans(tmp_path / "bans.json", later, 0.0)
    assert not later.is_banned(PEER, BAN_MAX_S + 1)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'[{"peer":"zz","until_ms":1,"bans":1}]'])
def test_a_damaged_file_bans_nobody(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bans.json").write_bytes(content)
    assert load_bans(tmp_path / "bans.json", PeerScores(), 0.0) == 0


def test_a_missing_file_bans_nobody(tmp_path: Path) -> None:
    assert load_bans(tmp_path / "none.json", PeerScores(), 0.0) == 0

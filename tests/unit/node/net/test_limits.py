import pytest

from node.net.limits import (
    BAN_MAX_S,
    BAN_S,
    RECORDS_MAX,
    SCORE_BAN,
    Backoff,
    Ban,
    PeerScores,
    TokenBucket,
)


def test_a_burst_passes_at_once_and_the_rest_waits() -> None:
    bucket = TokenBucket(rate_per_s=10, burst=5, now_s=0.0)
    assert bucket.take(5, 0.0) == 0.0
    assert bucket.take(1, 0.0) == pytest.approx(0.1)
    assert bucket.take(1, 0.2) == 0.0


def test_a_bucket_never_holds_more_than_its_burst() -> None:
    bucket = TokenBucket(rate_per_s=10, burst=5, now_s=0.0)
    assert bucket.take(6, 1000.0) > 0.0


def test_a_peer_is_banned_at_the_limit_and_free_again_later() -> None:
    scores = PeerScores()
    assert not scores.punish(b"p", SCORE_BAN - 1, "x", 0.0)
    assert not scores.is_banned(b"p", 0.0)
    assert scores.punish(b"p", 1, "x", 0.0)
    assert scores.is_banned(b"p", BAN_S - 1)
    assert not scores.is_banned(b"p", BAN_S + 1)


def test_every_further_ban_lasts_twice_as_long() -> None:
    scores = PeerScores()
    scores.punish(b"p", SCORE_BAN, "x", 0.0)
    scores.punish(b"p", SCORE_BAN, "x", 100.0)
    assert scores.is_banned(b"p", 100.0 + 2 * BAN_S - 1)
    assert not scores.is_banned(b"p", 100.0 + 2 * BAN_S + 1)


def test_a_banned_peer_is_not_judged_for_what_it_sent_before() -> None:
    scores = PeerScores()
    assert scores.punish(b"p", SCORE_BAN, "x", 0.0)
    assert not any(scores.punish(b"p", SCORE_BAN, "x", 1.0) for _ in range(20_000))
    assert not scores.is_banned(b"p", BAN_S + 1)


def test_bans_without_end_are_counted_no_further_than_they_matter() -> None:
    scores, now_s = PeerScores(), 0.0
    for _ in range(1_100):
        assert scores.punish(b"p", SCORE_BAN, "x", now_s)
        now_s += BAN_MAX_S + 1
    again = PeerScores()
    again.restore(Ban(peer=b"p", until_s=0.0, count=10**6))
    assert again.punish(b"p", SCORE_BAN, "x", 1.0)
    assert again.is_banned(b"p", BAN_MAX_S)


def test_score_decays_so_that_rare_faults_never_ban() -> None:
    scores = PeerScores()
    assert not any(scores.punish(b"p", 10, "x", 60.0 * n) for n in range(50))


def test_the_table_of_scores_is_bounded() -> None:
    scores = PeerScores()
    for n in range(RECORDS_MAX + 10):
        scores.punish(n.to_bytes(4, "big"), 10, "x", 0.0)
    assert scores.score((0).to_bytes(4, "big"), 0.0) == 0.0
    assert scores.score((RECORDS_MAX + 9).to_bytes(4, "big"), 0.0) == 10.0


def test_backoff_doubles_up_to_its_cap_and_resets() -> None:
    backoff = Backoff(first_s=0.1, max_s=1.0)
    assert [backoff.next_s(1.0) for _ in range(5)] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.0])
    assert backoff.next_s(0.0) == pytest.approx(0.5)
    backoff.reset()
    assert backoff.next_s(1.0) == pytest.approx(0.1)

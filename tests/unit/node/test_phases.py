"""The clock of a node's phases."""

from node.phases import COMMIT, VOTES, Lap


def test_a_lap_measures_phases_that_follow_each_other() -> None:
    seen: list[tuple[str, float]] = []
    lap = Lap(lambda phase, seconds: seen.append((phase, seconds)))
    lap(VOTES)
    lap(COMMIT)
    assert [phase for phase, _ in seen] == [VOTES, COMMIT]
    assert all(seconds >= 0 for _, seconds in seen)

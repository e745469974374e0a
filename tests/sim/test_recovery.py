"""Restarts, long gaps and lost quorums: the network goes on by itself, and soon."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from node.testing.sim import World, quiet

MS = 1000
SKIP_TIMEOUT_MAX_MS = 4000  # of simulated worlds


class Drill:
    """A quiet world whose processes are stopped and started by hand."""

    def __init__(self, *, nodes: int = 4) -> None:
        self.world = World(replace(quiet(1, nodes=nodes), heights=10**6))
        self.world.is_faulty = False

    def reach(self, height: int, within_ms: int, nodes: tuple[int, ...] | None = None) -> int:
        """Run until these nodes have a height; gives the time it took."""
        start_us = self.world.now_us
        until_ms = start_us // MS + within_ms
        chosen = nodes if nodes is not None else tuple(range(len(self.world.nodes)))
        assert self.world._run_until(lambda: self._least(chosen) >= height, until_ms), (
            f"heights {[self.height(n) for n in chosen]}, wanted {height} in {within_ms} ms"
        )
        return (self.world.now_us - start_us) // MS

    def idle(self, for_ms: int) -> None:
        """Let time pass."""
        is_never: Callable[[], bool] = lambda: False  # noqa: E731
        self.world._run_until(is_never, self.world.now_us // MS + for_ms)

    def stop(self, *nodes: int) -> None:
        for node in nodes:
            self.world.nodes[node] = None

    def start(self, *nodes: int) -> None:
        for node in nodes:
            self.world._boot(node)

    def height(self, node: int) -> int:
        return len(self.world._disks[node].finals)

    def _least(self, nodes: tuple[int, ...]) -> int:
        return min(self.height(node) for node in nodes)


def test_a_restart_of_the_whole_network_goes_on_within_two_timeouts() -> None:
    drill = Drill()
    drill.reach(10, 10_000)
    for round_number in range(5):
        best = max(drill.height(node) for node in range(4))
        drill.stop(0, 1, 2, 3)
        drill.start(0, 1, 2, 3)
        assert drill.reach(best + 1, 2 * SKIP_TIMEOUT_MAX_MS) <= 2 * SKIP_TIMEOUT_MAX_MS
        drill.idle(37 * round_number)  # the next blow falls elsewhere in a slot


def test_a_rolling_restart_never_stops_the_network() -> None:
    drill = Drill()
    drill.reach(5, 10_000)
    for node in range(4):
        drill.stop(node)
        others = tuple(other for other in range(4) if other != node)
        drill.reach(max(drill.height(other) for other in others) + 3, 10_000, others)
        drill.start(node)
        drill.reach(max(drill.height(other) for other in others) + 3, 10_000)


def test_without_a_quorum_nothing_is_final_and_with_it_again_all_goes_on() -> None:
    drill = Drill()
    drill.reach(5, 10_000)
    drill.stop(0, 1)
    drill.idle(2_000)
    before = [drill.height(node) for node in range(4)]
    drill.idle(60_000)
    assert [drill.height(node) for node in range(4)] == before
    drill.start(0)
    took_ms = drill.reach(max(before) + 1, 2 * SKIP_TIMEOUT_MAX_MS + 2_000, (0, 2, 3))
    assert took_ms <= 2 * SKIP_TIMEOUT_MAX_MS + 2_000


def test_a_network_that_starts_one_by_one_starts() -> None:
    drill = Drill()
    drill.idle(25)
    drill.stop(1, 2, 3)
    for node in (1, 2, 3):
        drill.idle(9_000)
        drill.start(node)
    drill.reach(3, 3 * SKIP_TIMEOUT_MAX_MS)


def test_a_validator_a_thousand_blocks_behind_votes_again_within_ten_seconds() -> None:
    drill = Drill()
    drill.reach(3, 10_000)
    drill.stop(3)
    drill.reach(1_000, 600_000, (0, 1, 2))
    drill.start(3)
    drill.reach(1_000, 10_000)
    signed = drill.world.nodes[3]
    assert signed is not None
    before = signed.disk.sign_state.position
    drill.idle(2_000)
    assert signed.disk.sign_state.position > before
    assert signed.disk.sign_state.entries[-1].notar is not None


def test_a_third_of_the_validators_down_costs_no_more_than_their_turns() -> None:
    whole, part = Drill(nodes=7), Drill(nodes=7)
    part.stop(5, 6)
    part.idle(25)
    part.stop(5, 6)
    part.reach(40, 120_000, (0, 1, 2, 3, 4))
    whole.reach(40, 120_000)
    # Silent leaders are skipped fast (R12): the next forty take less than half a second a turn.
    took_ms = part.reach(80, 60_000, (0, 1, 2, 3, 4))
    assert took_ms < 40 * 150

"""Validation slower than timeouts, certificates that one node alone holds, each message lost."""

from __future__ import annotations

import pytest

from andon.core.certificate import VoteKind
from andon.core.wire import CertificateMessage, VoteMessage
from node.testing.sim.drill import Drill
from node.testing.sim.messages import SimMessage

SKIP_TIMEOUT_MS, SKIP_TIMEOUT_MAX_MS = 500, 4000  # of simulated worlds


@pytest.mark.parametrize("validate_ms", [2 * SKIP_TIMEOUT_MS, 3 * SKIP_TIMEOUT_MAX_MS])
def test_one_validator_that_is_slower_than_timeouts_stops_nobody(validate_ms: int) -> None:
    drill = Drill()
    drill.reach(5, 10_000)
    drill.slow(validate_ms, 2)
    # Its own turns are lost or late, the others' are not: a quorum is as fast as ever.
    drill.reach(45, 60_000, (0, 1, 3))
    drill.slow(3, 2)
    drill.reach(drill.best + 3, 2 * SKIP_TIMEOUT_MAX_MS)


@pytest.mark.parametrize("nodes", [(1, 3), (0, 1, 2, 3)])
def test_timeouts_grow_until_slow_validators_can_follow(nodes: tuple[int, ...]) -> None:
    drill = Drill()
    drill.reach(5, 10_000)
    drill.slow(3 * SKIP_TIMEOUT_MS, *nodes)
    drill.reach(drill.best + 5, 120_000)


def test_two_of_four_that_never_validate_in_time_leave_their_own_turns() -> None:
    drill = Drill()
    drill.reach(5, 10_000)
    drill.slow(20 * SKIP_TIMEOUT_MAX_MS, 1, 3)
    # Each of the two knows its own block: with the two fast ones that is a quorum in its turns.
    drill.reach(drill.best + 20, 120_000)


@pytest.mark.parametrize("nodes", [(0, 1, 3), (0, 1, 2, 3)])
def test_a_network_too_slow_for_the_greatest_timeout_stands_still_and_goes_on_when_faster(
    nodes: tuple[int, ...],
) -> None:
    drill = Drill()
    drill.reach(5, 10_000)
    drill.slow(12 * SKIP_TIMEOUT_MAX_MS, *nodes)
    drill.idle(10_000)
    stood = drill.best
    drill.idle(100_000)
    # A block may become final late, by Final votes for an old slot. It is no livelock and no fork.
    assert drill.best <= stood + 4
    drill.slow(3, *nodes)
    # What is being validated when the trouble ends takes its time once more.
    drill.reach(drill.best + 2, 14 * SKIP_TIMEOUT_MAX_MS)
    drill.reach(drill.best + 10, 2 * SKIP_TIMEOUT_MAX_MS)


@pytest.mark.parametrize("holder", range(4))
def test_a_certificate_that_one_node_alone_holds_does_not_stop_the_others(holder: int) -> None:
    drill = Drill(seed=holder)
    drill.reach(5, 10_000)
    others = tuple(node for node in drill.all if node != holder)
    # Everybody is heard by the holder alone, and the holder by nobody: only it can count a quorum.
    drill.block(*((a, b) for a in others for b in others), *((holder, node) for node in others))
    drill.idle(20_000)
    held = drill.world.nodes[holder]
    assert held is not None
    alone = held.state.slot
    slots = [node.state.slot for node in drill.world.nodes if node is not None]
    assert alone == max(slots)
    assert min(slots) < alone
    # Then the holder is gone too: three remain, and lack what it knows.
    drill.stop(holder)
    drill.heal()
    drill.reach(drill.best + 3, 3 * SKIP_TIMEOUT_MAX_MS, others)
    drill.start(holder)
    drill.reach(drill.best + 1, 2 * SKIP_TIMEOUT_MAX_MS)


class LoseOne:
    """Loses the message of this number on its one link; what is said again later passes."""

    def __init__(self, number: int) -> None:
        self._left = number
        self.lost: SimMessage | None = None

    def delay_ms(self, now_ms: int, source: int, target: int, message: SimMessage) -> int | None:
        del now_ms, source, target
        self._left -= 1
        if self._left == 0:
            self.lost = message
            return None
        return 0


def test_no_single_message_is_needed() -> None:
    lost: list[SimMessage] = []
    for number in range(1, 330, 5):
        script = LoseOne(number)
        drill = Drill(seed=3, script=script)
        drill.reach(8, 2 * SKIP_TIMEOUT_MAX_MS)
        assert script.lost is not None
        lost.append(script.lost)
    kinds = {type(message).__name__ for message in lost}
    assert {"VoteMessage", "CertificateMessage", "Proposal"} <= kinds
    votes = {message.vote.vote.kind for message in lost if isinstance(message, VoteMessage)}
    assert {VoteKind.NOTAR, VoteKind.FINAL} <= votes
    certified = {m.certificate.vote.kind for m in lost if isinstance(m, CertificateMessage)}
    assert {VoteKind.NOTAR, VoteKind.FINAL} <= certified

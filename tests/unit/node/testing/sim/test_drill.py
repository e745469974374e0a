"""Moving a simulated network by hand does not change what happens in between."""

from __future__ import annotations

from node.testing.sim.drill import Drill


def test_stopping_to_look_changes_nothing() -> None:
    whole, pieces = Drill(seed=5), Drill(seed=5)
    whole.idle(1_000)
    for _ in range(1_000):
        pieces.idle(1)
    assert whole.best > 10
    assert whole.world.checkers.trace_digest() == pieces.world.checkers.trace_digest()


def test_nothing_is_final_while_a_cut_leaves_no_quorum() -> None:
    drill = Drill(seed=6)
    drill.reach(3, 10_000)
    drill.cut((0, 1), (2, 3))
    drill.idle(1_000)
    stood = [drill.height(node) for node in drill.all]
    drill.idle(20_000)
    assert [drill.height(node) for node in drill.all] == stood
    drill.heal()
    drill.reach(drill.best + 1, 8_000)


def test_a_wiped_disk_has_no_chain_and_still_knows_what_was_signed() -> None:
    drill = Drill(seed=7)
    drill.reach(5, 10_000)
    drill.stop(2)
    signed = drill.world.disks[2].sign_state
    assert signed.position > (0, 0)
    drill.wipe(2)
    assert drill.height(2) == 0
    assert drill.world.disks[2].sign_state == signed

"""The library form of a local network; its processes are tried in tests/integration."""

from pathlib import Path

from node.testing.local_net import LocalNet, NetPlan


def test_a_network_without_a_plan_has_a_folder_of_its_own(tmp_path: Path) -> None:
    first, second = LocalNet(validators=5, seed=3), LocalNet()
    assert (first.plan.validators, first.plan.seed, second.plan.validators) == (5, 3, 4)
    assert first.plan.home != second.plan.home
    assert LocalNet(NetPlan(home=tmp_path)).plan.home == tmp_path

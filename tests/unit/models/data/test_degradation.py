"""The simulator: a function of its seed, with wear that shows in the sensors."""

from __future__ import annotations

import numpy as np
import pytest

from models.data import degradation


def test_the_same_seed_gives_the_same_machine() -> None:
    one, two = degradation.simulate("m", 5), degradation.simulate("m", 5)
    np.testing.assert_array_equal(one.sensors, two.sensors)
    assert not np.array_equal(one.sensors, degradation.simulate("m", 6).sensors[: one.cycles])


def test_machines_live_within_bounds_and_differ() -> None:
    lives = [machine.cycles for machine in degradation.fleet(40, seed=1)]
    assert min(lives) >= degradation.LIFE_MIN
    assert max(lives) <= degradation.LIFE_MAX
    assert len(set(lives)) > 20


@pytest.mark.parametrize(
    ("sensor", "sign"),
    [("bearing_temperature", 1), ("vibration_rms", 1), ("oil_pressure", -1), ("efficiency", -1)],
)
def test_wear_shows_in_the_sensors(sensor: str, sign: int) -> None:
    column = degradation.SENSORS.index(sensor)
    for machine in degradation.fleet(10, seed=2):
        change = machine.sensors[-10:, column].mean() - machine.sensors[:10, column].mean()
        assert change * sign > 0


def test_wear_never_heals() -> None:
    machine = degradation.simulate("m", 9)
    assert (np.diff(machine.wear) >= 0).all()


def test_early_windows_are_padded_in_front() -> None:
    machine = degradation.simulate("m", 3)
    window = degradation.window_at(machine, 5)
    assert window.shape == (30, 8)
    assert (window[:26] == machine.sensors[0]).all()
    np.testing.assert_array_equal(window[-1], machine.sensors[4])


def test_training_windows_are_labelled_with_capped_life() -> None:
    machines = degradation.fleet(3, seed=8)
    windows, rul = degradation.training_windows(machines, stride=1)
    assert len(windows) == sum(machine.cycles - 29 for machine in machines)
    assert rul.max() <= degradation.RUL_CAP
    assert (rul == 0).sum() == 3

"""Histories of engines: windows, the age channel, and features that equal plain formulas."""

from __future__ import annotations

import numpy as np

from models.convert.assemble import Assembly
from models.data import cmapss
from models.recipes import features, turbofan


def engine(cycles: int) -> cmapss.Engine:
    random = np.random.default_rng(cycles)
    sensors = np.cumsum(random.normal(size=(cycles, 14)), axis=0)
    return turbofan.with_age(cmapss.Engine(1, np.zeros((cycles, 3)), sensors, 0))


def test_windows_end_where_asked_and_repeat_the_first_reading_in_front() -> None:
    run = engine(50)
    quantiser = turbofan.turbofan_quantiser([run])
    windows = turbofan.windows_of(quantiser, run, np.array([50, 20]), 30)
    assert windows.shape == (2, 30, 15)
    short = windows[1]
    assert (short[:10] == short[10]).all()
    assert not (short[11] == short[10]).all()
    # The first window starts at cycle 21, one after the end of the second.
    series = turbofan.windows_of(quantiser, run, np.array([50]), 50)[0]
    np.testing.assert_array_equal(windows[0], series[20:])
    np.testing.assert_array_equal(short[10:], series[:20])


def test_the_age_is_a_channel_of_two_cycles_a_step() -> None:
    run = engine(60)
    quantiser = turbofan.turbofan_quantiser([run])
    assert quantiser.channels[-1] == "cycle"
    windows = turbofan.windows_of(quantiser, run, np.array([60, 40]), 30)
    assert (int(windows[0, -1, -1]) - int(windows[1, -1, -1])) == 10


def test_history_features_are_means_slopes_variance_and_age() -> None:
    windows = np.random.default_rng(0).integers(-127, 128, (5, 120, 3)).astype(np.int8)
    assembly = Assembly((120, 3))
    found = assembly.values(windows, features.history_features(assembly))
    sensors = windows[:, :, :2].astype(int)
    count = len(features.MEAN_STEPS) + len(features.SLOPE_STEPS) + 1
    table = found[:, : 2 * count].reshape(5, 2, count)
    for place, run in enumerate(features.MEAN_STEPS):
        np.testing.assert_array_equal(table[:, :, place], sensors[:, -run:].sum(axis=1))
    newest = sensors[:, -30:]
    spread = 30 * (newest**2).sum(axis=1) - newest.sum(axis=1) ** 2
    np.testing.assert_array_equal(found[:, 2 * count : 2 * count + 2], spread)
    np.testing.assert_array_equal(found[:, -1], windows[:, -1, 2])


def test_slopes_do_not_see_a_constant() -> None:
    kernel = features.history_kernel(120)
    slopes = kernel[:, len(features.MEAN_STEPS) : -1].astype(int)
    assert slopes.sum(axis=0).tolist() == [0] * len(features.SLOPE_STEPS)

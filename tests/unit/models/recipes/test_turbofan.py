"""Histories of engines: windows, the age channel, and features that equal plain formulas."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from flax import nnx

from andon.core.errors import Code, InvalidInput
from models.convert.assemble import Assembly
from models.data import cmapss
from models.interpreter import interpret
from models.recipes import features, turbofan
from models.recipes.learners import NetworkLearner, Part, converted, predict


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


WINDOWS = np.random.default_rng(1).integers(-127, 128, (64, 10, 3)).astype(np.int8)


def network(model: str) -> NetworkLearner:
    (learner,) = turbofan.learners(model)
    assert isinstance(learner, NetworkLearner)
    return replace(learner, config=replace(learner.config, epochs=1, batch=32))


def same_as_numpy(part: Part) -> None:
    found = predict(part, WINDOWS[:16], turbofan.GOAL)
    exact = interpret(part.graph, part.tensors, WINDOWS[:16])[:, 0]
    np.testing.assert_array_equal(found, exact / turbofan.GOAL.steps)
    assert len(np.unique(exact)) > 1


@pytest.mark.parametrize("model", ["cnn", "gru", "attention"])
def test_every_network_is_certified_and_its_integers_are_those_of_numpy(model: str) -> None:
    built = network(model).build(WINDOWS.shape[1:], nnx.Rngs(0))
    built.eval()  # type: ignore[no-untyped-call] # untyped in flax
    same_as_numpy(converted(built, WINDOWS, turbofan.GOAL))


def test_a_recurrent_network_is_trained_and_certified() -> None:
    remaining = 60 + WINDOWS[:, -5:, 0].mean(axis=1) / 4
    same_as_numpy(network("lstm").fit(WINDOWS, remaining, turbofan.GOAL, 0))


def test_an_unknown_model_is_refused_before_data_is_read(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no model 'transformer'") as caught:
        turbofan.train(tmp_path, "FD001", "transformer", 0, print)
    assert caught.value.code == Code.BAD_REQUEST


def test_every_named_model_has_learners() -> None:
    assert all(turbofan.learners(model) for model in turbofan.MODELS)

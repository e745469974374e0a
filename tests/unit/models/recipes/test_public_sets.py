"""Parts of the public recipes that need no training: smoothing, images, leakage columns."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
import pytest

from andon.core.errors import Code, InvalidInput
from models import commands
from models.recipes import demand, tabular, vision


def test_smoothing_weights_are_exponential_smoothing() -> None:
    series = np.random.default_rng(0).poisson(1.0, (5, 20)).astype(float)
    level = series[:, 0]
    for month in range(1, 20):
        level = level + demand.ALPHA * (series[:, month] - level)
    np.testing.assert_allclose(demand.smoothed(series), level)
    assert demand.smoothing_weights(36).sum() == pytest.approx(1)


def test_the_scaled_error_of_a_perfect_forecast_is_zero() -> None:
    parts = demand.Parts(np.ones((3, 5)), np.full((3, 12), 2.0), np.array([1.0, 2.0, 4.0]), "")
    assert demand.rmsse(np.full(3, 2.0), parts) == 0
    assert demand.rmsse(np.full(3, 4.0), parts) == pytest.approx((2 + 1 + 0.5) / 3)


def test_leakage_columns_of_ai4i_are_no_inputs() -> None:
    assert {"TWF", "HDF", "PWF", "OSF", "RNF", "Machine failure"}.isdisjoint(tabular.AI4I_INPUTS)


def test_grey_levels_become_operands() -> None:
    images = np.array([[[0, 1, 128, 255]]], np.uint8)
    assert vision.levels(images).ravel().tolist() == [-127, -127, 0, 127]


def test_distortion_keeps_shape_and_differs_by_key() -> None:
    images = jax.numpy.asarray(np.random.default_rng(0).normal(size=(4, 8, 8, 1)))
    one, two = (vision.distort(jax.random.key(seed), images) for seed in (0, 1))
    assert one.shape == images.shape
    assert not np.allclose(one, two)


@pytest.mark.parametrize("name", ["turbofan", "ai4i", "secom", "neu", "carparts", "liveline"])
def test_a_recipe_without_its_data_says_so(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        commands.train(name, tmp_path, tmp_path / "out", seed=0, say=lambda line: None)
    assert caught.value.code is Code.BAD_DATASET


def test_an_unknown_recipe_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        commands.train("nothing", tmp_path, tmp_path, seed=0, say=lambda line: None)
    assert "turbofan" in caught.value.hint

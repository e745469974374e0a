"""What a person changes about networks: refused where there is none, taken where there is one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from flax import nnx

from andon.core.errors import Code, InvalidInput
from models.__main__ import main
from models.recipes import tabular, turbofan
from models.recipes.learners import (
    Goal,
    LinearLearner,
    NetworkLearner,
    late_rows,
    lineage_of,
    predict,
    tuned,
)
from models.recipes.settings import PLAIN, Settings
from models.recipes.texture import TextureLearner
from models.train.fit import FitConfig
from models.train.networks import Perceptron
from models.train.step import Network

INPUTS = np.random.default_rng(0).integers(-127, 128, (200, 4)).astype(np.int8)
LABELS = (INPUTS[:, 0] + INPUTS[:, 1] > 20).astype(np.float64)
PROBABILITY = Goal(kind="classify", low=0.0, high=1.0)


def perceptron(shape: tuple[int, ...], rngs: nnx.Rngs) -> Network:
    return Perceptron(shape[0], hidden=(8,), rngs=rngs)


NETWORK = NetworkLearner("net", perceptron, FitConfig(epochs=6, batch=32, rate=1e-2))


def test_settings_go_to_networks_alone() -> None:
    glm = LinearLearner()
    settings = Settings(epochs=3, precision="bfloat16", patience=2, checkpoints=Path("c"))
    same, network = tuned([glm, NETWORK], settings)
    assert same is glm
    assert isinstance(network, NetworkLearner)
    assert network.checkpoints == Path("c")
    assert network.config == replace(NETWORK.config, epochs=3, precision="bfloat16", patience=2)
    assert tuned([glm], PLAIN) == (glm,)
    with pytest.raises(InvalidInput, match="this trains glm") as caught:
        tuned([glm], settings)
    assert caught.value.code is Code.BAD_REQUEST


@pytest.mark.parametrize(
    "arguments",
    [
        ["carparts", "--patience", "3"],
        ["secom", "--epochs", "3"],
        ["turbofan", "--model", "boosted", "--precision", "bfloat16"],
        ["secom", "--model", "forest"],
    ],
    ids=lambda value: value[0] + value[1],
)
def test_a_recipe_without_a_network_refuses_them_before_data_is_read(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = ["--data", str(tmp_path), "--out", str(tmp_path / "out")]
    assert main(["train", *arguments, *places]) == 2
    assert "BAD_REQUEST" in capsys.readouterr().err


def test_a_tenth_is_held_out_at_the_end_of_the_rows_or_of_each_class() -> None:
    held = late_rows(np.arange(40.0), Goal())
    assert np.flatnonzero(held).tolist() == [36, 37, 38, 39]
    held = late_rows(np.repeat([0.0, 1.0, 2.0], 20), Goal(kind="classes", outputs=3))
    assert np.flatnonzero(held).tolist() == [18, 19, 38, 39, 58, 59]


def test_a_network_tells_what_rounding_cost_and_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    learner = replace(NETWORK, config=replace(NETWORK.config, patience=2), checkpoints=tmp_path)
    first = learner.fit(INPUTS, LABELS, PROBABILITY, 0)
    assert first.notes[0].startswith("loss ")
    files = sorted(tmp_path.iterdir())
    assert files
    second = learner.fit(INPUTS, LABELS, PROBABILITY, 0)
    assert sorted(tmp_path.iterdir()) == files
    for name, tensor in first.tensors.items():
        np.testing.assert_array_equal(tensor, second.tensors[name])
    assert first.floats is not None
    rough, exact = first.floats(INPUTS)[:, 0], predict(first, INPUTS, PROBABILITY)
    assert np.abs(rough - exact).max() < 0.05


def test_two_networks_of_one_recipe_keep_checkpoints_apart(tmp_path: Path) -> None:
    kept = replace(NETWORK, config=replace(NETWORK.config, epochs=1), checkpoints=tmp_path)
    wider = replace(kept, name="wide", build=lambda s, r: Perceptron(s[0], hidden=(9,), rngs=r))
    for learner in (kept, wider):
        learner.fit(INPUTS, LABELS, PROBABILITY, 0)
    found = {path.name.rpartition("-")[0] for path in tmp_path.iterdir()}
    assert found == {"net", "wide"}


def test_lineage_names_the_configuration_of_every_learner() -> None:
    learners = (*turbofan.learners("super"), *tabular.failure_learners(), TextureLearner())
    lineage = lineage_of(learners, (("boosted", 0.25),))
    assert lineage["learner.filter-network"].startswith("epochs=20 batch=256 rate=0.005")
    assert "max_leaf_nodes=12" in lineage["learner.boosted"]
    assert lineage["learner.glm"] == "strength=1.0"
    assert lineage["weight.boosted"] == "0.250000"
    assert all(0 < len(text) <= 512 for text in lineage.values())
    (boosted,) = turbofan.learners("boosted")
    assert boosted.settings().startswith(f"mean of {turbofan.BOOSTERS} HistGradient")

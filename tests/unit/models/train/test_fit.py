"""Training: goes on to the same bits, stops early, spreads over devices, feels the rounding."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from flax import nnx

from andon.core.errors import Code, Corrupt, InvalidInput
from models.environment import xla_flags
from models.train.fit import FitConfig, History, evaluate, fit, squared
from models.train.networks import Perceptron

RANDOM = np.random.default_rng(3)
INPUTS = RANDOM.integers(-127, 128, (192, 5)).astype(np.int8)
TARGETS = (INPUTS[:, :1] * INPUTS[:, 1:2] / 127**2 + 0.3 * INPUTS[:, 2:3] / 127).astype(np.float32)
HELD = (INPUTS[128:], TARGETS[128:])
CONFIG = FitConfig(epochs=6, batch=32, rate=1e-2, average=0.9)


class Killed(Exception):
    """The process ends here."""


def trained(
    config: FitConfig, *, stop: int = -1, checkpoint: Path | None = None, validated: bool = False
) -> tuple[bytes, History]:
    """Weights as bytes after a run, which dies after epoch `stop` if that is given."""
    model = Perceptron(5, hidden=(8,), rngs=nnx.Rngs(config.seed))

    def report(epoch: int, _loss: float) -> None:
        if epoch == stop:
            raise Killed

    history = fit(
        model, INPUTS[:128], TARGETS[:128], config, loss=squared, report=report,
        checkpoint=checkpoint, validation=HELD if validated else None,
    )  # fmt: skip
    return evaluate(model, INPUTS).tobytes(), history


def test_a_killed_run_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    whole, history = trained(CONFIG, validated=True)
    path = tmp_path / "run.checkpoint"
    with pytest.raises(Killed):
        trained(CONFIG, stop=2, checkpoint=path, validated=True)
    again, resumed = trained(CONFIG, checkpoint=path, validated=True)
    assert again == whole
    assert resumed == replace(history, resumed=3)
    assert not list(tmp_path.glob("*.part"))


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.checkpoint"
    trained(replace(CONFIG, epochs=1), checkpoint=path)
    with pytest.raises(InvalidInput) as refused:
        trained(replace(CONFIG, epochs=1, seed=4), checkpoint=path)
    assert refused.value.code is Code.BAD_DATASET


@pytest.mark.parametrize("damage", [b"", b"\x80", b"\xc1", b"\x81\xa3run\x01"])
def test_a_damaged_checkpoint_is_named(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "run.checkpoint"
    path.write_bytes(damage)
    with pytest.raises(Corrupt):
        trained(replace(CONFIG, epochs=1), checkpoint=path)


def test_training_stops_when_validation_has_stopped_to_improve() -> None:
    noise = RANDOM.normal(size=TARGETS.shape).astype(np.float32)
    model = Perceptron(5, hidden=(32,), dropout=0.0, rngs=nnx.Rngs(0))
    config = replace(CONFIG, epochs=60, patience=3, average=0.0)
    history = fit(
        model, INPUTS[:64], noise[:64], config, loss=squared, validation=(INPUTS[64:], noise[64:])
    )
    best = int(np.argmin(history.validation))
    assert history.kept == best
    assert len(history.losses) == best + 1 + config.patience < config.epochs
    found = evaluate(model, INPUTS[64:])
    assert float(np.mean((found - noise[64:]) ** 2)) == pytest.approx(min(history.validation), 1e-4)


def test_bfloat16_products_learn_as_well_and_differ() -> None:
    config = replace(CONFIG, epochs=30)
    wide, narrow = trained(config)[1], trained(replace(config, precision="bfloat16"))[1]
    assert wide.losses != narrow.losses
    assert narrow.losses[-1] == pytest.approx(wide.losses[-1], rel=0.2)
    assert narrow.losses[-1] < 0.5 * narrow.losses[0]


@pytest.mark.parametrize(
    "wrong", [{"precision": "float16"}, {"patience": 2}, {"epochs": 0}, {"batch": 0}]
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(InvalidInput) as refused:
        trained(replace(CONFIG, **wrong))  # type: ignore[arg-type] # the point of the test
    assert refused.value.code is Code.BAD_REQUEST


def test_a_lineage_names_later_settings_only_where_they_are_used() -> None:
    assert "fit.precision" not in CONFIG.lineage()
    assert replace(CONFIG, precision="bfloat16").lineage()["fit.precision"] == "bfloat16"


SPREAD = """
import json, sys
sys.path.insert(0, ".")
import jax
from tests.unit.models.train.test_fit import CONFIG, INPUTS, TARGETS
from flax import nnx
from models.train.devices import all_devices, join_hosts
from models.train.fit import evaluate, fit, squared
from models.train.networks import Perceptron
if len(sys.argv) > 2:
    join_hosts(sys.argv[2], 2, int(sys.argv[1]))
losses = []
for devices in [all_devices()[:1], all_devices()][len(sys.argv) > 2 :]:
    model = Perceptron(5, hidden=(8,), rngs=nnx.Rngs(0))
    found = fit(model, INPUTS[:128], TARGETS[:128], CONFIG, loss=squared, devices=devices,
                validation=(INPUTS[128:], TARGETS[128:]))
    answers = evaluate(model, INPUTS[:4]).tolist()
    losses.append([len(devices), found.losses, found.validation, answers])
print(json.dumps(losses))
"""


def spread_run(
    arguments: tuple[str, ...] = (), flags: tuple[str, ...] = ()
) -> subprocess.Popen[str]:
    given = " ".join([*flags, *xla_flags("0.10.2", "cpu")])
    return subprocess.Popen(
        [sys.executable, "-c", SPREAD, *arguments], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "XLA_FLAGS": given, "JAX_PLATFORMS": "cpu"},
    )  # fmt: skip


@pytest.mark.slow
def test_two_devices_and_two_hosts_find_the_losses_of_one_device() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        coordinator = f"127.0.0.1:{free.getsockname()[1]}"
    runs = [spread_run(flags=("--xla_force_host_platform_device_count=2",))]
    runs += [spread_run((str(index), coordinator)) for index in (0, 1)]
    try:
        lines = [run.communicate(timeout=150)[0].splitlines()[-1] for run in runs]
    finally:
        for run in runs:
            run.kill()
    (one, *alone), *others = [found for line in lines for found in json.loads(line)]
    assert [one, *(count for count, *_ in others)] == [1, 2, 2, 2]
    for _, *found in others:
        for part, wanted in zip(found, alone, strict=True):
            np.testing.assert_allclose(part, wanted, rtol=1e-3, atol=1e-5)

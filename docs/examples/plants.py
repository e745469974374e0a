"""A plant of the tutorial: its own machines, a small network, training in JAX.

`initial`, `validation` and `train` are what `andon fl` calls; PLANT says whose machines these are. Run as a
program it certifies the federated weights: `plants.py WEIGHTS OUT` writes a package.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

from models.data import degradation
from models.federated.rul import Data, Local, Network
from models.federated.trained import Floats, Trained
from models.federated.validation import Validation
from models.package import Description
from models.quantiser import linear_quantiser, quantise

network = Network(degradation.WINDOW, len(degradation.SENSORS))
public = degradation.fleet(5, 600)
"""Machines that everybody may see: they fix the ranges of the sensors."""
lows, highs = np.percentile(degradation.training_windows(public, 3)[0], [0.1, 99.9], axis=(0, 1))
quantiser = linear_quantiser(degradation.SENSORS, lows, highs, degradation.UNITS)


def windows(machines: list[degradation.Machine]) -> Data:
    """Windows as int8, with the remaining life of each in cycles."""
    readings, lives = degradation.training_windows(machines, 3)
    return Data(quantise(quantiser, readings).values, lives.astype(np.float32))


def initial() -> Floats:
    """Where everybody starts."""
    return network.initial(0)


def validation() -> Validation:
    """What every validator scores every round on."""
    return network.validation(windows(public))


def train(weights: Floats, round_number: int) -> Trained:
    """One round on this plant's machines; they never leave this process."""
    own = windows(degradation.fleet(10, 500 + int(os.environ["PLANT"])))
    return network.train(weights, own, Local(steps=60), seed=round_number)


def main(weights_file: str, out: str) -> None:
    """Print the error on machines of nobody, and write the certified package."""
    weights, test = np.load(weights_file), windows(degradation.fleet(20, 700))
    for name, found in (("before", initial()), ("federated", weights)):
        error = np.sqrt(np.mean((network.predict(found, test.inputs) - test.lives) ** 2))
        print(f"{name}: RMSE {error:.1f} cycles")
    description = Description(
        name="tutorial-rul", version="1", task="rul", scale_num=1, scale_den=256,
        training=(("run", "life"),), card="Trained by three plants.",
    )  # fmt: skip
    package = network.package(weights, quantiser, windows(public).inputs, description)
    package.save(Path(out))
    Path(out, "window").write_bytes(test.inputs[0].tobytes())
    print(f"certified: {out}")


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Federated remaining life on NASA C-MAPSS FD001 and FD003: local, pooled, federated, private.

Four plants; RMSE in cycles on the last windows of both test sets, lives capped at 125 in training
and test; float model; three seeds. ANDON_DATA names the folder of the data sets.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.federated import privacy
from models.federated.ring import Encoding
from models.federated.rul import Data, Local, Network
from models.federated.simulate import Federation
from scripts.demo_fl_data import PLANTS, cmapss_sites

Floats = NDArray[np.float32]
ROUNDS = 30
STEPS = 60
PRIVATE_STEPS = 10
RATE = 2e-3
SAMPLE_RATE = 0.05
CLIP = 0.1
EPSILON, DELTA = 8.0, 1e-5
SEEDS = 3
ENCODING = Encoding(16, 1 << 20, 1 << 24, 1, PLANTS)


def main() -> None:
    """Print one line a training regime and split."""
    folder = Path(os.environ.get("ANDON_DATA", "../shared/data")) / "cmapss"
    sites = cmapss_sites(folder)
    network = sites.network
    inputs = np.concatenate([site.inputs for site in sites.plants])
    lives = np.concatenate([site.lives for site in sites.plants])
    order = np.random.default_rng(0).permutation(len(lives))
    pooled = Data(inputs[order], lives[order])
    mixed = tuple(Data(pooled.inputs[k::PLANTS], pooled.lives[k::PLANTS]) for k in range(PLANTS))

    def show(name: str, train: Callable[[int], Floats]) -> None:
        errors = []
        for seed in range(SEEDS):
            found = network.predict(train(seed), sites.test.inputs)
            errors.append(float(np.sqrt(np.mean((found - sites.test.lives) ** 2))))
        listed = " ".join(f"{error:6.2f}" for error in errors)
        print(f"  {name:34} {np.mean(errors):6.2f}   ({listed})", flush=True)

    show("pooled", partial(solo, network, pooled))
    for split, owned in (("by fault mode", sites.plants), ("IID windows", mixed)):
        for index, data in enumerate(owned):
            show(f"{split}: plant {index + 1} alone", partial(solo, network, data))
        show(f"{split}: federated", partial(federated, network, owned))
        show(f"{split}: federated, epsilon 8", partial(private, network, owned))


def solo(network: Network, data: Data, seed: int) -> Floats:
    """Train on one data set for as many steps as a federation's plant."""
    weights = network.initial(seed)
    for number in range(ROUNDS):
        local = Local(steps=STEPS, rate=_rate(number))
        weights = weights + network.train(weights, data, local, seed=1000 * seed + number).update
    return weights


def federated(network: Network, owned: tuple[Data, ...], seed: int) -> Floats:
    """FedAvg under masks."""
    federation = Federation.start(network.initial(seed), ENCODING)
    federation.is_masked = True
    for number in range(ROUNDS):
        local = Local(steps=STEPS, rate=_rate(number))
        start = federation.weights()
        federation.step(
            [
                network.train(start, data, local, seed=1000 * seed + 10 * number + k).update
                for k, data in enumerate(owned)
            ]
        )
    return federation.weights()


def private(network: Network, owned: tuple[Data, ...], seed: int) -> Floats:
    """FedAvg under masks and record-level differential privacy in each plant."""
    noise = privacy.noise_for(EPSILON, DELTA, rate=SAMPLE_RATE, steps=ROUNDS * PRIVATE_STEPS)
    mechanism = privacy.Mechanism(clip=CLIP, noise=noise, rate=SAMPLE_RATE)
    federation = Federation.start(network.initial(seed), ENCODING)
    federation.is_masked = True
    local = Local(steps=PRIVATE_STEPS, rate=RATE, mechanism=mechanism)
    for _ in range(ROUNDS):
        start = federation.weights()
        federation.step([network.train(start, data, local).update for data in owned])
    return federation.weights()


def _rate(number: int) -> float:
    return RATE if number < ROUNDS * 2 // 3 else 0.3 * RATE


if __name__ == "__main__":
    main()

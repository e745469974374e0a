"""Federated remaining life on NASA C-MAPSS FD001 and FD003: local, pooled, federated, private.

Four and ten plants; RMSE in cycles on the last windows of both test sets, lives capped at 125 in
training and test; float model; three seeds. ANDON_DATA names the folder of the data sets;
`RUL_PLANTS=10` and `RUL_SPLITS="by fault mode"` choose.
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
from models.federated.strategies import fed_avg_momentum
from scripts.demo_fl_data import Sites, cmapss_sites

Floats = NDArray[np.float32]
ROUNDS = 30
STEPS = 60
# Rates fall in a straight line to a twentieth. Chosen by the error on the public engines, by fault
# mode: RATE and MOMENTUM with ten plants, what is private with four at epsilon 8 (seed 0).
RATE = 6e-3
MOMENTUM = 0.6
PRIVATE_STEPS = 30
PRIVATE_RATE = 8e-3
SAMPLE_RATE = 0.25
CLIP = 0.1
AVERAGED = 3
DELTA = 1e-5
SEEDS = 3
PLANTS_MAX = 10
ENCODING = Encoding(16, 1 << 20, 1 << 24, 1, PLANTS_MAX)
SPLITS = ("by fault mode", "IID windows")


def main() -> None:
    """Print one line a training regime and split."""
    folder = Path(os.environ.get("ANDON_DATA", "../shared/data")) / "cmapss"
    splits = os.environ.get("RUL_SPLITS", ",".join(SPLITS)).split(",")
    for count in os.environ.get("RUL_PLANTS", "4,10").split(","):
        compare(cmapss_sites(folder, int(count)), splits)


def compare(sites: Sites, splits: list[str]) -> None:
    """Everything of one number of plants."""
    print(sites.title)
    network, count = sites.network, len(sites.plants)
    inputs = np.concatenate([site.inputs for site in sites.plants])
    lives = np.concatenate([site.lives for site in sites.plants])
    order = np.random.default_rng(0).permutation(len(lives))
    pooled = Data(inputs[order], lives[order])
    mixed = tuple(Data(pooled.inputs[k::count], pooled.lives[k::count]) for k in range(count))

    def show(name: str, train: Callable[[int], Floats]) -> float:
        errors = []
        for seed in range(SEEDS):
            found = network.predict(train(seed), sites.test.inputs)
            errors.append(float(np.sqrt(np.mean((found - sites.test.lives) ** 2))))
        listed = " ".join(f"{error:6.2f}" for error in errors)
        print(f"  {name:34} {np.mean(errors):6.2f}   ({listed})", flush=True)
        return float(np.mean(errors))

    show("pooled", partial(solo, network, pooled))
    for split, owned in ((SPLITS[0], sites.plants), (SPLITS[1], mixed)):
        if split in splits:
            together = show(f"{split}: federated", partial(federated, network, owned))
            alone = [
                show(f"{split}: plant {index + 1} alone", partial(solo, network, data))
                for index, data in enumerate(owned)
            ]
            behind = sum(error <= together for error in alone)
            print(f"  {split}: {behind} of {count} plants are better alone")
            show(f"{split}: federated, epsilon 8", partial(private, network, owned, 8.0))
            show(f"{split}: federated, epsilon 2", partial(private, network, owned, 2.0))


def solo(network: Network, data: Data, seed: int) -> Floats:
    """Train on one data set for as many steps as a federation's plant."""
    weights = network.initial(seed)
    for number in range(ROUNDS):
        local = Local(steps=STEPS, rate=_rate(number))
        weights = weights + network.train(weights, data, local, seed=1000 * seed + number).update
    return weights


def federated(network: Network, owned: tuple[Data, ...], seed: int) -> Floats:
    """Federated averaging with server momentum, under masks."""
    federation = Federation.start(network.initial(seed), ENCODING)
    federation.is_masked = True
    federation.strategy = fed_avg_momentum(decay=MOMENTUM)
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


def private(network: Network, owned: tuple[Data, ...], epsilon: float, seed: int) -> Floats:
    """FedAvg under masks and record-level differential privacy in each plant.

    The result is the mean of the last models: it costs no privacy and evens their noise out.
    """
    steps = ROUNDS * PRIVATE_STEPS
    mechanism = privacy.mechanism_for(epsilon, DELTA, clip=CLIP, rate=SAMPLE_RATE, steps=steps)
    federation = Federation.start(network.initial(seed), ENCODING)
    federation.is_masked = True
    models = []
    for number in range(ROUNDS):
        rate = _rate(number) * PRIVATE_RATE / RATE
        local = Local(steps=PRIVATE_STEPS, rate=rate, mechanism=mechanism)
        start = federation.weights()
        federation.step([network.train(start, data, local).update for data in owned])
        models.append(federation.weights())
    return np.asarray(np.mean(models[-AVERAGED:], axis=0), np.float32)


def _rate(number: int) -> float:
    return RATE * (1 - 0.95 * number / ROUNDS)


if __name__ == "__main__":
    main()

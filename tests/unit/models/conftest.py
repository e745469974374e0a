"""A tiny model that every test of this folder can afford."""

from __future__ import annotations

import numpy as np
import pytest

from models import graph as g
from models.package import Description, Package, build_package
from models.quantiser import linear_quantiser


def tiny_package(name: str = "tiny", seed: int = 0) -> Package:
    random = np.random.default_rng(seed)
    tensors = {
        "w": random.integers(-127, 128, (6, 4)).astype(np.int8),
        "b": random.integers(-900, 900, 4).astype(np.int32),
        "v": random.integers(-127, 128, (4, 2)).astype(np.int8),
        "c": random.integers(-900, 900, 2).astype(np.int32),
        "m": np.array([1], np.int32),
        "s": np.array([9], np.int32),
    }
    graph = g.Graph(
        (2, 3),
        (
            g.Reshape(0, (6,)),
            g.Dense(1, "w", "b"),
            g.Rescale(2, "m", "s", 0, 127),
            g.Dense(3, "v", "c"),
        ),
    )
    quantiser = linear_quantiser(("x", "y", "z"), np.zeros(3), np.ones(3))
    samples = random.integers(-127, 128, (40, 2, 3)).astype(np.int8)
    about = Description(name=name, version="1", task="rul", scale_num=1, scale_den=8, card="# Tiny")
    return build_package(about, graph, tensors, quantiser, samples)


@pytest.fixture(scope="session")
def tiny() -> Package:
    return tiny_package()

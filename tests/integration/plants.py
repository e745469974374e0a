"""What the plants of `test_fl_processes` train: a quarter of PLANT, slowly; counted in TRAINED."""

import os
import time
from pathlib import Path

import numpy as np

from models.federated.trained import Floats, Trained

SIZE = 64
TRAIN_S = 1.5
"""Long enough to be killed in."""


def initial() -> Floats:
    return np.zeros(SIZE, np.float32)


def train(weights: Floats, round_number: int) -> Trained:
    with Path(os.environ["TRAINED"]).open("a", encoding="utf-8") as log:
        log.write(f"{round_number}\n")
    time.sleep(TRAIN_S)
    # Another update in every training: one that was sent twice would show in the sum.
    value = int(os.environ["PLANT"]) / 4 + os.getpid() % 1024 / 2**16
    return Trained(update=np.full(len(weights), value, np.float32))

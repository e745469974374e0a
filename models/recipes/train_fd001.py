"""Train a turbofan RUL model on C-MAPSS: `python -m models.recipes.train_fd001 --out DIR`.

Convention: remaining life capped at 125 cycles in training and in the test labels; the test set
is the last window of each test engine. Figures are those of the certified integers.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from models.data import cmapss
from models.environment import prepare_environment
from models.recipes.report import say
from models.recipes.turbofan import MODELS, train


def main(arguments: list[str] | None = None) -> int:
    """Train, certify, score and save."""
    parser = argparse.ArgumentParser(prog="models.recipes.train_fd001", description=__doc__)
    data = Path(os.environ.get("ANDON_DATA", "../shared/data")) / "cmapss"
    parser.add_argument("--data", type=Path, default=data)
    parser.add_argument("--subset", choices=cmapss.SUBSETS, default="FD001")
    parser.add_argument("--model", choices=MODELS, default="network")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    # Before the first JAX call: without the flags, even training meets wrong sums.
    prepare_environment("cpu")
    result = train(options.data, options.subset, options.model, options.seed, say)
    result.package.save(options.out)
    for line in result.lines():
        say(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())

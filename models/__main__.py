"""`python -m models`: train a recipe or your own table, verify and show packages."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from andon.core.errors import AndonError
from models import commands
from models.environment import BACKENDS
from models.recipes.settings import Settings


def main(arguments: list[str] | None = None) -> int:
    """Run one verb; 0 on success, 2 for bad input or a failed check."""
    try:
        told = run(arguments)
    except AndonError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write("\n".join(told.lines) + "\n")
    return 0


def run(arguments: list[str] | None = None) -> commands.Told:
    """Run one verb for a caller that shows errors and results itself.

    Raises:
        AndonError: whatever the verb raises.
        SystemExit: 2 for arguments that do not parse, 0 for --help.
    """
    options = _parser().parse_args(arguments)
    if options.verb == "verify":
        return commands.verify(options.path, options.backend, options.publisher)
    if options.verb == "window":
        return commands.window(options.path, options.image, options.out)
    if options.verb == "show":
        return commands.show(options.path)
    settings = Settings(
        epochs=options.epochs, precision=options.precision, patience=options.patience,
        checkpoints=options.checkpoints,
    )  # fmt: skip
    if options.csv is not None:
        return commands.train_own(
            options.csv, options.out, task=options.task, name=options.name,
            target=options.target, group=options.group, time=options.time,
            ignore=tuple(options.ignore), window=options.window, seed=options.seed,
            say=_say, cap=options.cap, settings=settings,
        )  # fmt: skip
    if options.images is not None:
        return commands.train_own_images(
            options.images, options.out, name=options.name, size=options.size,
            seed=options.seed, say=_say, model=options.model,
            is_colour=options.colour, settings=settings,
        )  # fmt: skip
    return commands.train(
        options.recipe, options.data, options.out, seed=options.seed, say=_say,
        subset=options.subset, model=options.model, stage=options.stage, settings=settings,
    )  # fmt: skip


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    train = verbs.add_parser("train", help="train a recipe, or --csv your own table")
    train.add_argument("recipe", nargs="?", choices=commands.RECIPES, default="turbofan")
    data = Path(os.environ.get("ANDON_DATA", "../shared/data"))
    train.add_argument("--data", type=Path, default=data, help="folder of the public data sets")
    train.add_argument("--subset", default="FD001", help="turbofan: FD001 to FD004")
    train.add_argument(
        "--model",
        default="",
        help="turbofan: network, cnn, lstm, gru, attention, boosted, super; secom: glm, super; "
        "images: network, texture (few images: texture)",
    )
    train.add_argument("--stage", type=int, choices=(1, 2), default=1, help="liveline: the stage")
    train.add_argument("--csv", type=Path, help="your own table, with a header line")
    train.add_argument("--images", type=Path, help="your own images, a folder for each class")
    train.add_argument("--size", type=int, default=64, help="images: pixels a side")
    train.add_argument("--colour", action="store_true", help="images: red, green and blue")
    train.add_argument("--epochs", type=_count, default=0, help="networks: passes over the data")
    train.add_argument("--precision", choices=("float32", "bfloat16"), default="",
                       help="networks: of the products in training")  # fmt: skip
    train.add_argument("--patience", type=_count, default=0,
                       help="networks: epochs without a better loss before it stops")  # fmt: skip
    train.add_argument("--checkpoints", type=Path,
                       help="networks: folder; a run that was killed goes on from it")  # fmt: skip
    train.add_argument("--task", default="regress", help="regress classify rul forecast anomaly")
    train.add_argument("--name", default="own-model", help="name of the package")
    train.add_argument("--target", default="", help="column to predict")
    train.add_argument("--group", default="", help="column that names machine or batch")
    train.add_argument("--time", default="", help="column that orders the rows")
    train.add_argument("--ignore", action="append", default=[], help="column to leave out")
    train.add_argument("--window", type=int, default=0, help="rows in a window; 0 chooses")
    train.add_argument("--cap", type=float, default=0.0, help="rul: largest life left; 0 chooses")
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--out", type=Path, required=True, help="folder for the package")
    verify = verbs.add_parser("verify", help="check a package and run its vectors here")
    verify.add_argument("path", type=Path)
    verify.add_argument("--backend", choices=BACKENDS, default="cpu")
    verify.add_argument("--publisher", default="", help="0x key that must have signed the package")
    window = verbs.add_parser("window", help="make the window of one image, for a transaction")
    window.add_argument("path", type=Path, help="package of train --images")
    window.add_argument("image", type=Path)
    window.add_argument("--out", type=Path, required=True, help="file for the window's bytes")
    show = verbs.add_parser("show", help="manifest, certificate and card")
    show.add_argument("path", type=Path)
    return parser


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())

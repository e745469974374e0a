"""What a recipe returns and prints: figures of the certified integers, with the floats beside."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.compile import compile_package
from models.environment import prepare_environment
from models.package import Package

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A package and its figures, by name; "certified" figures are computed from its integers."""

    package: Package
    figures: tuple[tuple[str, float], ...]
    convention: str

    def lines(self) -> list[str]:
        """One line a figure, the convention last."""
        manifest = self.package.manifest
        head = f"{manifest.name} {manifest.version}  model {self.package.id.hex()[:16]}"
        rows = [f"  {name}: {value:.4g}" for name, value in self.figures]
        return [head, *rows, f"  convention: {self.convention}"]


def say(line: str) -> None:
    """Print a line of progress for the person who runs a recipe."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def values(package: Package, windows: NDArray[np.int8]) -> NDArray[np.float64]:
    """Evaluate a package's integers on XLA and turn them into its unit: `f64[n, outputs]`."""
    prepare_environment("cpu")
    outputs = compile_package(package)(windows).astype(np.float64)
    return outputs * package.manifest.scale_num / package.manifest.scale_den


def card(title: str, task: str, data: str, figures: str, limits: str) -> str:
    """A model card in Markdown."""
    return (
        f"# {title}\n\n{task}\n\n## Data\n\n{data}\n\n## Figures\n\n{figures}\n\n"
        f"## Limits\n\n{limits}\n"
    )

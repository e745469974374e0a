"""The labels benchmark's learners as validators run them: certified integer graphs.

What is asked next and what is scored comes from the integers of the graph, never from the float
fit behind it. Uncertainty is the lead of the best class in output steps, as `quality` has it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestClassifier

from models.certificate import certify_graph
from models.convert.assemble import Assembly
from models.interpreter import interpret
from models.quantiser import edge_quantiser, quantise
from models.recipes import tabular, vision
from models.recipes.learners import Goal, LinearLearner, Part, TreeLearner
from models.recipes.texture import Standard, TextureLearner, texture_roots

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
CHUNK = 64
"""Images that are counted at once: the interpreter keeps every value in int64."""


class Textures:
    """NEU: patterns counted by the graph once an image, and what of the graph labels change."""

    def __init__(self, folder: Path) -> None:
        self.task = vision.load(folder)
        assembly = Assembly(tuple(self.task.inputs.shape[1:]))
        texture_roots(assembly)
        graph, images = assembly.graph(), self.task.inputs
        certify_graph(graph, assembly.tensors)
        parts = [images[at : at + CHUNK] for at in range(0, len(images), CHUNK)]
        self.roots = np.concatenate([interpret(graph, assembly.tensors, part) for part in parts])
        self.goal = Goal(kind="classes", outputs=len(self.task.classes), low=0.0, high=1.0)

    def fit(self, x: Floats, y: Ints, seed: int) -> Callable[[Floats], Floats]:
        """Fit to roots `f64[n, features]`, whole numbers; gives shares of the classes."""
        roots = x.astype(np.int64)
        standard = Standard.of(roots)
        learner = LinearLearner(strength=TextureLearner().strength)
        part = learner.fit(standard.apply(roots), y.astype(np.float64), self.goal, seed)
        certify_graph(part.graph, part.tensors)
        return lambda more: steps(part, standard.apply(more.astype(np.int64))) / self.goal.steps

    def is_whole(self, known: Ints, seed: int) -> bool:
        """Tell whether the recipe's graph, from image to shares, says what `fit` says."""
        labels, tested = self.task.labels, self.task.inputs[self.task.is_test][:CHUNK]
        part = TextureLearner().fit(
            self.task.inputs[known], labels[known].astype(np.float64), self.goal, seed
        )
        split = self.fit(self.roots[known].astype(np.float64), labels[known], seed)
        roots = self.roots[self.task.is_test][:CHUNK].astype(np.float64)
        return bool((steps(part, tested) / self.goal.steps == split(roots)).all())


def machines(folder: Path) -> tuple[Floats, Ints]:
    """AI4I as the recipe quantises it, bins from all readings: `f64[n, 9]` of int8, and labels."""
    table = tabular.ai4i(folder)
    found = quantise(edge_quantiser(table.channels, table.readings), table.readings)
    return found.values.astype(np.float64), table.labels.astype(np.int64)


def fit_forest(x: Floats, y: Ints, seed: int) -> Callable[[Floats], Floats]:
    """A forest on int8 readings; gives the shares of no failure and failure."""
    goal = tabular.PROBABILITY
    learner = TreeLearner("forest", forest)
    part = learner.fit(x.astype(np.int8), y.astype(np.float64), goal, seed)
    certify_graph(part.graph, part.tensors)

    def chances(more: Floats) -> Floats:
        share = steps(part, more.astype(np.int8))[:, 0] / goal.steps
        return np.column_stack([1 - share, share])

    return chances


def forest(seed: int) -> BaseEstimator:
    """The same forest as the float learner's."""
    return RandomForestClassifier(
        100, class_weight="balanced_subsample", min_samples_leaf=2, random_state=seed
    )


def steps(part: Part, inputs: NDArray[np.int8]) -> NDArray[np.int64]:
    """Outputs of the graph by its normative interpreter."""
    return interpret(part.graph, part.tensors, inputs)

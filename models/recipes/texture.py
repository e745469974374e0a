"""Integer features of a texture, computed inside the certified graph: local binary patterns.

A pixel's eight neighbours at some radius are each compared with it and a threshold; the eight
answers are a code, and the counts of codes over the image tell its texture. Three sizes of the
image, three radii and several thresholds are taken, and the counts of grey levels. Source: Ojala,
Pietikainen, Maenpaa, "Multiresolution gray-scale and rotation invariant texture classification
with local binary patterns", 2002; thresholds of Tan and Triggs 2010.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from andon.core.errors import Code, InvalidInput
from models import graph as g
from models.certificate import certify_graph
from models.compile import evaluate_graph
from models.convert.assemble import Assembly
from models.recipes.learners import Floats, Goal, Inputs, LinearLearner, Part
from models.rules import OPERAND_MAX

# A flip of rows and a flip of columns.
FLIPS = ((slice(None, None, -1), slice(None)), (slice(None), slice(None, None, -1)))
SIZE_MIN = 32
NEIGHBOURS = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))
RADII = (1, 2, 3)
THRESHOLDS = (-4, 4, 12)
HALVINGS = 3
GREYS = 32
ROOT_STEPS = 64
SPREADS = 4
"""An int8 feature spans so many standard deviations on each side of the mean."""
FACTOR_BITS = 12


@dataclass(frozen=True, slots=True)
class TextureLearner:
    """A linear model on the patterns of square grey images, 32 pixels a side or more.

    `flips` are ways to turn a training image that change nothing about its class.
    """

    name: str = "texture"
    strength: float = 0.8
    flips: tuple[tuple[slice, slice], ...] = ()

    def settings(self) -> str:
        """Regularisation, flips, and what patterns are counted."""
        return f"strength={self.strength} flips={len(self.flips)} thresholds={THRESHOLDS}"

    def fit(self, inputs: Inputs, targets: Floats, goal: Goal, seed: int) -> Part:
        """Count with the integer graph itself, then fit on those integers.

        Raises:
            InvalidInput: BAD_DATASET for images that are too small.
        """
        assembly = Assembly(tuple(inputs.shape[1:]))
        roots = texture_roots(assembly)
        seen = np.concatenate([inputs, *(inputs[:, rows, columns] for rows, columns in self.flips)])
        graph = assembly.graph()
        certificate = certify_graph(graph, assembly.tensors)
        counted = evaluate_graph(graph, assembly.tensors, certificate, seen)
        standard = Standard.of(counted[: len(inputs)])
        features = standardised(assembly, roots, standard)
        part = LinearLearner(strength=self.strength).fit(
            standard.apply(counted), np.tile(targets, 1 + len(self.flips)), goal, seed
        )
        assembly.include(part.graph, part.tensors, features)

        def floats(asked: Inputs) -> Floats:
            assert part.floats is not None
            roots = evaluate_graph(graph, assembly.tensors, certificate, asked)
            return part.floats(standard.apply(roots))

        return Part(assembly.graph(), assembly.tensors, floats)


@dataclass(frozen=True, slots=True)
class Standard:
    """How roots become int8 features: `(root - mean) * factor / 2**12`, both `i32[features]`."""

    mean: NDArray[np.int32]
    factor: NDArray[np.int32]

    @staticmethod
    def of(roots: NDArray[np.integer]) -> Standard:
        """The standard of `roots: int[n, features]`: four deviations are 127."""
        spread = np.maximum(roots.std(axis=0), 1.0)
        factor = np.round(OPERAND_MAX / SPREADS / spread * (1 << FACTOR_BITS))
        return Standard(np.round(roots.mean(axis=0)).astype(np.int32), factor.astype(np.int32))

    def apply(self, roots: NDArray[np.integer]) -> NDArray[np.int8]:
        """What `standardised` computes in a graph."""
        scaled = (roots.astype(np.int64) - self.mean) * self.factor
        rounded = (scaled + (1 << (FACTOR_BITS - 1))) >> FACTOR_BITS
        return np.asarray(np.clip(rounded, -OPERAND_MAX, OPERAND_MAX), np.int8)


def texture_roots(assembly: Assembly) -> int:
    """Append the square roots of all counts of a `[size, size, 1]` image; the vector's number.

    A root is in steps of 1 / 64.
    """
    size = assembly.input_shape[0]
    if size < SIZE_MIN:
        raise InvalidInput(
            Code.BAD_DATASET, f"images of {size} pixels a side", hint=f"{SIZE_MIN} or more"
        )
    parts, picture, scale = [], 0, 1
    for halving in range(HALVINGS):
        if halving:
            picture = assembly.push(g.Pool(picture, "sum", (2, 2), (2, 2)))
            size, scale = size // 2, scale * 4
        for radius in RADII:
            parts += _patterns(assembly, picture, (size, radius, scale))
        parts.append(_greys(assembly, picture, scale))
    counts = assembly.push(g.Concat(tuple(parts), 0))
    top = assembly.types[counts].high
    roots = np.round(ROOT_STEPS * np.sqrt(np.arange(top + 1))).astype(np.int16)
    return assembly.push(g.Table(counts, assembly.tensor("roots", roots), 0))


def standardised(assembly: Assembly, roots: int, standard: Standard) -> int:
    """Append the standard's int8 features of a vector of roots."""
    mean = assembly.push(g.Constant(assembly.tensor("mean", standard.mean)))
    factor = assembly.push(g.Constant(assembly.tensor("factor", standard.factor)))
    scaled = assembly.push(g.Multiply(assembly.push(g.Subtract(roots, mean)), factor))
    return assembly.rescale(scaled, 2.0**-FACTOR_BITS, limit=OPERAND_MAX)


def _patterns(assembly: Assembly, picture: int, where: tuple[int, int, int]) -> list[int]:
    """Counts of codes at one radius, a vector a threshold; `where`: size, radius, scale."""
    size, radius, scale = where
    inner = size - 2 * radius

    def moved(dy: int, dx: int) -> int:
        top, left = radius + dy * radius, radius + dx * radius
        return assembly.push(g.Slice(picture, (top, left, 0), (top + inner, left + inner, 1)))

    around = assembly.push(g.Concat(tuple(moved(dy, dx) for dy, dx in NEIGHBOURS), 2))
    differences = assembly.push(g.Subtract(around, moved(0, 0)))
    powers = assembly.push(
        g.Constant(assembly.tensor("powers", (1 << np.arange(8)).astype(np.int32).reshape(1, 1, 8)))
    )
    table = assembly.tensor("codes", code_table())
    counts = []
    for threshold in THRESHOLDS:
        least = threshold * scale
        # A neighbour counts from `least` on: the clip leaves least - 1 or least.
        bits = assembly.push(g.Clip(differences, least - 1, least))
        codes = assembly.push(g.Sum(assembly.push(g.Multiply(bits, powers)), (2,)))
        counts.append(_histogram(assembly, codes, table, 255 * (least - 1)))
    return counts


def _greys(assembly: Assembly, picture: int, scale: int) -> int:
    """Counts of 32 grey levels."""
    levels = picture if scale == 1 else assembly.rescale(picture, 1 / scale, limit=OPERAND_MAX)
    table = np.zeros((2 * OPERAND_MAX + 1, GREYS), np.int8)
    table[np.arange(len(table)), np.arange(len(table)) * GREYS // len(table)] = 1
    return _histogram(assembly, levels, assembly.tensor("greys", table), -OPERAND_MAX)


def _histogram(assembly: Assembly, values: int, table: str, first: int) -> int:
    rows = assembly.push(g.Embed(values, table, first))
    total = assembly.push(g.Sum(rows, (0, 1, 2)))
    return assembly.push(g.Reshape(total, (assembly.types[total].shape[-1],)))


def code_table() -> NDArray[np.int8]:
    """One row a code: the 58 with at most two changes around the circle each have a column.

    All others share the last of the 59.
    """
    codes = np.arange(256)
    bits = (codes[:, np.newaxis] >> np.arange(8)) & 1
    is_uniform = (bits != np.roll(bits, 1, axis=1)).sum(axis=1) <= 2
    table = np.zeros((256, int(is_uniform.sum()) + 1), np.int8)
    table[codes, np.where(is_uniform, np.cumsum(is_uniform) - 1, table.shape[1] - 1)] = 1
    return table

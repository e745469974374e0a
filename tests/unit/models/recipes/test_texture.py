"""Patterns that the graph counts are those of a plain loop; standards agree in and out of it."""

from __future__ import annotations

import numpy as np

from models.certificate import certify_graph
from models.convert.assemble import Assembly
from models.interpreter import interpret
from models.recipes import texture

SIZE = 32
IMAGES = np.random.default_rng(0).integers(-127, 128, (6, SIZE, SIZE, 1)).astype(np.int8)


def counted(image: np.ndarray, radius: int, threshold: int) -> np.ndarray:
    """Counts of one image by a loop over its pixels."""
    found = np.zeros(59, int)
    table = texture.code_table()
    size = len(image)
    for y in range(radius, size - radius):
        for x in range(radius, size - radius):
            code = 0
            for place, (dy, dx) in enumerate(texture.NEIGHBOURS):
                other = image[y + dy * radius, x + dx * radius]
                code |= int(other - image[y, x] >= threshold) << place
            found[int(table[code].argmax())] += 1
    return found


def test_each_code_has_one_column_and_uniform_ones_their_own() -> None:
    table = texture.code_table()
    assert table.shape == (256, 59)
    assert (table.sum(axis=1) == 1).all()
    assert (table[:, :58].sum(axis=0) == 1).all()
    assert table[0b01010101, 58] == 1
    assert table[0b00111000, 58] == 0


def test_the_graph_counts_what_a_loop_counts() -> None:
    assembly = Assembly((SIZE, SIZE, 1))
    roots = texture.texture_roots(assembly)
    certify_graph(assembly.graph(), assembly.tensors)
    found = assembly.values(IMAGES[:1], roots)[0]
    whole = IMAGES[0, ..., 0].astype(int)
    half = whole.reshape(SIZE // 2, 2, SIZE // 2, 2).sum(axis=(1, 3))
    patterns = [
        counted(picture, radius, threshold * scale)
        for picture, scale in ((whole, 1), (half, 4))
        for radius in texture.RADII
        for threshold in texture.THRESHOLDS
    ]
    count = len(texture.RADII) * len(texture.THRESHOLDS) * 59
    wanted = np.round(texture.ROOT_STEPS * np.sqrt(np.concatenate(patterns)))
    np.testing.assert_array_equal(found[:count], wanted[:count])
    second = count + texture.GREYS
    np.testing.assert_array_equal(found[second : second + count], wanted[count:])
    greys = np.round((found[count:second] / texture.ROOT_STEPS) ** 2)
    assert greys.sum() == SIZE * SIZE


def test_a_standard_is_the_same_inside_the_graph_and_outside() -> None:
    assembly = Assembly((SIZE, SIZE, 1))
    roots = texture.texture_roots(assembly)
    counts = assembly.values(IMAGES, roots)
    standard = texture.Standard.of(counts[:4])
    texture.standardised(assembly, roots, standard)
    certify_graph(assembly.graph(), assembly.tensors)
    found = interpret(assembly.graph(), assembly.tensors, IMAGES)
    np.testing.assert_array_equal(found, standard.apply(counts))
    assert np.abs(standard.apply(counts[:4]).astype(int)).max() <= 127

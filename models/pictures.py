"""From one image to the window that a transaction carries, for packages of `train --images`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from andon.core.errors import Code, InvalidInput
from models.data.images import read_image
from models.interpreter import interpret
from models.package import Package
from models.quantiser import quantise

GREY = ("grey",)
COLOUR = ("red", "green", "blue")
"""What a package that takes images calls its channels."""


def image_window(package: Package, path: Path) -> NDArray[np.int8]:
    """Read an image as training read it: `i8[size, size, channels]`.

    Raises:
        InvalidInput: BAD_MODEL_INPUT for a package that takes no images, BAD_DATASET for a file
            that is none.
    """
    shape = package.manifest.input_shape
    channels = package.quantiser.channels
    is_square = len(shape) == 3 and shape[0] == shape[1] and shape[2] == len(channels)
    if not is_square or channels not in (GREY, COLOUR):
        raise InvalidInput(
            Code.BAD_MODEL_INPUT,
            f"{package.manifest.name} takes windows of readings, not images",
            hint="the gateway makes them, as its [[streams]] say",
        )
    pixels = read_image(path, shape[0], is_colour=channels == COLOUR)
    return quantise(package.quantiser, pixels.astype(np.float64)).values


def shares(package: Package, window: NDArray[np.int8]) -> list[tuple[str, float]]:
    """What the package's integers say of a window: each class with its share, the largest first."""
    names = dict(package.manifest.training).get("classes", "").split(",")
    outputs = interpret(package.graph, package.weights, window[np.newaxis])[0]
    named = names if len(names) == len(outputs) else [str(place) for place in range(len(outputs))]
    values = [package.value(int(output)) for output in outputs]
    return sorted(zip(named, values, strict=True), key=lambda pair: -pair[1])

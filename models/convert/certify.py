"""The door: whatever the model is, to a certified graph, and to a package."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import jax
import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from andon.core.errors import Code, InvalidInput
from models.convert.callables import Conversion, Options, convert_callable
from models.convert.estimators import convert_estimator
from models.package import Description, Package, build_package
from models.quantiser import Quantiser


def convert(
    model: Callable[[jax.Array], jax.Array] | BaseEstimator,
    samples: NDArray[np.int8],
    options: Options,
) -> Conversion:
    """A certified graph of a JAX callable or of a fitted scikit-learn estimator.

    Raises:
        InvalidInput: as `convert_callable` and `convert_estimator`; NOT_CERTIFIED for what is
            neither.
    """
    if isinstance(model, BaseEstimator):
        return convert_estimator(model, samples, options)
    if not callable(model):
        raise InvalidInput(
            Code.NOT_CERTIFIED,
            f"{type(model).__name__} is no model",
            hint="give a function of jax.numpy, an NNX module, or a fitted scikit-learn estimator",
            rule="convert",
        )
    return convert_callable(model, samples, options)


def certify(
    model: Callable[[jax.Array], jax.Array] | BaseEstimator,
    samples: NDArray[np.int8],
    quantiser: Quantiser,
    description: Description,
    options: Options | None = None,
    *,
    say: Callable[[str], None] | None = None,
) -> Package:
    """Convert a model and wrap it as a package whose values are in the package's unit.

    `description.scale_num / scale_den` is replaced by the options' step. `say` is told what each
    layer lost to rounding, a line a layer.

    Raises:
        InvalidInput: as `convert` and `models.package.build_package`.
    """
    chosen = options or Options()
    conversion = convert(model, samples, chosen)
    if say is not None:
        for line in conversion.lines():
            say(line)
    described = replace(description, scale_num=1, scale_den=chosen.steps_per_unit)
    return build_package(described, conversion.graph, conversion.tensors, quantiser, samples)

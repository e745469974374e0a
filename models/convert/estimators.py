"""Fitted estimators of scikit-learn as certified graphs: linear models and tree ensembles.

The estimator was fitted on `window * input_scale`, flattened: `f64[n, inputs]`. A regressor gives
its outputs times `gain`. A classifier gives the probability of its second class where it has two,
else the share of each class in the order of `classes_`. Trees decide exactly as they were fitted;
their leaves are rounded to a step. Linear models become one dense layer.
"""

from __future__ import annotations

import jax
import numpy as np
from flax import nnx
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, is_classifier
from sklearn.linear_model import (
    BayesianRidge,
    ElasticNet,
    ElasticNetCV,
    HuberRegressor,
    Lasso,
    LassoCV,
    LinearRegression,
    LogisticRegression,
    Ridge,
    RidgeCV,
)

from andon.core.errors import Code, InvalidInput
from models import graph as g
from models.certificate import certify_graph
from models.convert.assemble import Assembly
from models.convert.callables import SAMPLES_MIN, Conversion, Options, convert_callable
from models.convert.forests import ENSEMBLES, LOG_ODDS, forest_of, on_integers

Floats32 = NDArray[np.float32]
LINEAR = (
    *(BayesianRidge, ElasticNet, ElasticNetCV, HuberRegressor, Lasso, LassoCV, LinearRegression),
    *(Ridge, RidgeCV),
)
SUPPORTED = (*LINEAR, LogisticRegression, *ENSEMBLES)
ODDS_STEPS = 256.0
SHARE_STEPS_MAX = 1 << 15


def convert_estimator(
    model: BaseEstimator, samples: NDArray[np.int8], options: Options
) -> Conversion:
    """Read a fitted estimator into a certified graph; `samples: i8[n, *input_shape]`.

    Raises:
        InvalidInput: NOT_CERTIFIED for an estimator that has no integer counterpart, is not fitted
            or takes another number of inputs; BAD_DATASET for too few samples.
    """
    if not isinstance(model, SUPPORTED):
        names = ", ".join(sorted(kind.__name__ for kind in SUPPORTED))
        raise refused(f"{type(model).__name__} has no integer counterpart", f"one of {names}")
    inputs = int(np.prod(samples.shape[1:]))
    if getattr(model, "n_features_in_", None) != inputs:
        found = getattr(model, "n_features_in_", None)
        state = "is not fitted" if found is None else f"takes {found} inputs, samples have {inputs}"
        raise refused(f"{type(model).__name__} {state}", "fit it on samples * input_scale")
    if len(samples) < SAMPLES_MIN:
        raise InvalidInput(Code.BAD_DATASET, f"calibration needs at least {SAMPLES_MIN} samples")
    if isinstance(model, ENSEMBLES):
        return _trees(model, tuple(samples.shape[1:]), options)
    kernel, offset = linear_parts(model)
    classes = len(model.classes_) if is_classifier(model) else 0

    def apply(x: jax.Array) -> jax.Array:
        score = x.reshape(x.shape[0], -1) @ kernel + offset
        if not classes:
            return score
        return nnx.sigmoid(score) if classes == 2 else nnx.softmax(score)

    return convert_callable(apply, samples, options)


def linear_parts(model: BaseEstimator) -> tuple[Floats32, Floats32]:
    """Kernel `f32[inputs, scores]` and offsets `f32[scores]` of a fitted linear model.

    Raises:
        InvalidInput: NOT_CERTIFIED for one classifier a class against the rest: their shares are
            no softmax.
    """
    is_one_to_rest = isinstance(model, LogisticRegression) and model.solver == "liblinear"
    if is_one_to_rest and len(model.classes_) > 2:
        raise refused("liblinear fits one classifier a class", "another solver fits the softmax")
    kernel = np.atleast_2d(model.coef_).T
    return np.asarray(kernel, np.float32), np.asarray(np.ravel(model.intercept_), np.float32)


def _trees(model: BaseEstimator, shape: tuple[int, ...], options: Options) -> Conversion:
    forest = on_integers(forest_of(model), options.input_scale)
    assembly = Assembly(shape)
    flat = assembly.push(g.Reshape(0, (int(np.prod(shape)),))) if len(shape) > 1 else 0
    steps = options.steps_per_unit * options.gain
    if isinstance(model, LOG_ODDS):
        _probabilities(assembly, assembly.trees(forest, flat, ODDS_STEPS), round(steps))
    else:
        found = assembly.trees(forest, flat, steps)
        if is_classifier(model) and len(model.classes_) == 2:
            assembly.push(g.Slice(found, (1,), (2,)))
    last = len(assembly.operations)
    assembly.push(g.Clip(last, *options.output_range()))
    graph = assembly.graph()
    return Conversion(
        graph=graph,
        tensors=assembly.tensors,
        certificate=certify_graph(graph, assembly.tensors),
        losses=(),
    )


def _probabilities(assembly: Assembly, odds: int, steps: int) -> None:
    if assembly.types[odds].shape == (1,):
        assembly.sigmoid(odds, ODDS_STEPS, steps)
        return
    if not 1 <= steps <= SHARE_STEPS_MAX:
        raise refused(
            f"shares of classes in {steps} steps", f"steps_per_unit * gain up to {SHARE_STEPS_MAX}"
        )
    assembly.softmax(odds, ODDS_STEPS, steps)


def refused(message: str, hint: str) -> InvalidInput:
    """An estimator that cannot be converted, and what would do."""
    return InvalidInput(Code.NOT_CERTIFIED, message, hint=hint, rule="convert")

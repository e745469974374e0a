"""What a run's models are scored on: public records and the network, exact in integers.

The owner publishes it once and names it by digest in the run's recipe; every validator fetches it
and gets the same score of the same model. The score gates a round (a worse model is rolled back),
ends a run and values contributions. The network is a list of layers, evaluated by the normative
interpreter in int64 fixed point: weights, inputs and truths are in 2^-16, products are rounded
half up, magnitudes are clipped so that no sum can overflow, whatever the model is.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isqrt, prod
from typing import Literal, Union

import numpy as np
from numpy.typing import NDArray

from andon.core.codec import Record, decode, encode
from andon.core.errors import Code, InvalidInput
from models import graph as g
from models.federated.ring import Sums
from models.interpreter import interpret

SCALE_BITS = 16
VALIDATION_BYTES_MAX = 32 * 1024 * 1024
LAYERS_MAX = 32
ROWS_MAX = 65_536
FAN_IN_MAX = 1 << 13
PAD_MAX = 64
VALUES_MAX = 1 << 20
WORK_MAX = 1 << 34
"""Multiply-adds that scoring one round may take, contributions included: about a minute."""
VALUES_AT_ONCE = 1 << 20
"""Elements of one layer's values, over the records that are evaluated together: 8 MiB."""
WEIGHT_MAX = 1 << 23
VALUE_MAX = 1 << 26
_ONE = 1 << SCALE_BITS
_MAGIC = b"andon-fl-validation-1\n"

Floats = NDArray[np.floating]
Task = Literal["regression", "classes", "detection"]


class Dense(Record, frozen=True, tag="dense"):
    """`x[..., k] @ weight[k, outputs] + bias[outputs]`; its parameters are weight, then bias."""

    outputs: int
    is_relu: bool = True


class Conv(Record, frozen=True, tag="conv"):
    """A convolution, channels last: `weight[*window, channels, outputs]`, then `bias[outputs]`."""

    outputs: int
    window: tuple[int, ...]
    strides: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]
    is_relu: bool = True


class Pool(Record, frozen=True, tag="pool"):
    """Maximum or mean over windows of the spatial axes, without padding."""

    reduce: Literal["max", "mean"]
    window: tuple[int, ...]
    strides: tuple[int, ...]


class Flatten(Record, frozen=True, tag="flatten"):
    """All axes as one, row-major."""


Layer = Union[Dense, Conv, Pool, Flatten]


class Validation(Record, frozen=True):
    """A network and public records. `inputs` and `truths` are little-endian i32.

    `regression`: the score is minus the root mean squared error in thousandths, after the output
    was clipped to `low` and `high` (in 2^-16) and multiplied by `gain`. `classes`: ten thousandths
    of records whose largest output is the true class. `detection`: the F1 of records whose one
    output is positive, in ten thousandths. Higher is better in all of them.
    """

    task: str
    shape: tuple[int, ...]
    layers: tuple[Layer, ...]
    inputs: bytes
    truths: bytes
    gain: int = 1
    low: int = -VALUE_MAX
    high: int = VALUE_MAX

    @property
    def rows(self) -> int:
        """How many records there are."""
        return len(self.truths) // 4


def validation_set(
    task: Task,
    layers: tuple[Layer, ...],
    inputs: Floats,
    truths: NDArray[np.generic],
    *,
    gain: int = 1,
    output_range: tuple[float, float] = (-1024.0, 1024.0),
) -> Validation:
    """Make a validation set from `inputs: f32[rows, *shape]` and `truths[rows]`.

    Truths of a regression are in the unit of `gain * output`; else they are classes, 0 and 1 for
    `detection`.

    Raises:
        InvalidInput: BAD_ARGUMENTS for what cannot be scored.
    """
    scaled = np.rint(np.asarray(inputs, np.float64) * _ONE)
    if not np.isfinite(scaled).all() or (scaled.size and float(np.abs(scaled).max()) > VALUE_MAX):
        raise _bad("an input is not within 1024 of zero: scale the inputs")
    wanted = np.asarray(truths, np.float64)
    exact = np.rint(wanted / gain * _ONE) if task == "regression" else np.rint(wanted)
    if not np.isfinite(exact).all() or (exact.size and float(np.abs(exact).max()) > VALUE_MAX):
        raise _bad("a truth is not within 1024 times the gain")
    made = Validation(
        task=task,
        shape=tuple(scaled.shape[1:]),
        layers=layers,
        inputs=scaled.astype("<i4").tobytes(),
        truths=exact.astype("<i4").tobytes(),
        gain=gain,
        low=round(output_range[0] * _ONE),
        high=round(output_range[1] * _ONE),
    )
    check_validation(made)
    return made


def validation_to_bytes(validation: Validation) -> bytes:
    """The blob that the owner publishes."""
    return _MAGIC + encode(validation)


def validation_from_bytes(blob: bytes) -> Validation:
    """Read and check `validation_to_bytes`.

    Raises:
        InvalidInput: MALFORMED or BAD_ARGUMENTS.
    """
    if not blob.startswith(_MAGIC):
        raise InvalidInput(Code.MALFORMED, "the blob is no validation set")
    found = decode(Validation, blob.removeprefix(_MAGIC), size_max=VALIDATION_BYTES_MAX)
    check_validation(found)
    return found


def check_validation(validation: Validation, evaluations: int = 1) -> int:
    """Check all that another organisation made; gives the number of the model's parameters.

    `evaluations` is how often a round scores a model.

    Raises:
        InvalidInput: BAD_ARGUMENTS for layers that do not fit, or too much work for a round.
    """
    v = validation
    if v.task not in ("regression", "classes", "detection"):
        raise _bad(f"the task {v.task[:20]!r} is none of regression, classes, detection")
    if not 1 <= v.rows <= ROWS_MAX or len(v.truths) % 4 or not 1 <= len(v.layers) <= LAYERS_MAX:
        raise _bad(f"a validation set has 1 to {ROWS_MAX} records and 1 to {LAYERS_MAX} layers")
    if not (1 <= v.gain <= VALUE_MAX and -VALUE_MAX <= v.low <= v.high <= VALUE_MAX):
        raise _bad("the gain or the range of the output is out of bounds")
    if not 1 <= len(v.shape) <= 3 or len(v.inputs) != 4 * v.rows * _values(v.shape):
        raise _bad("the inputs do not have the records' shape")
    shape, parameters, work = v.shape, 0, 0
    for layer in v.layers:
        before = shape
        shape, sizes, cost = _measure(layer, shape)
        parameters += sum(prod(size) for size in sizes)
        work += cost + _values(before)
    if len(shape) != 1 or (v.task != "classes" and shape != (1,)):
        raise _bad(f"the network gives {shape}: one output, or one for each class")
    if work * v.rows * evaluations > WORK_MAX:
        raise _bad(f"scoring takes more than {WORK_MAX} multiply-adds a round: use fewer records")
    return parameters


def make_scorer(
    validation: Validation, parameters: int, fine_bits: int, evaluations: int = 1
) -> Callable[[Sums], int]:
    """Score models `i64[parameters]` in units of 2^-fine_bits; the same on every machine.

    Raises:
        InvalidInput: BAD_ARGUMENTS if the network has another number of parameters.
    """
    found = check_validation(validation, evaluations)
    if found != parameters:
        raise _bad(f"the network has {found} parameters, the model {parameters}")
    inputs = np.frombuffer(validation.inputs, "<i4").astype(np.int64)
    inputs = inputs.reshape(validation.rows, *validation.shape)
    truths = np.frombuffer(validation.truths, "<i4").astype(np.int64)
    shift = fine_bits - SCALE_BITS
    at_once = max(1, VALUES_AT_ONCE // _largest(validation))

    def score(model: Sums) -> int:
        units = model >> shift if shift >= 0 else model << -shift
        graph, tensors = _graph(validation, np.clip(units, -WEIGHT_MAX, WEIGHT_MAX))
        parts = [
            interpret(graph, tensors, inputs[place : place + at_once])
            for place in range(0, len(inputs), at_once)
        ]
        return _score(validation, np.concatenate(parts), truths)

    return score


def _score(validation: Validation, outputs: Sums, truths: Sums) -> int:
    match validation.task:
        case "regression":
            lives = np.clip(outputs[:, 0], validation.low, validation.high)
            # Below 2^28, so the squares of 65,536 records stay below 2^72: summed as Python's own.
            errors = [int(error) for error in np.abs(lives - truths)]
            mean = isqrt(sum(error * error for error in errors) * 1_000_000 // len(errors))
            return -(mean * validation.gain >> SCALE_BITS)
        case "classes":
            return int((outputs.argmax(axis=1) == truths).sum()) * 10_000 // len(truths)
        case _:
            said, true = outputs[:, 0] > 0, truths > 0
            right = int((said & true).sum())
            return 20_000 * right // max(1, int(said.sum()) + int(true.sum()))


def _graph(validation: Validation, weights: Sums) -> tuple[g.Graph, dict[str, Sums]]:
    """The layers as an integer graph, and the model's parameters as its tensors."""
    shape, place = validation.shape, 0
    operations: list[g.Operation] = []
    tensors: dict[str, Sums] = {"one": np.ones(1, np.int64), "bits": np.array([SCALE_BITS])}
    for index, layer in enumerate(validation.layers):
        shape, sizes, _ = _measure(layer, shape)
        x = len(operations)
        for kind, size in zip(("weight", "bias"), sizes, strict=False):
            values = np.asarray(weights[place : place + prod(size)].reshape(size))
            # A product of two fixed-point numbers has twice the bits, and the bias is added to it.
            tensors[f"{kind}{index}"] = np.left_shift(values, SCALE_BITS * (kind == "bias"))
            place += prod(size)
        match layer:
            case Dense(_, is_relu):
                operations.append(g.Dense(x, f"weight{index}", f"bias{index}"))
                operations.append(_rescale(x + 1, is_relu=is_relu))
            case Conv(_, _, strides, pads, is_relu):
                ones = (1,) * len(strides)
                names = (f"weight{index}", f"bias{index}")
                operations.append(g.Conv(x, *names, strides, pads, ones))
                operations.append(_rescale(x + 1, is_relu=is_relu))
            case Pool("max", window, strides):
                operations.append(g.Pool(x, "max", window, strides))
            case Pool(_, window, strides):
                operations.append(g.Pool(x, "sum", window, strides))
                tensors[f"part{index}"] = np.array([_ONE // prod(window)])
                operations.append(_rescale(x + 1, f"part{index}", is_relu=False))
            case Flatten():
                operations.append(g.Reshape(x, shape))
    return g.Graph(validation.shape, tuple(operations)), tensors


def _largest(validation: Validation) -> int:
    """Elements of the largest value of a record."""
    shape = validation.shape
    counts = [prod(shape)]
    for layer in validation.layers:
        shape = _measure(layer, shape)[0]
        counts.append(prod(shape))
    return max(counts)


def _rescale(x: int, multiplier: str = "one", *, is_relu: bool) -> g.Rescale:
    return g.Rescale(x, multiplier, "bits", 0 if is_relu else -VALUE_MAX, VALUE_MAX)


def _measure(
    layer: Layer, shape: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...], int]:
    """Output shape, shapes of the parameters, multiply-adds a record; refuses what does not fit."""
    sizes: tuple[tuple[int, ...], ...]
    if isinstance(layer, Flatten):
        return (_values(shape),), (), 0
    if isinstance(layer, Dense):
        result, fan_in = (*shape[:-1], layer.outputs), shape[-1]
        sizes = ((fan_in, layer.outputs), (layer.outputs,))
    elif isinstance(layer, Conv):
        if any(not 0 <= min(pad) <= max(pad) < PAD_MAX for pad in layer.pads):
            raise _bad(f"a pad is 0 to {PAD_MAX - 1} on each side")
        spatial = _windows(shape, layer.window, layer.strides, [sum(pad) for pad in layer.pads])
        result, fan_in = (*spatial, layer.outputs), prod(layer.window) * shape[-1]
        sizes = ((*layer.window, shape[-1], layer.outputs), (layer.outputs,))
    else:
        spatial = _windows(shape, layer.window, layer.strides, [0] * len(layer.window))
        result, fan_in, sizes = (*spatial, shape[-1]), prod(layer.window), ()
    if not 1 <= fan_in <= FAN_IN_MAX:
        raise _bad(f"an output depends on {fan_in} values, at most {FAN_IN_MAX}")
    return result, sizes, _values(result) * fan_in


def _windows(
    shape: tuple[int, ...], window: tuple[int, ...], strides: tuple[int, ...], pads: list[int]
) -> tuple[int, ...]:
    axes = len(shape) - 1
    if axes not in (1, 2) or not axes == len(window) == len(strides) == len(pads):
        raise _bad(f"a window over {len(window)} axes does not fit {shape}")
    counts = []
    for size, width, stride, pad in zip(shape, window, strides, pads, strict=False):
        if not (1 <= width <= size + pad and stride >= 1):
            raise _bad(f"a window of {width} does not fit {size} places")
        counts.append((size + pad - width) // stride + 1)
    return tuple(counts)


def _values(shape: tuple[int, ...]) -> int:
    count = prod(shape)
    if min(shape) < 1 or count > VALUES_MAX:
        raise _bad(f"a value has shape {shape}: 1 to {VALUES_MAX} elements")
    return count


def _bad(message: str) -> InvalidInput:
    return InvalidInput(Code.BAD_ARGUMENTS, message)

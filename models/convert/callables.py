"""JAX callables to certified graphs: trace, fold, calibrate, emit, and say what it cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import msgspec
import numpy as np
from numpy.typing import NDArray

from andon.core.errors import Code, InvalidInput
from models import graph as g
from models.certificate import Certificate, certify_graph
from models.convert import nodes as n
from models.convert.emit import OUTPUT_LIMIT, Emitter
from models.convert.fold import fold
from models.convert.layers import trace
from models.interpreter import trace as interpret_all
from models.rules import Tensor

CALIBRATION_MAX = 1024
SAMPLES_MIN = 8
CALIBRATION_ELEMENTS_MAX = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a model meets integers.

    The model was trained on `window * input_scale`. Its output times `gain` is in the package's
    unit, of which one output step is `1 / steps_per_unit`. Outputs are clipped to `low` and `high`
    in the package's unit.
    """

    input_scale: float = 1 / 127
    gain: float = 1.0
    steps_per_unit: int = 256
    low: float = -float(OUTPUT_LIMIT)
    high: float = float(OUTPUT_LIMIT)

    def output_range(self) -> tuple[int, int]:
        """The clip of the last operation, in output steps."""
        steps = self.steps_per_unit
        return (
            max(round(self.low * steps), -OUTPUT_LIMIT),
            min(round(self.high * steps), OUTPUT_LIMIT),
        )


@dataclass(frozen=True, slots=True)
class LayerLoss:
    """What one node lost: its kind, the bits it was held in, and error over signal (rms)."""

    name: str
    bits: int
    relative_error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """A certified graph and the losses of its nodes on the calibration samples."""

    graph: g.Graph
    tensors: dict[str, Tensor]
    certificate: Certificate
    losses: tuple[LayerLoss, ...]

    def lines(self) -> list[str]:
        """What each node lost to rounding, in order; the largest one is marked."""
        worst = max((loss.relative_error for loss in self.losses), default=0.0)
        return [
            f"  {loss.name:<16} {loss.bits:>2} bits  error {100 * loss.relative_error:6.2f} %"
            + ("  <- largest" if loss.relative_error == worst > 0 else "")
            for loss in self.losses
        ]


def convert_callable(
    model: Callable[[jax.Array], jax.Array], samples: NDArray[np.int8], options: Options
) -> Conversion:
    """Quantise `model` after training, calibrated on `samples: i8[n, *input_shape]`.

    Raises:
        InvalidInput: NOT_CERTIFIED when the model holds what cannot become integers, or BAD_DATASET
            for too few samples.
    """
    if len(samples) < SAMPLES_MIN:
        raise InvalidInput(Code.BAD_DATASET, f"calibration needs at least {SAMPLES_MIN} samples")
    elements = int(np.prod(samples.shape[1:]))
    count = min(len(samples), CALIBRATION_MAX, max(64, CALIBRATION_ELEMENTS_MAX // elements))
    places = np.linspace(0, len(samples) - 1, count).astype(int)
    chosen = np.ascontiguousarray(samples[places])
    values = chosen.astype(np.float32) * np.float32(options.input_scale)
    try:
        nodes, output = trace(model, values)
    except jax.errors.JAXTypeError as error:
        raise InvalidInput(
            Code.NOT_CERTIFIED,
            f"{type(model).__name__} does not trace: {str(error).splitlines()[0]}",
            hint="give a function of jax.numpy, an NNX module, or a fitted scikit-learn estimator",
            rule="convert",
        ) from error
    nodes = fold(nodes, (output,))
    emitter = Emitter(nodes, options.input_scale)
    emitter.output(output, 1 / (options.steps_per_unit * options.gain), options.output_range())
    graph = prune(g.Graph(tuple(samples.shape[1:]), tuple(emitter.operations)))
    used = {name for operation in graph.operations for name in g.tensors(operation)}
    tensors = {name: emitter.tensors[name] for name in sorted(used)}
    certificate = certify_graph(graph, tensors)
    losses = _losses(emitter, nodes, chosen[:64])
    return Conversion(graph=graph, tensors=tensors, certificate=certificate, losses=losses)


def prune(graph: g.Graph) -> g.Graph:
    """Drop operations whose results nothing reads; the output stays last."""
    wanted = {len(graph.operations)}
    for index in range(len(graph.operations), 0, -1):
        if index in wanted:
            wanted.update(g.operands(graph.operations[index - 1]))
    kept = [index for index in range(1, len(graph.operations) + 1) if index in wanted]
    if len(kept) == len(graph.operations):
        return graph
    places = {0: 0, **{old: new for new, old in enumerate(kept, 1)}}
    moved = tuple(renumber(graph.operations[index - 1], places) for index in kept)
    return g.Graph(graph.input_shape, moved)


def renumber(operation: g.Operation, places: dict[int, int]) -> g.Operation:
    """The same operation reading values under their new numbers."""
    if isinstance(operation, g.Constant):
        return operation
    if isinstance(operation, g.Concat):
        return msgspec.structs.replace(operation, inputs=tuple(places[i] for i in operation.inputs))
    if isinstance(operation, g.MatMul | g.Add | g.Subtract | g.Multiply | g.FloorDivide):
        return msgspec.structs.replace(operation, a=places[operation.a], b=places[operation.b])
    return msgspec.structs.replace(operation, x=places[operation.x])


def _losses(
    emitter: Emitter, nodes: list[n.Node], samples: NDArray[np.int8]
) -> tuple[LayerLoss, ...]:
    graph = g.Graph(nodes[0].shape, tuple(emitter.operations))
    values = interpret_all(graph, emitter.tensors, samples)
    losses = []
    for (node, bits), index in sorted(emitter.forms.items()):
        wanted = nodes[node].values[: len(samples)].astype(np.float64)
        found = values[index] * emitter.scale(node, bits)
        signal = float(np.sqrt(np.mean(wanted**2))) or 1.0
        error = float(np.sqrt(np.mean((found.reshape(wanted.shape) - wanted) ** 2)))
        name = f"{node}:{type(nodes[node].kind).__name__.lower()}"
        losses.append(LayerLoss(name, bits, error / signal))
    return tuple(losses)

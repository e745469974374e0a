"""The static certificate: a proof by ranges that a graph is exact on every backend.

Certifying reads the graph and its weights once, runs nothing, and needs no JAX. It establishes
that every operand is in [-127, 127], every sum of products fits its accumulator in any order of
addition, every table index, shift and divisor is in its domain, and no value leaves int32; and it
counts multiply-adds, from which gas is priced. Source: exact_ml 2.2-2.3, 2.9.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from andon.core.errors import InvalidInput
from models import graph as g
from models.rules import (
    ELEMENTS_MAX,
    FLOAT_EXACT_MAX,
    OPERAND_MAX,
    RANK_MAX,
    Ruling,
    Tensors,
    ValueType,
    bounded,
    require,
    rule,
)

MULTIPLY_ADDS_MAX = 1 << 34
SCAN_STEPS_MAX = 2048
CARRIES_MAX = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What was proved: one ruling an operation, body rulings of scans, and the totals.

    `bodies` maps the index of a scan to the certificate of its body.
    """

    input: ValueType
    rulings: tuple[Ruling, ...]
    bodies: dict[int, Certificate] = field(default_factory=dict)
    multiply_adds: int

    @property
    def output(self) -> ValueType:
        """The type of the last value."""
        return self.rulings[-1].type

    def types(self) -> list[ValueType]:
        """The type of every value, the input first."""
        return [self.input, *(ruling.type for ruling in self.rulings)]


def certify_graph(graph: g.Graph, tensors: Tensors) -> Certificate:
    """Prove that a graph is exact, or refuse it.

    Raises:
        InvalidInput: NOT_CERTIFIED with the operation's index, its name and the rule it breaks.
    """
    shape = graph.input_shape
    require(1 <= len(shape) <= RANK_MAX and all(n >= 1 for n in shape), "shape", "input shape")
    require(0 < len(graph.operations) <= g.OPERATIONS_MAX, "size", "1 to 1,024 operations")
    wanted = {name for operation in graph.operations for name in g.tensors(operation)}
    missing = sorted(wanted - set(tensors))
    require(not missing, "tensors", f"tensors {missing[:4]} are not in the weights")
    unused = sorted(set(tensors) - wanted)
    require(not unused, "tensors", f"tensors {unused[:4]} are used by no operation")
    start = ValueType(shape, -OPERAND_MAX, OPERAND_MAX)
    require(start.elements <= ELEMENTS_MAX, "size", "input has too many elements")
    certificate = _certify(graph.operations, [start], tensors, start)
    require(len(certificate.output.shape) == 1, "shape", "the output must be a vector")
    require(certificate.multiply_adds <= MULTIPLY_ADDS_MAX, "size", "too many multiply-adds")
    return certificate


def judge(operation: g.Operation, types: list[ValueType], tensors: Tensors) -> Ruling:
    """Judge one more operation of a graph in the making, scans included.

    Raises:
        InvalidInput: NOT_CERTIFIED.
    """
    if isinstance(operation, g.Scan):
        ruling, _ = _scan(operation, types[operation.x], tensors)
        bounded(ruling.type)
        return ruling
    return rule(operation, types, tensors)


def _certify(
    operations: tuple[g.Operation, ...], types: list[ValueType], tensors: Tensors, start: ValueType
) -> Certificate:
    rulings: list[Ruling] = []
    bodies: dict[int, Certificate] = {}
    for index, operation in enumerate(operations):
        try:
            known = all(0 <= i < len(types) for i in g.operands(operation))
            require(known, "order", "reads a value that does not come before it")
            if isinstance(operation, g.Scan):
                ruling, bodies[index] = _scan(operation, types[operation.x], tensors)
            else:
                ruling = rule(operation, types, tensors)
            bounded(ruling.type)
        except InvalidInput as error:
            error.fields.update(operation=index, name=g.name_of(operation))
            error.message = f"operation {index} ({g.name_of(operation)}): {error.message}"
            raise
        types.append(ruling.type)
        rulings.append(ruling)
    total = sum(ruling.multiply_adds for ruling in rulings)
    return Certificate(input=start, rulings=tuple(rulings), bodies=bodies, multiply_adds=total)


def _scan(operation: g.Scan, x: ValueType, tensors: Tensors) -> tuple[Ruling, Certificate]:
    require(len(x.shape) >= 2, "scan", "a scan folds over the first of at least two axes")
    steps = x.shape[0]
    require(1 <= steps <= SCAN_STEPS_MAX, "scan", f"1 to {SCAN_STEPS_MAX} steps")
    count = len(operation.shapes)
    require(1 <= count <= CARRIES_MAX, "scan", f"1 to {CARRIES_MAX} carries")
    require(count == len(operation.bounds) == len(operation.results), "scan", "carries differ")
    require(0 < len(operation.body) <= g.OPERATIONS_MAX, "scan", "empty or oversized body")
    step = ValueType(x.shape[1:], x.low, x.high)
    carries = [
        ValueType(shape, -bound, bound)
        for shape, bound in zip(operation.shapes, operation.bounds, strict=True)
    ]
    for carry in carries:
        bounded(carry)
    body = _certify(operation.body, [step, *carries], tensors, step)
    values = [step, *carries, *(ruling.type for ruling in body.rulings)]
    for index, carry in zip(operation.results, carries, strict=True):
        require(0 <= index < len(values), "scan", "a carry's result does not exist")
        result = values[index]
        require(result.shape == carry.shape, "scan", "a carry changes its shape")
        require(result.magnitude <= carry.high, "scan", "a carry may leave its certified bound")
    first = carries[0]
    shape = (steps, *first.shape) if operation.emit_all else first.shape
    ruling = Ruling(ValueType(shape, first.low, first.high), steps * body.multiply_adds)
    return ruling, body


def describe(graph: g.Graph, certificate: Certificate) -> str:
    """Render a certificate as a table for people: shape, range, bound and blocks a line."""
    lines = [f"input {certificate.input.shape} in [-127, 127]"]
    for index, (operation, ruling) in enumerate(
        zip(graph.operations, certificate.rulings, strict=True), 1
    ):
        kind = ruling.type
        text = f"%{index} = {g.name_of(operation)}{list(g.operands(operation))}: {kind.shape} "
        text += f"in [{kind.low}, {kind.high}]"
        if ruling.blocks:
            share = 100 * ruling.bound / FLOAT_EXACT_MAX
            text += f", sum of |products| {ruling.bound} ({share:.1f} % of 2^24)"
            text += f", {len(ruling.blocks)} block{'s' if len(ruling.blocks) > 1 else ''}"
        lines.append(text)
    lines.append(f"{certificate.multiply_adds} multiply-adds")
    return "\n".join(lines)

"""How many bytes a graph holds at a time for one row, and so how many rows one call may have.

Static, as the certificate is: read from shapes and from who reads what last. It counts the values
as the interpreter keeps them (int64, the widest of all), with what sums of products copy besides.
Weights are not in it; the size of a package bounds them.
"""

from __future__ import annotations

from math import prod

from models import graph as g
from models.buckets import BUCKETS
from models.certificate import Certificate
from models.rules import Tensors, ValueType, require

VALUE_BYTES = 8
COLUMN_BYTES = 2
"""Only XLA gathers columns, as int8 or bfloat16 where batches are large."""
ROW_BYTES_MAX = 256 * 1024 * 1024
BATCH_BYTES_MAX = 512 * 1024 * 1024


def row_bytes(graph: g.Graph, certificate: Certificate, tensors: Tensors) -> int:
    """Bytes that the values of one row take when most of them live.

    Raises:
        InvalidInput: NOT_CERTIFIED beyond ROW_BYTES_MAX.
    """
    most = VALUE_BYTES * _most_elements(graph.operations, certificate, tensors)
    require(most <= ROW_BYTES_MAX, "size", f"one window takes {most} bytes, over {ROW_BYTES_MAX}")
    return most


def rows_max(bytes_of_row: int) -> int:
    """The largest batch of `BUCKETS` that stays within BATCH_BYTES_MAX, or 1."""
    return max([1, *(size for size in BUCKETS if size * bytes_of_row <= BATCH_BYTES_MAX)])


def _most_elements(
    operations: tuple[g.Operation, ...], certificate: Certificate, tensors: Tensors
) -> int:
    kinds = certificate.types()
    last = {v: place for place, operation in enumerate(operations) for v in g.operands(operation)}
    live = most = kinds[0].elements
    for place, operation in enumerate(operations):
        live += kinds[place + 1].elements
        if isinstance(operation, g.Scan):
            besides = _body_elements(operation, certificate.bodies[place], tensors)
        else:
            besides = _besides(operation, kinds, kinds[place + 1], tensors)
        most = max(most, live + besides)
        # What nothing reads stays until the end, as it does in the interpreter.
        gone = {value for value in g.operands(operation) if last[value] == place}
        live -= sum(kinds[value].elements for value in gone)
    return most


def _besides(
    operation: g.Operation, kinds: list[ValueType], made: ValueType, tensors: Tensors
) -> int:
    """Elements beside operands and result: terms of sums, padded inputs, columns of products."""
    if not isinstance(operation, g.Conv | g.Depthwise):
        return 2 * made.elements
    shape, kernel = kinds[operation.x].shape, tensors[operation.weight].shape
    sides = (side + sum(pad) for side, pad in zip(shape[:-1], operation.pads, strict=True))
    padded = prod(sides) * shape[-1]
    columns = prod(made.shape[:-1]) * prod(kernel[:-1]) if isinstance(operation, g.Conv) else 0
    return padded + columns * COLUMN_BYTES // VALUE_BYTES + made.elements


def _body_elements(operation: g.Scan, body: Certificate, tensors: Tensors) -> int:
    """A step keeps all its values, and what was emitted is copied once when it is put together."""
    carries = [ValueType(shape, 0, 0) for shape in operation.shapes]
    kinds = [body.input, *carries, *(ruling.type for ruling in body.rulings)]
    results = kinds[1 + len(carries) :]
    besides = [
        _besides(each, kinds, made, tensors)
        for each, made in zip(operation.body, results, strict=True)
        if not isinstance(each, g.Scan)
    ]
    inner = [
        _body_elements(each, body.bodies[place], tensors)
        for place, each in enumerate(operation.body)
        if isinstance(each, g.Scan)
    ]
    return sum(kind.elements for kind in kinds) + max(besides + inner, default=0)

"""Vectors of a start: every operation, at the edges; whatever lies is named."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from andon.core.errors import Code, Unavailable
from models import graph as g
from models.certificate import certify_graph
from models.conformance import Execute, check_backend, start_up_graph
from models.interpreter import interpret
from models.rules import Tensor


def by_numpy(graph: g.Graph, tensors: dict[str, Tensor]) -> Execute:
    return lambda batch: interpret(graph, tensors, batch).astype(np.int32)


def test_the_graph_holds_every_operation_and_reaches_the_bound_of_float32() -> None:
    graph, tensors = start_up_graph()
    certificate = certify_graph(graph, tensors)
    inner = [o for s in graph.operations if isinstance(s, g.Scan) for o in s.body]
    held = {type(operation) for operation in (*graph.operations, *inner)}
    assert held == set(g.Operation.__args__)  # type: ignore[attr-defined] # a union's members
    assert certificate.types()[1].high == 1 << 24


def test_the_interpreter_itself_passes() -> None:
    assert check_backend(by_numpy) > 0


@pytest.mark.parametrize(("element", "operation"), [(0, "dense"), (20, "multiply"), (24, "scan")])
def test_a_backend_that_is_off_by_one_is_told_where(element: int, operation: str) -> None:
    def lying(graph: g.Graph, tensors: dict[str, Tensor]) -> Execute:
        sound = by_numpy(graph, tensors)

        def execute(batch: NDArray[np.int8]) -> NDArray[np.int32]:
            outputs = sound(batch)
            outputs[-1, element] += 1
            return outputs

        return execute

    with pytest.raises(Unavailable) as caught:
        check_backend(lying)
    assert caught.value.code is Code.CONFORMANCE_FAILED
    assert caught.value.fields == {"operation": operation, "element": element}

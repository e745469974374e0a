"""Divergence reports: who is at fault, element, operation."""

from __future__ import annotations

import numpy as np
import pytest

from models import divergence
from models.divergence import explain
from models.interpreter import trace
from models.package import Package
from models.runtime import Runtime


def outputs(tiny: Package) -> tuple[bytes, tuple[int, ...]]:
    return tiny.golden.windows[0], tiny.golden.outputs[0]


def test_equal_outputs_blame_nobody(tiny: Package) -> None:
    window, norm = outputs(tiny)
    assert explain(tiny, window, norm, norm, "numpy").at_fault == "nobody"


def test_a_committed_output_that_the_graph_does_not_mean_is_blamed(tiny: Package) -> None:
    window, norm = outputs(tiny)
    report = explain(tiny, window, (norm[0], norm[1] + 3), norm, "numpy")
    assert (report.at_fault, report.element) == ("committed", 1)
    assert (report.expected, report.committed, report.found) == (norm[1], norm[1] + 3, norm[1])
    assert (report.operation, report.name) == (3, "dense")


def test_a_backend_that_is_wrong_is_blamed_with_its_first_wrong_operation(
    tiny: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    window, norm = outputs(tiny)
    batch = np.frombuffer(window, np.int8).reshape(1, *tiny.manifest.input_shape)
    values = [np.array(value) for value in trace(tiny.graph, tiny.weights, batch)]
    broken = [value + (place > 0) for place, value in enumerate(values[1:])]

    monkeypatch.setattr("models.compile.trace_package", lambda *_: broken)
    report = explain(tiny, window, norm, (norm[0] + 1, norm[1]), "cpu")
    assert (report.at_fault, report.element) == ("backend", 0)
    assert (report.operation, report.name) == (1, "dense")


def test_this_backend_computes_every_operation_as_it_is_meant(tiny: Package) -> None:
    window, norm = outputs(tiny)
    runtime = Runtime("cpu")
    runtime.warm()
    runtime.load(tiny.to_blob())
    (found,) = runtime.predict(tiny.id, [window])
    assert found == norm
    report = explain(tiny, window, norm, (norm[0] + 1, norm[1]), "cpu")
    # Each operation alone is right here, so the last one, which gives the output, is named.
    assert report.operation == len(tiny.graph.operations) - 1
    assert report.at_fault == divergence.BACKEND

"""The runtime: loads what is sound, predicts exactly, and notices a backend that lies."""

from __future__ import annotations

import dataclasses

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from andon.core.codec import encode
from andon.core.errors import Code, InvalidInput, Unavailable
from andon.core.hashing import Domain, digest
from andon.core.package import Golden
from models import runtime as runtime_module
from models.buckets import BUCKETS
from models.interpreter import interpret
from models.package import Package
from models.runtime import Runtime
from tests.unit.models.conftest import tiny_package


def loaded(package: Package) -> Runtime:
    runtime = Runtime("cpu")
    runtime.warm()
    runtime.load(package.to_blob())
    return runtime


@pytest.fixture(scope="module")
def cpu(tiny: Package) -> Runtime:
    return loaded(tiny)


def windows(count: int) -> list[bytes]:
    random = np.random.default_rng(count)
    return [random.integers(-127, 128, 6).astype(np.int8).tobytes() for _ in range(count)]


@pytest.mark.parametrize("count", [1, 2, 9, 70, 300])
def test_predictions_equal_the_interpreter_at_any_batch_size(
    cpu: Runtime, tiny: Package, count: int
) -> None:
    batch = np.frombuffer(b"".join(windows(count)), np.int8).reshape(-1, 2, 3)
    expected = [tuple(row) for row in interpret(tiny.graph, tiny.weights, batch).tolist()]
    assert cpu.predict(tiny.id, windows(count)) == expected


def test_no_windows_give_no_outputs(cpu: Runtime, tiny: Package) -> None:
    assert cpu.predict(tiny.id, []) == []


def test_the_numpy_backend_needs_no_jax_and_agrees(cpu: Runtime, tiny: Package) -> None:
    plain = Runtime("numpy")
    assert plain.load(tiny.to_blob()) == tiny.id
    assert plain.predict(tiny.id, windows(5)) == cpu.predict(tiny.id, windows(5))


def test_loading_twice_is_the_same_model(cpu: Runtime, tiny: Package) -> None:
    assert cpu.load(tiny.to_blob()) == tiny.id
    assert cpu.loaded() == (tiny.id,)


def test_an_unknown_model_and_a_bad_window_are_typed_errors(cpu: Runtime, tiny: Package) -> None:
    with pytest.raises(InvalidInput) as unknown:
        cpu.predict(bytes(32), [b"\0" * 6])
    assert unknown.value.code is Code.MODEL_NOT_ACTIVE
    for window in (b"\0" * 5, b"\x80" + b"\0" * 5):
        with pytest.raises(InvalidInput) as bad:
            cpu.predict(tiny.id, [b"\0" * 6, window])
        assert bad.value.code is Code.BAD_MODEL_INPUT


def test_an_unloaded_model_is_gone(tiny: Package) -> None:
    runtime = Runtime("numpy")
    runtime.load(tiny.to_blob())
    runtime.unload(tiny.id)
    with pytest.raises(InvalidInput):
        runtime.manifest(tiny.id)


def test_more_models_than_the_bound_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime_module, "MODELS_MAX", 1)
    runtime = Runtime("numpy")
    runtime.load(tiny_package("one").to_blob())
    with pytest.raises(Unavailable) as caught:
        runtime.load(tiny_package("two").to_blob())
    assert caught.value.code is Code.TOO_MANY


class Lying(Runtime):
    """A backend that is off by one in one element of one input."""

    def _executor(self, package: Package) -> runtime_module.Executor:
        def execute(batch: NDArray[np.int8]) -> NDArray[np.int32]:
            outputs = interpret(package.graph, package.weights, batch).astype(np.int32)
            outputs[(batch == 127).all(axis=(1, 2)), 1] += 1
            return outputs

        return execute


def test_a_backend_that_computes_something_else_is_named_with_input_and_element(
    tiny: Package,
) -> None:
    with pytest.raises(Unavailable) as caught:
        Lying("cpu").load(tiny.to_blob())
    error = caught.value
    assert error.code is Code.CONFORMANCE_FAILED
    assert error.fields["model"] == tiny.id.hex()
    assert error.fields["input"] == (b"\x7f" * 6).hex()
    assert error.fields["element"] == 1
    assert error.fields["found"] == int(str(error.fields["expected"])) + 1


def test_a_machine_that_starts_to_lie_is_caught_by_a_spot_check(
    tiny: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime_module, "RECHECK_EVERY", 4)
    runtime = Runtime("cpu")
    runtime.load(tiny.to_blob())
    model = runtime._models[tiny.id]
    sound = model.execute
    model.execute = lambda batch: sound(batch) + 1
    # The first batch is spot-checked; no later one of this model is served either.
    for count in (8, 1, 1):
        with pytest.raises(Unavailable) as caught:
            runtime.predict(tiny.id, windows(count))
        assert caught.value.code is Code.CONFORMANCE_FAILED
    model.execute = sound
    runtime.conformance(tiny.id)
    assert len(runtime.predict(tiny.id, windows(1))) == 1


def test_golden_outputs_that_are_not_the_graphs_are_the_packages_fault(tiny: Package) -> None:
    first, *rest = tiny.golden.outputs
    golden = Golden(tiny.golden.windows, (tuple(v + 1 for v in first), *rest))
    manifest = msgspec.structs.replace(
        tiny.manifest, golden_digest=digest(Domain.BLOB, encode(golden))
    )
    blob = dataclasses.replace(tiny, golden=golden, manifest=manifest).to_blob()
    with pytest.raises(InvalidInput) as caught:
        Runtime("numpy").load(blob)
    assert caught.value.code is Code.BAD_MODEL_PACKAGE
    assert caught.value.fields["input"] == 0


def test_an_unknown_backend_is_refused() -> None:
    with pytest.raises(InvalidInput) as caught:
        Runtime("quantum")
    assert caught.value.code is Code.BAD_CONFIG


def test_conformance_runs_again_on_demand(cpu: Runtime, tiny: Package) -> None:
    cpu.conformance(tiny.id)
    with pytest.raises(InvalidInput):
        cpu.conformance(bytes(32))


def test_batches_are_computed_in_sizes_that_are_ready_while_others_are_warmed(
    tiny: Package,
) -> None:
    runtime = loaded(tiny)
    plain = Runtime("numpy")
    plain.load(tiny.to_blob())
    assert runtime.begin_warming(tiny.id)
    (model,) = runtime._models.values()
    assert runtime.predict(tiny.id, windows(300)) == plain.predict(tiny.id, windows(300))
    assert model.batches_checked == {1, 64}
    while runtime.warm_next(tiny.id):
        pass
    assert model.batches_checked == set(BUCKETS)
    assert not runtime.begin_warming(tiny.id)
    assert runtime.predict(tiny.id, windows(300)) == plain.predict(tiny.id, windows(300))


def test_a_size_that_computes_something_else_fails_the_model_when_it_is_warmed(
    tiny: Package,
) -> None:
    runtime = loaded(tiny)
    assert runtime.begin_warming(tiny.id)
    (model,) = runtime._models.values()
    model.expected = model.expected + 1
    assert runtime.warm_next(tiny.id)
    with pytest.raises(Unavailable) as caught:
        runtime.predict(tiny.id, windows(1))
    assert caught.value.code is Code.CONFORMANCE_FAILED


def test_a_size_that_cannot_be_compiled_in_the_background_leaves_all_to_whoever_needs_them(
    tiny: Package,
) -> None:
    runtime = loaded(tiny)
    assert runtime.begin_warming(tiny.id)
    (model,) = runtime._models.values()
    execute = model.execute

    def refuse(windows: NDArray[np.int8], sizes: tuple[int, ...] = BUCKETS) -> NDArray[np.int32]:
        raise MemoryError

    model.execute = refuse
    with pytest.raises(MemoryError):
        runtime.warm_next(tiny.id)
    model.execute = execute
    assert not runtime.warm_next(tiny.id)
    runtime.predict(tiny.id, windows(300))
    assert model.batches_checked > {1, 64}, "sizes are compiled again when they are needed"


def test_nothing_is_warmed_without_jax_or_a_model(tiny: Package) -> None:
    plain = Runtime("numpy")
    plain.load(tiny.to_blob())
    assert not plain.begin_warming(tiny.id)
    assert not plain.warm_next(tiny.id)
    assert not plain.begin_warming(bytes(32))

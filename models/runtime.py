"""Loaded models of one process: open, compile, check against the interpreter, predict.

Nothing here is trusted for being fast: what XLA computes is compared with the normative
interpreter when a batch size is first compiled, on demand, and again for one window in
`RECHECK_EVERY` while running (exact_ml R10: compilers have had wrong sums, machines have bit
flips).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from andon.core.errors import Code, InvalidInput, Unavailable
from andon.core.model import ModelId, ModelManifest, validate_windows
from andon.core.package import open_parts
from models.buckets import BUCKETS, split
from models.environment import BACKENDS, prepare_environment
from models.interpreter import interpret
from models.memory import rows_max
from models.package import EDGES_MAX, Package, checks_max, edge_windows

if TYPE_CHECKING:
    from models.attested.package import FloatModel

MODELS_MAX = 256
RECHECK_EVERY = 4096
ATTESTED = "attested"
WARM_BUCKETS = (1, 64)


class Executor(Protocol):
    """Computes a batch, in calls of some sizes where it was compiled."""

    def __call__(
        self, windows: NDArray[np.int8], sizes: tuple[int, ...] = BUCKETS
    ) -> NDArray[np.int32]:
        """Evaluate `i8[batch, *input_shape]`: `i32[batch, outputs]`."""
        ...


@dataclass(slots=True)
class _Model:
    package: Package
    execute: Executor
    windows: NDArray[np.int8]
    expected: NDArray[np.int64]
    batches_checked: set[int] = field(default_factory=set)
    cold: tuple[int, ...] = ()
    """Batch sizes that somebody warms in the background; until then nobody waits for them."""
    predictions: int = 0
    failed: Unavailable | None = None
    """The difference that was found; nothing is served from then on."""


class Runtime:
    """Models by id on one backend: "cpu", "gpu", "tpu", or "numpy" (the interpreter itself)."""

    def __init__(self, backend: str = "cpu") -> None:
        if backend not in BACKENDS:
            raise InvalidInput(
                Code.BAD_CONFIG, f"no backend {backend!r}", hint="one of " + ", ".join(BACKENDS)
            )
        self.backend = backend
        self._models: dict[bytes, _Model] = {}
        self._floats: dict[bytes, FloatModel] = {}

    def warm(self) -> str:
        """Import and start the backend; return a line that describes it.

        Raises:
            Unavailable: WORKER_DOWN when the backend cannot start here.
        """
        if self.backend == "numpy":
            return f"numpy {np.__version__}"
        prepare_environment(self.backend)
        import jax  # noqa: PLC0415 # jax takes seconds to import and reads the environment

        try:
            device = jax.devices(self.backend)[0]
        except RuntimeError as error:
            raise Unavailable(
                Code.WORKER_DOWN,
                f"backend {self.backend} does not start: {error}",
                hint="install the jax build for it or choose --backend cpu",
            ) from None
        if self.backend != "cpu":
            # On a CPU every model is compared at its own shapes when it is loaded, which says more
            # and costs no second of each start.
            self.check_backend()
        return f"jax {jax.__version__} {device.platform} {device.device_kind}"

    def check_backend(self) -> int:
        """Compare this backend with the interpreter on every operation; the values compared.

        Raises:
            Unavailable: CONFORMANCE_FAILED with the operation that differs.
        """
        if self.backend == "numpy":
            return 0
        from models.compile import graph_executor  # noqa: PLC0415 # imports jax
        from models.conformance import check_backend  # noqa: PLC0415

        return check_backend(lambda graph, tensors: graph_executor(graph, tensors, self.backend))

    def load(self, blob: bytes) -> ModelId:
        """Open, compile and check a package; loading it again is free.

        Raises:
            InvalidInput: as `Package.from_blob`, or BAD_MODEL_PACKAGE when the golden vectors are
                not what the graph computes.
            Unavailable: CONFORMANCE_FAILED when this backend computes something else.
        """
        if len(self._models) + len(self._floats) >= MODELS_MAX:
            raise Unavailable(
                Code.TOO_MANY, f"{MODELS_MAX} models are loaded", hint="retire or unload one"
            )
        if open_parts(blob)[1].kind == ATTESTED:
            return self._load_float(blob)
        package = Package.from_blob(blob)
        if package.id in self._models:
            return package.id
        golden = np.frombuffer(b"".join(package.golden.windows), np.int8)
        shape = package.manifest.input_shape
        work = package.manifest.multiply_adds
        edges = edge_windows(shape)[: checks_max(work, EDGES_MAX)]
        windows = np.concatenate([golden.reshape(-1, *shape), edges])
        expected = _meaning(package, windows)
        _check_golden(package, expected)
        model = _Model(package, self._executor(package), windows, expected)
        for bucket in WARM_BUCKETS if self.backend != "numpy" else ():
            if bucket <= min(rows_max(package.row_bytes), checks_max(work, bucket)):
                _conform(model, bucket)
        self._models[package.id] = model
        return package.id

    def begin_warming(self, model_id: bytes) -> bool:
        """Plan to compile the batch sizes that `load` left out; True if `warm_next` is to do it.

        Until a size is ready, batches are computed in those that are. A model whose checks take
        long compiles what it needs when it needs it.
        """
        model = self._models.get(model_id)
        if model is None or not model.batches_checked.issuperset(WARM_BUCKETS):
            return False
        package = model.package
        work, largest = package.manifest.multiply_adds, rows_max(package.row_bytes)
        model.cold = tuple(
            size
            for size in BUCKETS
            if size not in model.batches_checked and size <= min(largest, checks_max(work, size))
        )
        return bool(model.cold)

    def warm_next(self, model_id: bytes) -> bool:
        """Compile and check one batch size of those planned; True if there are more.

        A difference that is found fails the model's predictions from then on, as in `predict`.
        """
        model = self._models.get(model_id)
        if model is None or not model.cold:
            return False
        try:
            _conform(model, model.cold[0])
        except Unavailable as error:
            model.failed = error
        except BaseException:
            model.cold = ()  # nobody goes on: what is left is compiled by who needs it
            raise
        model.cold = model.cold[1:]
        return bool(model.cold)

    def _load_float(self, blob: bytes) -> ModelId:
        if self.backend == "numpy":
            raise Unavailable(
                Code.WORKER_DOWN, "float models need JAX", hint="choose --backend cpu"
            )
        from models.attested.package import FloatModel, FloatPackage  # noqa: PLC0415 # imports jax

        package = FloatPackage.from_blob(blob)
        if package.id not in self._floats:
            self._floats[package.id] = FloatModel(package, self.backend)
        return package.id

    def unload(self, model_id: bytes) -> None:
        """Forget a model; unknown ids are ignored."""
        self._models.pop(model_id, None)
        self._floats.pop(model_id, None)

    def manifest(self, model_id: bytes) -> ModelManifest:
        """The manifest of a loaded model. Raises InvalidInput MODEL_NOT_ACTIVE if it is not."""
        found = self._floats.get(model_id)
        return self._get(model_id).package.manifest if found is None else found.package.manifest

    def loaded(self) -> tuple[ModelId, ...]:
        """The ids of the loaded models, in order of loading."""
        exact = tuple(model.package.id for model in self._models.values())
        return exact + tuple(model.package.id for model in self._floats.values())

    def predict(self, model_id: bytes, windows: Sequence[bytes]) -> list[tuple[int, ...]]:
        """Evaluate windows of one model, in order.

        Raises:
            InvalidInput: MODEL_NOT_ACTIVE, BAD_MODEL_INPUT.
            Unavailable: CONFORMANCE_FAILED when a check finds this machine wrong; from then on for
                every batch of the model, until `conformance` holds or it is loaded anew.
        """
        found = self._floats.get(model_id)
        if found is not None:
            return found.predict(windows)
        model = self._get(model_id)
        manifest = model.package.manifest
        validate_windows(manifest, windows)
        if not windows:
            return []
        if model.failed is not None:
            raise model.failed.with_traceback(None)
        batch = np.frombuffer(b"".join(windows), np.int8).reshape(-1, *manifest.input_shape)
        sizes = tuple(sorted(model.batches_checked)) if model.cold else BUCKETS
        try:
            for bucket in self._buckets(model, len(batch), sizes):
                if bucket not in model.batches_checked:
                    _conform(model, bucket)
            outputs = model.execute(batch, sizes)
            self._spot_check(model, batch, outputs)
        except Unavailable as error:
            # What was wrong once is not asked again: the next check would be 4,096 outputs later.
            model.failed = error
            raise
        return [tuple(row) for row in outputs.tolist()]

    def conformance(self, model_id: bytes) -> None:
        """Compare the backend with the interpreter on golden and edge inputs, every batch size.

        Raises:
            Unavailable: CONFORMANCE_FAILED with model, input, element, expected and found.
        """
        found = self._floats.get(model_id)
        if found is not None:
            found.measure()
            return
        model = self._get(model_id)
        if self.backend != "numpy":
            for bucket in sorted(model.batches_checked):
                _conform(model, bucket)
        _check_golden(model.package, model.expected)
        model.failed = None

    def package(self, model_id: bytes) -> Package:
        """The package of a loaded exact model. Raises InvalidInput MODEL_NOT_ACTIVE."""
        return self._get(model_id).package

    def _executor(self, package: Package) -> Executor:
        if self.backend == "numpy":
            return _Interpreted(package)
        from models.compile import compile_package  # noqa: PLC0415 # imports jax

        return compile_package(package, self.backend)

    def _get(self, model_id: bytes) -> _Model:
        model = self._models.get(model_id)
        if model is None:
            raise InvalidInput(
                Code.MODEL_NOT_ACTIVE,
                f"model {model_id.hex()[:16]} is not loaded",
                hint="load its package first",
            )
        return model

    def _buckets(self, model: _Model, count: int, sizes: tuple[int, ...]) -> set[int]:
        if self.backend == "numpy":
            return set()
        from models.compile import row_cost  # noqa: PLC0415 # imports jax

        package = model.package
        largest = rows_max(package.row_bytes)
        return set(split(count, row_cost(package, self.backend), largest, sizes))

    def _spot_check(
        self, model: _Model, batch: NDArray[np.int8], outputs: NDArray[np.int32]
    ) -> None:
        before = model.predictions // RECHECK_EVERY
        model.predictions += len(batch)
        if model.predictions // RECHECK_EVERY == before or self.backend == "numpy":
            return
        place = model.predictions % len(batch)
        graph, weights = model.package.graph, model.package.weights
        expected = interpret(graph, weights, batch[place : place + 1])
        _compare(model.package, batch[place : place + 1], expected, outputs[place : place + 1])


@dataclass(frozen=True, slots=True)
class _Interpreted:
    package: Package

    def __call__(
        self, windows: NDArray[np.int8], sizes: tuple[int, ...] = BUCKETS
    ) -> NDArray[np.int32]:
        del sizes
        return _meaning(self.package, windows).astype(np.int32)


def _meaning(package: Package, windows: NDArray[np.int8]) -> NDArray[np.int64]:
    """What the interpreter says, a few windows at a time: they are held in int64."""
    rows, starts = rows_max(package.row_bytes), range(len(windows))
    parts = (windows[start : start + rows] for start in starts[::rows])
    return np.concatenate([interpret(package.graph, package.weights, part) for part in parts])


def _conform(model: _Model, bucket: int) -> None:
    """Run the vectors in batches that use this bucket and no other."""
    total = len(model.windows)
    count = min(total, 4) if bucket == 1 else max(total, bucket)
    order = np.arange(-(-count // bucket) * bucket if bucket > 1 else count) % total
    for start in range(0, len(order), bucket):
        places = order[start : start + bucket]
        found = model.execute(model.windows[places])
        _compare(model.package, model.windows[places], model.expected[places], found)
    model.batches_checked.add(bucket)


def _compare(
    package: Package,
    windows: NDArray[np.int8],
    expected: NDArray[np.int64],
    found: NDArray[np.int32],
) -> None:
    if found.shape == expected.shape and bool((found == expected).all()):
        return
    place = np.argwhere(found != expected)[0] if found.shape == expected.shape else np.zeros(2, int)
    row, element = int(place[0]), int(place[1])
    raise Unavailable(
        Code.CONFORMANCE_FAILED,
        f"this backend computes another value than {package.manifest.name} means",
        hint="do not vote; check the jaxlib version, XLA_FLAGS and the machine",
        model=package.id.hex(),
        input=windows[row].tobytes().hex()[:128],
        element=element,
        expected=int(expected[row, element]),
        found=int(found.flat[row * expected.shape[1] + element]),
    )


def _check_golden(package: Package, expected: NDArray[np.int64]) -> None:
    rows = expected[: len(package.golden.outputs)].tolist()
    for index, (row, golden) in enumerate(zip(rows, package.golden.outputs, strict=True)):
        if tuple(row) != golden:
            raise InvalidInput(
                Code.BAD_MODEL_PACKAGE,
                f"golden output {index} is not what the graph computes",
                input=index,
            )

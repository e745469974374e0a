"""Certified integers against float32 `jit` of the same network, interleaved, and the worker.

A ratio above 1 means that the certified model is faster. Every round times every variant, so load
on the machine hits all alike; the figure is the median of the rounds' ratios. `BACKEND=gpu` (or
tpu) runs the conformance matrix and the same ratios on an accelerator.
"""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from andon.core import worker as protocol
from models.environment import prepare_environment

if TYPE_CHECKING:
    import jax

BACKEND = os.environ.get("BACKEND", "cpu")
ROUNDS = int(os.environ.get("ROUNDS", "15"))
BATCHES = (1, 256)
PACKAGE = Path("models/packages/turbofan-fd001")
ROUND_TRIPS = 300


def main() -> int:
    """Print the ratios, the bit equality and the worker's round trip."""
    prepare_environment(BACKEND)
    print(f"backend {BACKEND}, {ROUNDS} interleaved rounds")
    print(f"{'network':<12}{'batch':>6}{'float32 ms':>12}{'certified ms':>14}{'ratio':>8}  plan")
    for name, (build, shape) in networks().items():
        compare(name, build, shape)
    conformance()
    if BACKEND == "cpu":
        worker_round_trip()
    return 0


def networks() -> dict[str, tuple[Callable[[], object], tuple[int, ...]]]:
    """The networks that are compared, by name."""
    from flax import nnx  # noqa: PLC0415 # after the environment

    from models.train.networks import (  # noqa: PLC0415
        ConvNet1d,
        ConvNet2d,
        FilterNet,
        Perceptron,
        RecurrentNet,
    )

    return {
        "filter": (lambda: FilterNet(14, 30, rngs=nnx.Rngs(0)), (30, 14)),
        "mlp": (lambda: Perceptron(420, hidden=(128, 64), rngs=nnx.Rngs(0)), (420,)),
        "conv1d": (lambda: ConvNet1d(14, 30, rngs=nnx.Rngs(0)), (30, 14)),
        "lstm": (lambda: RecurrentNet(14, cell="lstm", hidden=64, rngs=nnx.Rngs(0)), (30, 14)),
        "conv2d": (lambda: ConvNet2d(64, 1, 6, rngs=nnx.Rngs(0)), (64, 64, 1)),
    }


def compare(name: str, build: Callable[[], object], shape: tuple[int, ...]) -> None:
    """Time one network at every batch size and print a line for each."""
    import jax  # noqa: PLC0415 # after the environment
    import jax.numpy as jnp  # noqa: PLC0415

    from models.certificate import certify_graph  # noqa: PLC0415
    from models.compile import build as build_graph  # noqa: PLC0415
    from models.compile import plan_for  # noqa: PLC0415
    from models.convert import Options, convert  # noqa: PLC0415
    from models.interpreter import interpret  # noqa: PLC0415

    model = build()
    assert callable(model)
    model.eval()  # type: ignore[attr-defined] # a flax module
    random = np.random.default_rng(0)
    samples = random.integers(-127, 128, (256, *shape)).astype(np.int8)
    conversion = convert(model, samples, Options())
    certificate = certify_graph(conversion.graph, conversion.tensors)
    for batch in BATCHES:
        size = min(batch, 32) if len(shape) == 3 else batch
        plan = plan_for(BACKEND, size, version("jaxlib"))
        whole = jax.jit(build_graph(conversion.graph, conversion.tensors, certificate, plan))
        plain = jax.jit(lambda x: model(x.astype(jnp.float32) / 127))
        windows = jax.device_put(samples[:size])
        exact = interpret(conversion.graph, conversion.tensors, samples[:size])
        assert (np.asarray(whole(windows)) == exact).all(), "the backend is not exact"
        times = interleaved([partial(plain, windows), partial(whole, windows)])
        ratio = statistics.median(a / b for a, b in zip(*times, strict=True))
        floats, integers = (1e3 * statistics.median(part) for part in times)
        print(
            f"{name:<12}{size:>6}{floats:>12.3f}{integers:>14.3f}{ratio:>8.2f}  {plan}", flush=True
        )


def interleaved(calls: list[Callable[[], jax.Array]]) -> list[list[float]]:
    """Seconds a call, every variant in every round."""

    def seconds(call: Callable[[], jax.Array], count: int) -> float:
        start = time.perf_counter()
        for _ in range(count):
            call().block_until_ready()
        return (time.perf_counter() - start) / count

    counts = [max(3, min(400, round(0.03 / max(seconds(call, 3), 1e-6)))) for call in calls]
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(ROUNDS):
        for index, call in enumerate(calls):
            times[index].append(seconds(call, counts[index]))
    return times


def conformance() -> None:
    """Every shipped package on this backend, batch sizes 1 to 4096, against the interpreter."""
    from models.compile import Compiled  # noqa: PLC0415 # after the environment
    from models.interpreter import interpret  # noqa: PLC0415
    from models.package import Package  # noqa: PLC0415

    for folder in sorted(path for path in PACKAGE.parent.iterdir() if path.is_dir()):
        package = Package.load(folder)
        run = Compiled(package, BACKEND)
        random = np.random.default_rng(1)
        shape = (4096, *package.manifest.input_shape)
        windows = random.integers(-127, 128, shape).astype(np.int8)
        expected = interpret(package.graph, package.weights, windows)
        equal = all(
            (run(windows[:batch]) == expected[:batch]).all() for batch in (1, 7, 64, 256, 4096)
        )
        start = time.perf_counter()
        run(windows)
        rate = len(windows) / (time.perf_counter() - start)
        verdict = "bit-equal" if equal else "DIFFERS"
        print(f"{folder.name:<16} {verdict} at batch 1-4096, {rate:,.0f} predictions/s")
        assert equal


def worker_round_trip() -> None:
    """Median time of a predict request over the worker's socket, by windows in a request."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "worker.sock"
        command = [sys.executable, "-m", "models.worker", "--socket", str(path)]
        with subprocess.Popen(command) as process:
            try:
                _time_worker(path)
            finally:
                process.terminate()


def _time_worker(path: Path) -> None:
    start = time.perf_counter()
    with socket.socket(socket.AF_UNIX) as stream:
        while stream.connect_ex(str(path)):
            time.sleep(0.01)
        blob = (PACKAGE / "package.blob").read_bytes()
        loaded = _ask(stream, protocol.Load(blob))
        assert isinstance(loaded, protocol.Loaded)
        print(f"worker start, load and conformance: {time.perf_counter() - start:.2f} s")
        window = bytes(420)
        for count in (1, 64, 256):
            body = protocol.Predict(loaded.model_id, (window,) * count)
            assert isinstance(_ask(stream, body), protocol.Outputs)
            times = []
            for _ in range(ROUND_TRIPS):
                start = time.perf_counter()
                _ask(stream, body)
                times.append(time.perf_counter() - start)
            print(f"worker round trip, {count:>3} windows: {1e3 * statistics.median(times):.3f} ms")


def _ask(stream: socket.socket, body: protocol.Load | protocol.Predict) -> object:
    stream.sendall(protocol.frame(protocol.Request(1, body)))
    length = protocol.frame_length(_exactly(stream, protocol.LENGTH_BYTES))
    return protocol.decode_reply(_exactly(stream, length)).body


def _exactly(stream: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = stream.recv(count - len(data))
        assert part, "the worker hung up"
        data += part
    return data


if __name__ == "__main__":
    sys.exit(main())

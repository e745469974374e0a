"""Every operation and the shipped models, XLA against numpy: by flags, threads, batch, backend.

    python -m scripts.exact_matrix                    # the flags and threads of a CPU
    python -m scripts.exact_matrix --backend gpu      # one GPU: all plans, batches of 1 to 4096

XLA reads its flags once, so each setting runs in a process of its own. One line a setting: graphs,
packages, rows compared, digest of all outputs; every digest must be the same. Exit 1 when one
differs from numpy, or a setting gives another digest than the rest. Source: exact_ml 2.5.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from models.conformance import start_up_graph
from models.environment import BACKENDS, prepare_environment, xla_flags
from models.interpreter import interpret
from models.package import Package, edge_windows
from tests.models.random_graphs import random_graph

PACKAGES = Path(__file__).resolve().parent.parent / "models" / "packages"
BATCHES = (1, 2, 7, 64, 256, 1024, 4096)
ROWS = 40
CHILD_TIMEOUT_S = 3600
SETTINGS: dict[str, tuple[str, ...]] = {
    "default": (),
    "one thread": ("--xla_cpu_multi_thread_eigen=false",),
    "sse4.2": ("--xla_cpu_max_isa=SSE4_2",),
    "avx": ("--xla_cpu_max_isa=AVX",),
    "avx2": ("--xla_cpu_max_isa=AVX2",),
    "avx512": ("--xla_cpu_max_isa=AVX512",),
    "vectors of 128": ("--xla_cpu_prefer_vector_width=128",),
    "vectors of 512": ("--xla_cpu_prefer_vector_width=512",),
    "no optimisation": ("--xla_backend_optimization_level=0",),
    "fast math": ("--xla_cpu_enable_fast_math=true",),
    "own mathematics": ("--xla_cpu_enable_platform_dependent_math=false",),
    "no excess precision": ("--xla_allow_excess_precision=false",),
    "no fusion emitters": ("--xla_cpu_use_fusion_emitters=false",),
}
"""Names of settings and their XLA flags; the flags that keep a jaxlib exact are added to each."""
THREADS = (1, 2)


@dataclass(frozen=True, slots=True)
class Count:
    """What one process compared, and the digest of all outputs in order."""

    graphs: int
    packages: int
    rows: int
    wrong: tuple[str, ...]
    digest: str


def main(arguments: list[str] | None = None) -> int:
    """Run the matrix, or one setting of it; 0 when all agree."""
    parser = _parser()
    options = parser.parse_args(arguments)
    unknown = {name for name in options.only.split(",") if name} - set(SETTINGS)
    if unknown:
        parser.error(f"no setting {sorted(unknown)}; settings: {', '.join(SETTINGS)}")
    batches = tuple(b for b in BATCHES if b <= options.batch)
    if options.child:
        prepare_environment(options.backend)
        print(json.dumps(asdict(compare(options.backend, options.graphs, options.seed, batches))))
        return 0
    names = [name for name in SETTINGS if not options.only or name in options.only.split(",")]
    digests, failed = set(), False
    for name in names if options.backend == "cpu" else ["default"]:
        for threads in options.threads if options.backend == "cpu" else (0,):
            found = _child(options, SETTINGS[name], threads)
            if isinstance(found, str):
                # A flag that this jaxlib does not know ends the process: no verdict.
                print(f"{name:<20} {threads or '-':>2} threads  did not run: {found}")
                failed = failed or "Unknown flag" not in found
                continue
            digests.add(found.digest)
            failed = failed or bool(found.wrong)
            print(
                f"{name:<20} {threads or '-':>2} threads  {found.graphs} graphs, "
                f"{found.packages} packages, {found.rows} rows, {len(found.wrong)} wrong  "
                f"{found.digest[:16]}"
            )
            for line in found.wrong[:5]:
                print(f"    {line}")
    print(f"{len(digests)} distinct outputs; 1 is right")
    return 1 if failed or len(digests) != 1 else 0


def compare(backend: str, graphs: int, seed: int, batches: tuple[int, ...]) -> Count:
    """Compare random graphs under every plan and the shipped packages at every batch size."""
    import jax  # noqa: PLC0415 # after the environment

    from models.certificate import certify_graph  # noqa: PLC0415
    from models.compile import Plan, build, compile_package  # noqa: PLC0415

    plans = [Plan("float32"), Plan("int8"), Plan("bfloat16")]
    if backend == "cpu":
        plans.append(Plan("float32", native_conv=True))
    device = jax.devices(backend)[0]
    total, wrong, rows = hashlib.sha256(), [], 0
    drawn = [random_graph(number) for number in range(seed, seed + graphs)]
    for number, (graph, tensors) in enumerate([start_up_graph(), *drawn]):
        windows = _windows(graph.input_shape, number, ROWS)
        expected = interpret(graph, tensors, windows)
        certificate = certify_graph(graph, tensors)
        for plan in plans:
            run = jax.jit(build(graph, tensors, certificate, plan))
            found = np.asarray(run(jax.device_put(windows, device)))
            rows += len(found)
            total.update(np.ascontiguousarray(found, np.int32).tobytes())
            if not np.array_equal(found, expected):
                wrong.append(f"graph {seed + number - 1 if number else 'of the start'}, {plan}")
    packages = list(_packages())
    for package in packages:
        execute = compile_package(package, backend)
        windows = _windows(package.manifest.input_shape, seed, max(batches))
        expected = interpret(package.graph, package.weights, windows)
        for batch in batches:
            found = execute(windows[:batch])
            rows += batch
            total.update(np.ascontiguousarray(found, np.int32).tobytes())
            if not np.array_equal(found, expected[:batch]):
                wrong.append(f"{package.manifest.name}, batch {batch}")
    return Count(1 + graphs, len(packages), rows, tuple(wrong), total.hexdigest())


def _child(options: argparse.Namespace, flags: tuple[str, ...], threads: int) -> Count | str:
    """One setting in a process of its own; a line that says why where there was no result."""
    given = " ".join([*flags, *xla_flags(version("jaxlib"), options.backend)])
    environment = {**os.environ, "XLA_FLAGS": given}
    if threads:
        environment |= {"NPROC": str(threads), "OMP_NUM_THREADS": str(threads)}
    command = [
        sys.executable, "-m", "scripts.exact_matrix", "--child", "--backend", options.backend,
        "--graphs", str(options.graphs), "--seed", str(options.seed),
        "--batch", str(options.batch),
    ]  # fmt: skip
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=CHILD_TIMEOUT_S,
        check=False,
    )  # fmt: skip
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        unknown = [line for line in lines if "Unknown flag" in line]
        return (unknown or lines or [f"exit {done.returncode}"])[-1][:160]
    found = json.loads(done.stdout.splitlines()[-1])
    return Count(**{**found, "wrong": tuple(found["wrong"])})


def _packages() -> Iterator[Package]:
    for path in sorted(PACKAGES.iterdir()):
        if (path / "package.blob").is_file():
            yield Package.load(path)


def _windows(shape: tuple[int, ...], seed: int, count: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    drawn = random.integers(-127, 128, (count, *shape)).astype(np.int8)
    edges = edge_windows(shape)[:count]
    drawn[: len(edges)] = edges
    return drawn


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scripts.exact_matrix", description=__doc__)
    parser.add_argument("--backend", choices=BACKENDS, default="cpu")
    parser.add_argument("--graphs", type=int, default=60, help="random graphs of all operations")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=max(BATCHES), help="largest batch of packages")
    parser.add_argument("--threads", type=int, nargs="+", default=THREADS)
    parser.add_argument("--only", default="", help="names of settings, with commas between")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())

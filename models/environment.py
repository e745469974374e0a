"""Settings that XLA must find in the environment before it starts. Source: exact_ml R10, 2.8."""

from __future__ import annotations

import os
import resource
from importlib.metadata import version

from andon.core import worker

BACKENDS = ("numpy", *worker.BACKENDS)

# The words of operators in those of JAX_PLATFORMS; `jax.devices` knows "gpu" itself. The CPU comes
# along for what is no batch of windows.
_PLATFORMS = {"cpu": "cpu", "gpu": "cuda,cpu", "tpu": "tpu,cpu"}

# jaxlib 0.10.2 on CPU returns wrong sums with two or more threads unless YNN fusions are limited
# to dots. Unknown flags abort the process, so each version gets only the flags it is known to take.
_CPU_FLAGS = {"0.10.2": ("--xla_cpu_experimental_ynn_fusion_type=individual_dot",)}


def xla_flags(jaxlib_version: str, backend: str) -> tuple[str, ...]:
    """The flags that keep this version of jaxlib exact on `backend`."""
    return _CPU_FLAGS.get(jaxlib_version, ()) if backend in ("cpu", "gpu") else ()


def prepare_environment(backend: str) -> None:
    """Set XLA_FLAGS and JAX_PLATFORMS; call before jax starts its first backend.

    Flags that the operator set stay, and win where both name the same flag.
    """
    present = os.environ.get("XLA_FLAGS", "")
    missing = [
        flag
        for flag in xla_flags(version("jaxlib"), backend)
        if flag.split("=", 1)[0] not in present
    ]
    os.environ["XLA_FLAGS"] = " ".join([present, *missing]).strip()
    os.environ.setdefault("JAX_PLATFORMS", _PLATFORMS.get(backend, "cpu"))


def cap_memory(mib: int) -> None:
    """Have the system refuse this process more than `mib` MiB of memory of its own.

    Address space that XLA reserves and does not write to is not counted (RLIMIT_DATA, not
    RLIMIT_AS), nor is the memory of an accelerator.
    """
    size_bytes = mib * 1024 * 1024
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard != resource.RLIM_INFINITY:
        size_bytes = min(size_bytes, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (size_bytes, hard))

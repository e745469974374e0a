"""Settings that XLA must find in the environment before it starts. Source: exact_ml R10, 2.8."""

from __future__ import annotations

import os
from importlib.metadata import version

BACKENDS = ("numpy", "cpu", "cuda", "tpu")

# jaxlib 0.10.2 on CPU returns wrong sums with two or more threads unless YNN fusions are limited
# to dots. Unknown flags abort the process, so each version gets only the flags it is known to take.
_CPU_FLAGS = {"0.10.2": ("--xla_cpu_experimental_ynn_fusion_type=individual_dot",)}


def xla_flags(jaxlib_version: str, backend: str) -> tuple[str, ...]:
    """The flags that keep this version of jaxlib exact on `backend`."""
    return _CPU_FLAGS.get(jaxlib_version, ()) if backend in ("cpu", "cuda") else ()


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
    platforms = {"cpu": "cpu", "cuda": "cuda,cpu", "tpu": "tpu,cpu"}
    os.environ.setdefault("JAX_PLATFORMS", platforms.get(backend, "cpu"))

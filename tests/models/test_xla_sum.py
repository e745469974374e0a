"""The wrong sums of jaxlib 0.10.2 (exact_ml 2.8): our flags remove them, and are set by version."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version

import pytest

from models.environment import prepare_environment, xla_flags

SUMS = """
import sys
sys.path.insert(0, ".")
from models.environment import prepare_environment
prepare_environment("cpu")
import jax, jax.numpy as jnp
run = jax.jit(lambda a: jnp.sum(jnp.broadcast_to(a, (2, 1024, 1024))))
ones = jnp.ones((1024, 1024), jnp.float32)
bad = sum(float(run(ones)) != 2097152.0 for _ in range(300))
print(bad)
"""


def test_known_jaxlib_versions_get_their_flag_and_others_none() -> None:
    assert xla_flags("0.10.2", "cpu") == ("--xla_cpu_experimental_ynn_fusion_type=individual_dot",)
    assert xla_flags("0.7.2", "cpu") == ()
    assert xla_flags("0.10.2", "numpy") == ()


def test_flags_of_the_operator_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = "--xla_cpu_experimental_ynn_fusion_type=individual_convolution --xla_dump_to=x"
    monkeypatch.setenv("XLA_FLAGS", mine)
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    prepare_environment("cpu")
    assert os.environ["XLA_FLAGS"] == mine


@pytest.mark.skipif(version("jaxlib") != "0.10.2", reason="the bug is of jaxlib 0.10.2")
def test_float_sums_are_right_under_our_flags() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    found = subprocess.run(
        [sys.executable, "-c", SUMS], env=environment, capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == ["0"]

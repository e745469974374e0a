"""Memory of large buffers stays with the process: the next ones cause no page faults."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from node.allocator import ENVIRONMENT, keep_freed_memory

SIZE = 4 * 1024 * 1024
COUNT = 50
FAULTS = f"""
import resource
from node.allocator import keep_freed_memory
KEEP
buffers = [bytes({SIZE} + at) for at in range(3)]
del buffers
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for at in range({COUNT}):
    buffers = [bytes({SIZE} + at) for part in range(3)]
    del buffers
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(keep: str, environment: dict[str, str]) -> int:
    script = FAULTS.replace("KEEP", keep)
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a setting of glibc")
@pytest.mark.parametrize(
    ("keep", "environment"), [("assert keep_freed_memory()", {}), ("", ENVIRONMENT)]
)
def test_large_buffers_do_not_come_from_the_kernel_each_time(
    keep: str, environment: dict[str, str]
) -> None:
    if not keep_freed_memory():
        pytest.skip("another C library")
    pages = COUNT * 3 * SIZE // 4096
    assert faults(keep, environment) < pages / 10

"""Memory of large buffers stays with the process, in one heap: no page faults, no holes."""

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

HEAPS = """
import ctypes, sys, threading
from node.allocator import keep_freed_memory
KEEP
held, met = [], threading.Barrier(5)
def allocate():
    held.append(bytes(100_000))
    met.wait()
for _ in range(4):
    threading.Thread(target=allocate).start()
met.wait()
library = ctypes.CDLL(None)
library.malloc_info(0, ctypes.c_void_p.in_dll(library, "stdout"))
library.fflush(None)
"""


def faults(keep: str, environment: dict[str, str]) -> int:
    return int(printed(FAULTS.replace("KEEP", keep), environment))


def printed(script: str, environment: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout


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


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a setting of glibc")
def test_all_threads_of_a_node_share_a_heap() -> None:
    """Heaps of their own keep holes that only their thread can fill: memory grows for hours."""
    if not keep_freed_memory():
        pytest.skip("another C library")
    assert printed(HEAPS.replace("KEEP", ""), {}).count("<heap nr=") > 1
    assert printed(HEAPS.replace("KEEP", "keep_freed_memory()"), {}).count("<heap nr=") == 1

"""The C allocator keeps memory that large buffers gave back, for the next ones.

A node makes and frees buffers of megabytes all the time: blocks, frames, transactions of
predictions. By default glibc returns such memory to the kernel, which clears every page before it
gives it out again: seen to take a tenth of all processor time under batches of predictions.

And glibc gives threads heaps of their own. A buffer that one thread made and another gave back
leaves a hole that only the first can fill: under a steady load the heaps of a node grew by some 80
MiB an hour while what was in use did not. A node takes all from one heap; its threads seldom
allocate at the same time, since most of their work holds the interpreter's lock.
"""

from __future__ import annotations

import ctypes

MMAP_THRESHOLD_BYTES = 32 * 1024 * 1024
"""Larger buffers are still returned at once; glibc allows no more."""
TRIM_THRESHOLD_BYTES = 64 * 1024 * 1024
"""So much free memory at the end of a heap is kept at most."""
HEAPS = 1
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8

ENVIRONMENT = {
    "MALLOC_MMAP_THRESHOLD_": str(MMAP_THRESHOLD_BYTES),
    "MALLOC_TRIM_THRESHOLD_": str(TRIM_THRESHOLD_BYTES),
}
"""For a worker: threads of XLA do allocate at the same time, so it keeps a heap for each. What its
starter has set goes first."""


def keep_freed_memory() -> bool:
    """Set it for this process, before it has threads; False where the C library cannot."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = {
        _M_MMAP_THRESHOLD: MMAP_THRESHOLD_BYTES,
        _M_ARENA_MAX: HEAPS,
        _M_TRIM_THRESHOLD: TRIM_THRESHOLD_BYTES,
    }
    return all(mallopt(name, size) == 1 for name, size in settings.items())

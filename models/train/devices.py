"""Data parallelism: a batch is cut over devices, weights are on each of them.

XLA puts the sums of gradients in; what is computed is the same function of the batch, with
rounding of its own. Several hosts: `join_hosts` first, then `all_devices()` spans them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from numpy.typing import NDArray

from andon.core.errors import Code, InvalidInput

HOSTS_MAX = 1024
JOIN_TIMEOUT_S = 60
T = TypeVar("T")


def join_hosts(coordinator: str, hosts: int, index: int) -> None:
    """Make this process number `index` of `hosts`; `coordinator` is HOST:PORT of number 0.

    Call it before JAX is used. Each process runs the same program on the same data.

    Raises:
        InvalidInput: BAD_REQUEST for numbers that cannot be.
    """
    if not 0 <= index < hosts <= HOSTS_MAX:
        raise InvalidInput(
            Code.BAD_REQUEST,
            f"host {index} of {hosts}",
            hint=f"0 to {HOSTS_MAX - 1}",
        )
    jax.distributed.initialize(coordinator, hosts, index, initialization_timeout=JOIN_TIMEOUT_S)


def all_devices() -> tuple[jax.Device, ...]:
    """Every device of every host that has joined."""
    return tuple(jax.devices())


class Spread:
    """Where arrays of a run lie; one device is plain JAX."""

    def __init__(self, devices: Sequence[jax.Device], batch: int) -> None:
        """Raises: InvalidInput: BAD_REQUEST when the batch does not divide by the devices."""
        if len(devices) > 1 and batch % len(devices):
            raise InvalidInput(
                Code.BAD_REQUEST,
                f"a batch of {batch} does not divide over {len(devices)} devices",
                hint=f"a multiple of {len(devices)}",
            )
        mesh = Mesh(np.array(devices), ("batch",)) if len(devices) > 1 else None
        self._split = NamedSharding(mesh, PartitionSpec("batch")) if mesh else None  # type: ignore[no-untyped-call] # untyped in jax
        self._whole = NamedSharding(mesh, PartitionSpec()) if mesh else None  # type: ignore[no-untyped-call] # untyped in jax

    def cut(self, batch: NDArray[np.generic]) -> jax.Array:
        """A batch, its first axis over the devices; a host only makes its own share."""
        if self._split is None:
            return jax.numpy.asarray(batch)
        return jax.make_array_from_callback(batch.shape, self._split, lambda place: batch[place])

    def copy(self, state: T) -> T:
        """A tree of arrays, whole on every device."""
        if self._whole is None:
            return state
        # `device_put` reaches this host's devices only; a compiled identity reaches all.
        copied: T = jax.jit(lambda tree: tree, out_shardings=self._whole)(state)
        return copied

    def home(self, state: T) -> T:
        """The tree as ordinary arrays of this host's first device."""
        if self._whole is None:
            return state
        local: T = jax.tree.map(lambda leaf: leaf.addressable_data(0), state)
        return local

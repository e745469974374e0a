"""What a training run needs to go on after it was killed, in one file that is whole or absent.

Arrays only, in msgpack (flax.serialization): opening a checkpoint runs no code of whoever wrote
it. Why not orbax: docs/adr/0010.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import serialization
from numpy.typing import NDArray

from andon.core.errors import Code, Corrupt, InvalidInput
from models.durable import PLAIN_MODE, replace_file

FORMAT = 1
CHECKPOINT_BYTES_MAX = 4 << 30
T = TypeVar("T")
Array = NDArray[np.generic]
Leaf = jax.Array | Array


def save_checkpoint(path: Path, run: str, epochs: int, state: object) -> None:
    """Replace `path` by `state` (a tree of arrays) after `epochs` epochs of the run named `run`."""
    leaves = [np.asarray(_plain(leaf)) for leaf in jax.tree.leaves(state)]
    data = serialization.msgpack_serialize(
        {"format": FORMAT, "run": run, "epochs": epochs, "leaves": dict(_numbered(leaves))}
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, data, PLAIN_MODE)


def load_checkpoint(path: Path, run: str, like: T) -> tuple[int, T] | None:
    """Epochs done and the state, of the shapes of `like`; None when there is no file.

    Raises:
        InvalidInput: BAD_DATASET when the file is of another run: other settings, data or network.
        Corrupt: MALFORMED when it cannot be read.
    """
    if not path.is_file():
        return None
    if path.stat().st_size > CHECKPOINT_BYTES_MAX:
        raise Corrupt(Code.TOO_LARGE, f"{path} is larger than {CHECKPOINT_BYTES_MAX} bytes")
    try:
        found = serialization.msgpack_restore(path.read_bytes())
        known, epochs, named = str(found["run"]), int(found["epochs"]), found["leaves"]
        leaves = [named[key] for key in sorted(named)]
        is_format = found["format"] == FORMAT
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise Corrupt(
            Code.MALFORMED, f"{path} is not a checkpoint: {error}", hint="delete it to start anew"
        ) from None
    wanted, structure = jax.tree.flatten(like)
    fits = len(leaves) == len(wanted) and all(
        isinstance(a, np.ndarray) and a.shape == _plain(b).shape
        for a, b in zip(leaves, wanted, strict=True)
    )
    if not is_format or known != run or not fits:
        raise InvalidInput(
            Code.BAD_DATASET,
            f"{path} belongs to another run: settings, data or network differ",
            hint="delete it, or name another file",
        )
    return epochs, jax.tree.unflatten(
        structure, [_like(a, b) for a, b in zip(leaves, wanted, strict=True)]
    )


def _numbered(leaves: list[Array]) -> list[tuple[str, Array]]:
    return [(f"{place:06d}", leaf) for place, leaf in enumerate(leaves)]


def _is_key(leaf: jax.Array) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _plain(leaf: Leaf) -> Leaf:
    """Random keys have a type of their own that no file holds; their words do."""
    return jax.random.key_data(leaf) if isinstance(leaf, jax.Array) and _is_key(leaf) else leaf


def _like(found: Array, wanted: Leaf) -> Leaf:
    if isinstance(wanted, jax.Array) and _is_key(wanted):
        key: jax.Array = jax.random.wrap_key_data(
            jnp.asarray(found), impl=jax.random.key_impl(wanted)
        )
        return key
    # Losses are float64, which JAX would cut; arrays of JAX go back as they were.
    return jnp.asarray(found, wanted.dtype) if isinstance(wanted, jax.Array) else found

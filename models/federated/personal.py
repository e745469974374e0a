"""Personalisation heads: a plant shares the body of its model and keeps the last layers for itself.

The run knows the body alone: its vector has `body` elements, and nothing of a head is encoded,
masked or sent. Heads serve plants whose products differ in what the same readings mean.

With a privacy budget, train body and head with the *same* clipped and noisy gradients (as
`rul.Network.train` does with the whole vector): the body of the next round depends on the head, so
a head that saw records without noise would leave them in the body, and the declared cost would be
too small. Source: FedPer (Arivazhagan et al. 1912.00818).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from andon.core.codec import Record, decode, encode
from andon.core.errors import Code, Corrupt, InvalidInput, Misuse
from models.durable import SECRET_MODE, replace_file
from models.federated.trained import Train, Trained

Floats = NDArray[np.float32]
KEPT_ROUNDS = 2
_MAGIC = b"andon-fl-head-1\n"
_SIZE_MAX = 2**31

TrainWhole = Callable[[Floats, int], Trained]
"""A plant's training of body and head: (`f32[body + head]`, round) -> update of both."""


class _Saved(Record, frozen=True):
    """The head after a round's training, as little-endian float32."""

    round: int
    values: bytes


class Head:
    """A plant's own layers, `f32[head]`, in a folder of their own; the last two rounds are kept.

    A round starts from the head of an earlier round, never from its own: a plant that was killed
    between training and journal trains the round again from where it began.
    """

    def __init__(self, folder: Path, initial: Floats) -> None:
        """Use `initial: f32[head]` until a round was trained."""
        if initial.ndim != 1 or not initial.size:
            raise Misuse(Code.BAD_ARGUMENTS, f"a head is flat and not empty, not {initial.shape}")
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        self._folder = folder
        self._initial = initial.astype(np.float32)

    @property
    def size(self) -> int:
        """How many parameters stay here."""
        return self._initial.size

    def before(self, number: int) -> Floats:
        """The head that round `number` starts from.

        Raises:
            Corrupt: STORAGE_DAMAGED for a file that is not what was written.
        """
        earlier = [found for found in self._rounds() if found < number]
        return self._load(max(earlier)) if earlier else self._initial.copy()

    def latest(self) -> Floats:
        """The head after the last trained round: with the run's body, this plant's model."""
        rounds = self._rounds()
        return self._load(max(rounds)) if rounds else self._initial.copy()

    def save(self, number: int, values: Floats) -> None:
        """Keep the head after round `number` durably, and forget all but the last two rounds.

        Raises:
            Misuse: BAD_ARGUMENTS for another length or values that are not finite.
        """
        if values.shape != self._initial.shape or not np.isfinite(values).all():
            raise Misuse(Code.BAD_ARGUMENTS, f"a head of {self.size} finite numbers is wanted")
        saved = _Saved(number, values.astype("<f4").tobytes())
        replace_file(self._path(number), _MAGIC + encode(saved), SECRET_MODE)
        for old in sorted(self._rounds())[:-KEPT_ROUNDS]:
            self._path(old).unlink(missing_ok=True)

    def _load(self, number: int) -> Floats:
        path = self._path(number)
        content = path.read_bytes()
        try:
            saved = decode(_Saved, content.removeprefix(_MAGIC), size_max=_SIZE_MAX)
        except InvalidInput as error:
            raise _damaged(path, error.message) from None
        if not content.startswith(_MAGIC) or len(saved.values) != 4 * self.size:
            raise _damaged(path, f"it does not hold {self.size} numbers")
        return np.frombuffer(saved.values, "<f4").astype(np.float32)

    def _rounds(self) -> list[int]:
        return [int(path.stem.split("-")[1]) for path in self._folder.glob("head-*.state")]

    def _path(self, number: int) -> Path:
        return self._folder / f"head-{number:08d}.state"


def with_head(train: TrainWhole, head: Head) -> Train:
    """Make a plant's `train` of a run that shares the body alone.

    `train` gets body and head as one vector, the head last, and gives the update of both.
    """

    def train_body(body: Floats, number: int) -> Trained:
        own = head.before(number)
        trained = train(np.concatenate([body, own]), number)
        if trained.update.shape != (body.size + own.size,):
            raise Misuse(
                Code.BAD_ARGUMENTS,
                f"training gave {trained.update.shape}, body and head are {body.size + own.size}",
            )
        head.save(number, own + trained.update[body.size :])
        return Trained(update=trained.update[: body.size], rho=trained.rho)

    return train_body


def _damaged(path: Path, what: str) -> Corrupt:
    return Corrupt(
        Code.STORAGE_DAMAGED,
        f"{path.name} is damaged: {what}",
        hint="move the file away; the plant then goes on from its head of an earlier round",
    )

"""SCAFFOLD at a plant: its control variate, what of it is sent, and what it remembers of it.

The variate is the plant's usual gradient. Training adds what the members' mean variate has beside
it, so that many local steps go where all plants together would go. The variate changes by exactly
what was sent, and only once that counted: the server's is then the mean of the plants' for ever.
Source: Karimireddy et al. 1910.06378, option II.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from andon.core.codec import Record, decode, encode
from andon.core.errors import Code, Corrupt, InvalidInput, Misuse
from models.durable import SECRET_MODE, replace_file
from models.federated.ring import Sums
from models.federated.trained import ControlledTrain, Floats, Trained

_MAGIC = b"andon-fl-control-1\n"
_SIZE_MAX = 2**31


class _Saved(Record, frozen=True):
    """The variate before and after the training of a round, `i64[d]` in units."""

    round: int
    before: bytes
    after: bytes


class Variate:
    """A plant's control variate, in one file of its journal's folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "control.state"
        self._pending: int | None = None

    @property
    def pending(self) -> int:
        """The round whose outcome decides what the variate is; 0 if none was trained."""
        if self._pending is None:
            saved = self._load()
            self._pending = 0 if saved is None else saved.round
        return self._pending

    def before(self, number: int, parameters: int, *, has_counted: bool) -> Sums:
        """The variate `i64[parameters]` that round `number` starts from.

        `has_counted` says whether the update of the pending round is in the run's state.

        Raises:
            Corrupt: STORAGE_DAMAGED for a file that is not what was written.
        """
        saved = self._load()
        if saved is None:
            return np.zeros(parameters, np.int64)
        is_past = saved.round != number
        kept = saved.after if is_past and has_counted else saved.before
        if len(kept) != 8 * parameters:
            raise self._damaged(f"it does not hold {parameters} numbers")
        return np.frombuffer(kept, "<i8").astype(np.int64)

    def save(self, number: int, before: Sums, after: Sums) -> None:
        """Write durably what the training of a round made of the variate."""
        saved = _Saved(number, before.astype("<i8").tobytes(), after.astype("<i8").tobytes())
        replace_file(self._path, _MAGIC + encode(saved), SECRET_MODE)
        self._pending = number

    def wipe(self) -> None:
        """Forget it: the run has ended."""
        self._path.unlink(missing_ok=True)
        self._pending = 0

    def _load(self) -> _Saved | None:
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            saved = decode(_Saved, content.removeprefix(_MAGIC), size_max=_SIZE_MAX)
        except InvalidInput as error:
            raise self._damaged(error.message) from None
        if not content.startswith(_MAGIC):
            raise self._damaged("it is no control variate")
        return saved

    def _damaged(self, what: str) -> Corrupt:
        return Corrupt(
            Code.STORAGE_DAMAGED,
            f"{self._path.name} is damaged: {what}",
            hint="move the file away; the plant's variate then starts from zero again",
        )


def train_controlled(
    train: ControlledTrain, model: Floats, number: int, variates: tuple[Floats, Floats]
) -> Trained:
    """Train a round and give update and change of the variate as one vector, `f32[2d]`.

    `variates` are the members' mean one and the plant's own, `f32[d]`.

    Raises:
        Misuse: BAD_ARGUMENTS for an update of another shape, or without its `travel`.
    """
    common, own = variates
    found = train(model, number, common - own)
    if found.update.shape != model.shape:
        raise Misuse(
            Code.BAD_ARGUMENTS,
            f"training gave {found.update.shape}, the model has {model.shape}",
        )
    if found.travel <= 0:
        raise Misuse(
            Code.BAD_ARGUMENTS,
            "SCAFFOLD needs `Trained.travel`, the sum of the learning rates of the local steps",
            hint="`models.federated.local.descend` gives it",
        )
    # The new variate is own - common - update / travel; what changes is that minus own.
    change = -common - found.update / np.float32(found.travel)
    vector = np.concatenate([found.update, change]).astype(np.float32)
    return Trained(update=vector, rho=found.rho, travel=found.travel)

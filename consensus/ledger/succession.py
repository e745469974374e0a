"""Who validates next: scheduled sets, jailed validators, parameters; runs at the end of a block.

The identity contract schedules a set in `next`; the ledger moves it to `validators` in the block
of the declared height, which therefore closes its epoch. Validators convicted by evidence leave
the set in the block of the conviction and never return under the same key. Sets of recent epochs
are kept, so that evidence about them can be judged.
"""

from __future__ import annotations

from typing import Protocol

from andon.core.certificate import ValidatorSet
from andon.core.codec import Value, decode, decode_value, encode, encode_value
from andon.core.errors import Code, Corrupt, InvalidInput
from andon.core.genesis import Params
from andon.core.state_key import state_key
from consensus.ledger.directory import (
    NEXT_KEY,
    VALIDATORS_KEY,
    encode_entries,
    parse_validators,
    text_map,
    validator_entries,
)
from consensus.ledger.overlay import Overlay

EVIDENCE = "evidence"
EPOCHS_KEPT = 8
PARAMS_KEY = state_key("params", "current")


class BlockPosition(Protocol):
    """Where in the chain the block stands."""

    @property
    def epoch(self) -> int:
        """Epoch of the block."""
        ...

    @property
    def height(self) -> int:
        """Height of the block."""
        ...


def close_block(
    overlay: Overlay, position: BlockPosition, before: bytes | None
) -> tuple[ValidatorSet, Params]:
    """Apply scheduled and forced changes of the set; returns what rules the next block.

    `before` is the encoded set at the start of the block, None at genesis. A schedule or a state
    that names no valid set is dropped: a mistake of governance must not stop the chain.

    Raises:
        InvalidInput: BAD_GENESIS if there is no valid set at all (genesis only).
    """
    written = overlay.get(VALIDATORS_KEY)
    scheduled = _take_scheduled(overlay, position.height)
    chosen = next(
        (raw for raw in (scheduled, written, before) if parse_validators(raw) is not None), None
    )
    after = _without_jailed(overlay, chosen)
    validators = parse_validators(after)
    if validators is None or after is None:
        raise InvalidInput(
            Code.BAD_GENESIS,
            "the identity state holds no valid validator set",
            hint="each validator needs a prime-order key of its own and a weight of at least 1",
        )
    if after != written:
        overlay.put(VALIDATORS_KEY, after)
    if position.height == 0:
        keep_epoch(overlay, 0, validators)
    elif parse_validators(before) != validators:
        keep_epoch(overlay, position.epoch + 1, validators)
    return validators, read_params(overlay)


def keep_epoch(overlay: Overlay, epoch: int, validators: ValidatorSet) -> None:
    """Write down the set of an epoch and forget the one that is too old."""
    overlay.put(state_key(EVIDENCE, "sets", epoch), encode_value(encode(validators)))
    if epoch >= EPOCHS_KEPT:
        overlay.put(state_key(EVIDENCE, "sets", epoch - EPOCHS_KEPT), None)


def read_epoch(raw: bytes | None) -> ValidatorSet | None:
    """Decode a kept set; None if there is none."""
    return None if raw is None else decode(ValidatorSet, _bytes(raw))


def write_params(overlay: Overlay, params: Params) -> None:
    """Put the chain's parameters into the state."""
    overlay.put(PARAMS_KEY, encode_value(encode(params)))


def read_params(overlay: Overlay) -> Params:
    """Give the parameters that stand in the state.

    Raises:
        Corrupt: STORAGE_DAMAGED if there are none.
    """
    raw = overlay.get(PARAMS_KEY)
    if raw is None:
        raise Corrupt(Code.STORAGE_DAMAGED, "the state holds no parameters")
    return decode(Params, _bytes(raw))


def _take_scheduled(overlay: Overlay, height: int) -> bytes | None:
    """Remove a schedule that is due; gives its encoded list of validators."""
    raw = overlay.get(NEXT_KEY)
    if raw is None:
        return None
    schedule = text_map(decode_value(raw))
    due = schedule.get("height")
    if not isinstance(due, int) or due > height:
        return None
    overlay.put(NEXT_KEY, encode_value(None))
    listed = schedule.get("validators")
    if not isinstance(listed, list):
        return None
    ordered = sorted((text_map(item) for item in listed), key=_entry_key)
    return encode_entries(ordered)


def _entry_key(entry: dict[str, Value]) -> bytes:
    key = entry.get("key")
    return key if isinstance(key, bytes) else b""


def _without_jailed(overlay: Overlay, raw: bytes | None) -> bytes | None:
    entries = validator_entries(raw)
    kept = [
        entry
        for entry in entries
        if overlay.get(state_key(EVIDENCE, "jailed", _entry_key(entry))) is None
    ]
    # An empty set could never make another block: the last one stays.
    if not kept or len(kept) == len(entries):
        return raw
    return encode_entries(kept)


def _bytes(raw: bytes) -> bytes:
    value = decode_value(raw)
    if not isinstance(value, bytes):
        raise Corrupt(Code.STORAGE_DAMAGED, "a native record of the state has another type")
    return value

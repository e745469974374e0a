"""What the federation does with an aggregate: server steps that are exact in integers.

The global model and all server state are `i64[d]` in fine units (2^-(scale_bits + 8)), so the
step, and the digest of its result, are the same on every validator. Rates and decays are 2^-16
fixed point. Divisions round toward minus infinity.

Source: Reddi et al. (FedOpt), Karimireddy et al. (SCAFFOLD); reference 1.2.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from andon.core.codec import Record
from andon.core.errors import Code, InvalidInput
from models.federated.ring import Sums

ONE = 1 << 16
_SQUARE_MAX = 2**62 - 1
_STEP_MAX = 2**31 - 1

StrategyName = Literal["average", "momentum", "adagrad", "adam", "yogi", "scaffold"]


class Strategy(Record, frozen=True):
    """A server optimiser; integers in 2^-16 (rate, decays) and in fine units (floor).

    `average` with rate 65536 is FedAvg. FedProx is `average` with a proximal term in the
    plants' loss. For the adaptive ones `rate` is the step in fine units of a coordinate whose
    first moment equals the root of its second, and `floor` is tau of the papers.
    """

    name: StrategyName
    rate: int
    first_decay: int
    second_decay: int
    floor: int


@dataclass(frozen=True, slots=True)
class ServerState:
    """The model and what the optimiser remembers; all `i64[d]`, unused ones zero.

    `control` is SCAFFOLD's mean control variate.
    """

    model: Sums
    first: Sums
    second: Sums
    control: Sums


def fed_avg() -> Strategy:
    """Add the mean update."""
    return Strategy("average", ONE, 0, 0, 0)


def fed_avg_momentum(rate: float = 1.0, decay: float = 0.9) -> Strategy:
    """Heavy-ball momentum over rounds."""
    return Strategy("momentum", round(rate * ONE), round(decay * ONE), 0, 0)


def fed_adaptive(
    name: Literal["adagrad", "adam", "yogi"],
    *,
    rate: float,
    fine_bits: int,
    floor: float = 1e-3,
    first_decay: float = 0.9,
    second_decay: float = 0.99,
) -> Strategy:
    """An adaptive step of about `rate` a coordinate; `fine_bits` is scale_bits + 8."""
    unit = 1 << fine_bits
    return Strategy(
        name,
        max(1, round(rate * unit)),
        round(first_decay * ONE),
        round(second_decay * ONE),
        max(1, round(floor * unit)),
    )


def scaffold(rate: float = 1.0) -> Strategy:
    """Control variates against client drift; plants send model and control in one vector."""
    return Strategy("scaffold", round(rate * ONE), 0, 0, 0)


def check_strategy(strategy: Strategy) -> None:
    """Require bounds within which no step can overflow.

    Raises:
        InvalidInput: BAD_ARGUMENTS.
    """
    decays = (strategy.first_decay, strategy.second_decay)
    if not (1 <= strategy.rate <= 2**30 and all(0 <= d < ONE for d in decays)):
        raise InvalidInput(Code.BAD_ARGUMENTS, "a rate or decay is out of bounds")
    if strategy.name in ("adagrad", "adam", "yogi") and not 1 <= strategy.floor <= 2**30:
        raise InvalidInput(Code.BAD_ARGUMENTS, "an adaptive strategy needs a floor of 1 to 2^30")


def initial_state(model: Sums) -> ServerState:
    """Start a run from `model: i64[d]` in fine units."""
    zero = np.zeros_like(model)
    return ServerState(model.copy(), zero, zero.copy(), zero.copy())


def vector_length(strategy: Strategy, parameters: int) -> int:
    """How many elements a plant sends: twice the parameters for SCAFFOLD."""
    return 2 * parameters if strategy.name == "scaffold" else parameters


def server_step(
    strategy: Strategy, state: ServerState, update: Sums, *, took_part: int = 1, members: int = 1
) -> ServerState:
    """Apply an aggregate `update: i64[d]` (`i64[2d]` for SCAFFOLD) in fine units.

    Plants of weight `took_part` out of `members` sent it; only SCAFFOLD's control uses the share.

    Raises:
        InvalidInput: BAD_ARGUMENTS for a wrong length or elements of 2^31 or more.
    """
    _check_update(strategy, state, update)
    parameters = len(state.model)
    match strategy.name:
        case "average":
            return replace(state, model=state.model + times(update, strategy.rate))
        case "momentum":
            first = times(state.first, strategy.first_decay) + update
            return replace(state, model=state.model + times(first, strategy.rate), first=first)
        case "scaffold":
            move, control = update[:parameters], update[parameters:]
            return replace(
                state,
                model=state.model + times(move, strategy.rate),
                control=state.control + control * took_part // members,
            )
        case "adagrad" | "adam" | "yogi":
            return _adaptive(strategy, state, update)


def state_digest(state: ServerState) -> bytes:
    """Name a server state; it is what validators agree on after a round."""
    whole = hashlib.sha256(b"andon/fl-state\0" + len(state.model).to_bytes(8, "big"))
    for vector in (state.model, state.first, state.second, state.control):
        whole.update(vector.astype("<i8", copy=False).tobytes())
    return whole.digest()


def state_to_bytes(state: ServerState) -> bytes:
    """All four vectors, little endian, for the blob store."""
    vectors = (state.model, state.first, state.second, state.control)
    return b"".join(vector.astype("<i8", copy=False).tobytes() for vector in vectors)


def state_from_bytes(blob: bytes) -> ServerState:
    """Read `state_to_bytes`.

    Raises:
        InvalidInput: MALFORMED for a length that is not four vectors.
    """
    if not blob or len(blob) % 32:
        raise InvalidInput(Code.MALFORMED, f"{len(blob)} bytes are not a server state")
    values = np.frombuffer(blob, "<i8").astype(np.int64).reshape(4, -1)
    return ServerState(values[0].copy(), values[1].copy(), values[2].copy(), values[3].copy())


def times(values: Sums, factor: int) -> Sums:
    """`floor(values * factor / 2^16)` without overflow for |values| < 2^62, factor <= 2^30."""
    if factor <= ONE:
        return (values >> 16) * factor + (((values & 0xFFFF) * factor) >> 16)
    whole, part = divmod(factor, ONE)
    return values * whole + times(values, part)


def square_root(values: Sums) -> Sums:
    """The exact integer square root of each element, 0 to 2^62.

    The float estimate may be off by one on any machine; it is corrected in integers.
    """
    root = np.sqrt(values.astype(np.float64)).astype(np.int64)
    root -= (root * root > values).astype(np.int64)
    root += ((root + 1) * (root + 1) <= values).astype(np.int64)
    return root


def _adaptive(strategy: Strategy, state: ServerState, update: Sums) -> ServerState:
    square = np.minimum(update * update, _SQUARE_MAX)
    keep_first, keep_second = strategy.first_decay, strategy.second_decay
    first = times(state.first, keep_first) + times(update, ONE - keep_first)
    match strategy.name:
        case "adagrad":
            first = update
            second = np.minimum(state.second, _SQUARE_MAX - square) + square
        case "yogi":
            direction = np.sign(state.second - square)
            second = state.second - direction * times(square, ONE - keep_second)
        case _:
            second = times(state.second, keep_second) + times(square, ONE - keep_second)
    second = np.clip(second, 0, _SQUARE_MAX)
    move = first * strategy.rate // (square_root(second) + strategy.floor)
    return replace(state, model=state.model + move, first=first, second=second)


def _check_update(strategy: Strategy, state: ServerState, update: Sums) -> None:
    expected = vector_length(strategy, len(state.model))
    if update.shape != (expected,):
        raise InvalidInput(
            Code.BAD_ARGUMENTS, f"an update of {update.size} elements, {expected} are expected"
        )
    if update.size and int(np.abs(update).max()) > _STEP_MAX:
        raise InvalidInput(Code.BAD_ARGUMENTS, "an update element reaches 2^31")


def model_to_fine(weights: NDArray[np.float32], fine_bits: int) -> Sums:
    """Round float parameters `f32[d]` to fine units."""
    return np.rint(weights.astype(np.float64) * float(1 << fine_bits)).astype(np.int64)


def model_from_fine(model: Sums, fine_bits: int) -> NDArray[np.float32]:
    """Read the model as float parameters; every plant gets the same floats."""
    return (model.astype(np.float64) / float(1 << fine_bits)).astype(np.float32)

"""Daisy-chaining (FedDC): models wander between plants and are averaged now and then.

Exactly: at step t every plant trains one step; if t mod b = b-1 all models are aggregated and
the mean goes to all; else if t mod d = d-1 model i goes to plant permutation[i] as it is.
Aggregation wins where both fall together. Optimiser state travels with the model.

Source: Kamp, Fischer, Vreeken, ICLR 2023 (arXiv 2110.03469), with the order of the authors' code;
reference 1.2. A receiver sees one plant's model and the route is public on a ledger: contract
`terms` admits it only under a privacy budget.
"""

from __future__ import annotations

import hashlib
from enum import Enum

from andon.core.codec import Record
from andon.core.errors import Code, InvalidInput
from models.federated import masks
from models.federated.secagg import contract_hash

PLANTS_MAX = 1024


class Step(Enum):
    """What follows the local step."""

    LOCAL = "local"
    ROUTE = "route"
    AGGREGATE = "aggregate"


class DaisyPlan(Record, frozen=True):
    """Daisy period `d` and aggregation period `b`, in local steps."""

    daisy_period: int
    aggregation_period: int


def check_plan(plan: DaisyPlan) -> None:
    """Require periods of at least one.

    Raises:
        InvalidInput: BAD_ARGUMENTS.
    """
    if plan.daisy_period < 1 or plan.aggregation_period < 1:
        raise InvalidInput(Code.BAD_ARGUMENTS, "daisy and aggregation periods are at least 1")


def step_after(plan: DaisyPlan, step: int) -> Step:
    """What to do after local step `step`, counted from 0."""
    if step % plan.aggregation_period == plan.aggregation_period - 1:
        return Step.AGGREGATE
    if step % plan.daisy_period == plan.daisy_period - 1:
        return Step.ROUTE
    return Step.LOCAL


def exchanges(plan: DaisyPlan, steps: int) -> int:
    """How many of `steps` end in a message from every plant."""
    return sum(step_after(plan, step) is not Step.LOCAL for step in range(steps))


def permutation(seed: bytes, count: int) -> tuple[int, ...]:
    """A uniform permutation of range(count): model i goes to plant result[i].

    Fisher-Yates over a SHA-256 stream with rejection, so every validator draws the same.
    """
    if not 1 <= count <= PLANTS_MAX:
        raise InvalidInput(Code.BAD_ARGUMENTS, f"a permutation of {count} plants")
    stream = _Stream(seed)
    places = list(range(count))
    for last in range(count - 1, 0, -1):
        chosen = stream.below(last + 1)
        places[last], places[chosen] = places[chosen], places[last]
    return tuple(places)


def cycle(seed: bytes, count: int) -> tuple[int, ...]:
    """A permutation that is one cycle: no plant keeps its own model. As contract `routes` draws it.

    `seed` is 32 bytes. Sattolo's shuffle; the bias of 248 bits modulo at most 255 is below 2^-240.
    """
    if count < 2:
        raise InvalidInput(Code.BAD_ARGUMENTS, "one plant has nobody to send to")
    places = list(range(count))
    for last in range(count - 1, 0, -1):
        seed = contract_hash(seed)
        chosen = int.from_bytes(seed[:31], "big") % last
        places[last], places[chosen] = places[chosen], places[last]
    return tuple(places)


def seal_model(
    sender: masks.Pair, receiver_key: bytes, model: bytes, *, context: bytes
) -> tuple[bytes, bytes, bytes]:
    """Seal a model for its receiver: (ciphertext, digest of the model, digest of ciphertext).

    `context` is the digest of the attempt: the key serves one message.
    """
    key = masks.shared_key(sender, receiver_key, "route", context + sender.public)
    sealed = masks.seal(key, model, context)
    return sealed, _digest(model), _digest(sealed)


def open_model(
    receiver: masks.Pair, sender_key: bytes, sealed: bytes, model_digest: bytes, *, context: bytes
) -> bytes:
    """Open a routed model and compare it with the digest that its sender committed.

    Raises:
        InvalidInput: MALFORMED or DIGEST_MISMATCH; the sender is at fault.
    """
    key = masks.shared_key(receiver, sender_key, "route", context + sender_key)
    model = masks.unseal(key, sealed, context)
    if _digest(model) != model_digest:
        raise InvalidInput(Code.DIGEST_MISMATCH, "the routed model is not the committed one")
    return model


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(b"andon/fl-route\0" + content).digest()


class _Stream:
    """Uniform draws from SHA-256 in counter mode."""

    def __init__(self, seed: bytes) -> None:
        self._seed = hashlib.sha256(b"andon/fl-permutation\0" + seed).digest()
        self._counter = 0

    def below(self, bound: int) -> int:
        limit = 2**64 - 2**64 % bound
        while True:
            block = hashlib.sha256(self._seed + self._counter.to_bytes(8, "big")).digest()
            self._counter += 1
            value = int.from_bytes(block[:8], "big")
            if value < limit:
                return value % bound

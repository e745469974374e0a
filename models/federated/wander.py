"""Models that wander between plants (FedDC) in a run on the ledger: to whom and how sealed.

In a route round every plant trains from the model it holds and gives the result, sealed, to the
plant that the contract's draw names; in the next round it starts from what it took. What travels
is the difference to the run's base state in encoded units, so averaging rounds sum the same
numbers. A plant that gets nothing goes on with its own model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from andon.core.codec import encode_value
from andon.core.errors import Code, InvalidInput
from models.federated.daisy import cycle, open_model, seal_model
from models.federated.journal import Journal
from models.federated.plan import Parcel, Plan, Progress, Sent
from models.federated.ring import Units, check_units
from models.federated.secagg import contract_hash, seal_pair

ATTEMPTS_MAX = 3


@dataclass(frozen=True, slots=True)
class Given:
    """What was put on its way to one plant; `blob` is None if nobody has it."""

    parcel: Parcel
    blob: bytes | None


def taker_of(plan: Plan, progress: Progress, sent: dict[bytes, Sent], giver: bytes) -> bytes:
    """The plant that gets `giver`'s model."""
    order = _order(plan, progress, sent)
    return progress.announced[order[progress.announced.index(giver)]]


def giver_to(plan: Plan, progress: Progress, sent: dict[bytes, Sent], taker: bytes) -> bytes:
    """The plant whose model `taker` gets."""
    order = _order(plan, progress, sent)
    return progress.announced[order.index(progress.announced.index(taker))]


def seal_update(
    place: tuple[Plan, Progress], secret: bytes, taker_key: bytes, update: bytes
) -> tuple[bytes, bytes]:
    """Seal encoded units for their taker: (sealed blob, digest of the content)."""
    sealed, content, _ = seal_model(seal_pair(secret), taker_key, update, context=_context(*place))
    return sealed, content


def open_update(
    place: tuple[Plan, Progress], secret: bytes, giver_key: bytes, given: Given
) -> bytes:
    """Open what was given to this plant and check it as its own update is checked.

    Raises:
        InvalidInput: NOT_FOUND, MALFORMED, DIGEST_MISMATCH or BAD_ARGUMENTS; the giver's fault.
    """
    if given.blob is None:
        raise InvalidInput(Code.NOT_FOUND, "nobody has the model that was given to this plant")
    plan = place[0]
    content = open_model(
        seal_pair(secret), giver_key, given.blob, given.parcel.model, context=_context(*place)
    )
    if len(content) != 4 * plan.elements:
        raise InvalidInput(Code.MALFORMED, f"a model of {len(content)} bytes was given")
    check_units(units_of(content), plan.encoding)
    return content


def held(journal: Journal, plan: Plan, number: int) -> Units | None:
    """What the plant holds before round `number`, in units beside the base; None is the base."""
    if number < 2 or not plan.is_route(number - 1):
        return None
    for attempt in range(ATTEMPTS_MAX, 0, -1):
        entry = journal.load(plan.run, number - 1, attempt)
        if entry is not None and (entry.received or entry.update):
            return units_of(entry.received or entry.update)
    return None


def units_of(content: bytes) -> Units:
    """Encoded units `i32[d]` from bytes."""
    return np.frombuffer(content, "<i4").astype(np.int32)


def _order(plan: Plan, progress: Progress, sent: dict[bytes, Sent]) -> tuple[int, ...]:
    keys = [sent[name].required_announcement().seal_key for name in progress.announced]
    place = (plan.run, progress.number, progress.attempt)
    return cycle(contract_hash(encode_value([place, *keys])), len(keys))


def _context(plan: Plan, progress: Progress) -> bytes:
    words = encode_value((plan.chain_id, plan.run, progress.number, progress.attempt))
    return contract_hash(b"fl-route:" + words)

"""A federation in one process, with the very integers and masks of the ledger's rounds.

For experiments and benchmarks: no ledger, no network, no journal. Plants are given as updates.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.federated import robust
from models.federated.ring import (
    Encoding,
    Sums,
    Words,
    encode_update,
    to_ring,
)
from models.federated.secagg import Attempt, Evidence, Member, threshold_for, unmask
from models.federated.strategies import (
    ServerState,
    Strategy,
    fed_avg,
    initial_state,
    model_from_fine,
    model_to_fine,
    server_step,
)

Floats = NDArray[np.float32]
THREADS_MAX = 8


@dataclass(slots=True)
class Federation:
    """Server state and rules of a simulated run; `is_masked` sums under masks (rule `mean`).

    `plant_weights` are the public weights of the plants in masked sums; empty is one each.
    """

    state: ServerState
    encoding: Encoding
    strategy: Strategy = field(default_factory=fed_avg)
    rule: robust.Rule = field(default_factory=lambda: robust.Rule(name="mean"))
    is_masked: bool = False
    plant_weights: tuple[int, ...] = ()
    round: int = 0

    @staticmethod
    def start(weights: Floats, encoding: Encoding) -> Federation:
        """Begin with FedAvg in the open; change the fields for anything else."""
        fine = model_to_fine(weights, encoding.scale_bits + robust.FINE_BITS)
        return Federation(initial_state(fine), encoding)

    def weights(self) -> Floats:
        """The global model that every plant trains from."""
        return model_from_fine(self.state.model, self.encoding.scale_bits + robust.FINE_BITS)

    def step(self, updates: list[Floats], dropped: tuple[int, ...] = ()) -> None:
        """One round; plants in `dropped` vanish after the keys were dealt."""
        self.round += 1
        units = [encode_update(update, self.encoding) for update in updates]
        if self.is_masked:
            weights = self.plant_weights or (1,) * len(updates)
            words = [to_ring(u, w, self.encoding) for u, w in zip(units, weights, strict=True)]
            total = masked_sum(words, self.round, dropped)
            present = sum(w for place, w in enumerate(weights) if place not in dropped)
            update = robust.fine_mean(total, present)
        else:
            kept = [u for index, u in enumerate(units) if index not in dropped]
            update = robust.apply_rule(self.rule, robust.fine_rows(kept))
        self.state = server_step(
            self.strategy,
            self.state,
            update,
            took_part=len(updates) - len(dropped),
            members=len(updates),
        )


def masked_sum(vectors: list[Words], number: int, dropped: tuple[int, ...] = ()) -> Sums:
    """Run one whole attempt: keys, shares, masks, reveals, unmasking."""
    count = len(vectors)
    names = tuple(sorted(hashlib.sha256(b"plant %d" % k).digest() for k in range(count)))
    attempt = Attempt("simulation", "run", number, 1, 0, threshold_for(count), names)
    members = [Member(secrets.token_bytes(32), attempt, name) for name in names]
    announcements = tuple(member.announcement() for member in members)
    dealings = {k: member.deal(announcements) for k, member in enumerate(members)}
    cohort = tuple(range(count))
    survivors = tuple(k for k in cohort if k not in dropped)

    def mask(place: int) -> Words:
        return members[place].mask(vectors[place], announcements, cohort)

    # Plants have a machine each; here they share the cores. Keystreams release the interpreter.
    with ThreadPoolExecutor(min(THREADS_MAX, os.cpu_count() or 1)) as threads:
        masked = dict(zip(survivors, threads.map(mask, survivors), strict=True))
    reveals = {k: members[k].reveal(announcements, dealings, survivors) for k in survivors}
    return unmask(
        Evidence(
            attempt=attempt,
            announcements=announcements,
            dealings=dealings,
            masked=masked,
            reveals=reveals,
        )
    )

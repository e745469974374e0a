"""Builds whole attempts of secure sums for the tests."""

import hashlib
import random
from dataclasses import dataclass, field

import numpy as np

from models.federated.ring import Words
from models.federated.secagg import (
    Announcement,
    Attempt,
    Dealing,
    Evidence,
    Member,
    Share,
    threshold_for,
)


def accounts(count: int) -> tuple[bytes, ...]:
    return tuple(sorted(hashlib.sha256(b"account %d" % k).digest() for k in range(count)))


@dataclass
class Cohort:
    """All members of one attempt, with everything they sent."""

    attempt: Attempt
    members: list[Member]
    announcements: tuple[Announcement, ...]
    dealings: dict[int, Dealing]
    plain: dict[int, Words]
    masked: dict[int, Words] = field(default_factory=dict)

    @staticmethod
    def make(
        count: int,
        size: int,
        *,
        seed: int = 0,
        absent: tuple[int, ...] = (),
        number: int = 1,
        attempt: int = 1,
        chain_id: str = "test",
        secret_seed: int = 0,
    ) -> "Cohort":
        names = accounts(count)
        bound = Attempt(chain_id, "run", number, attempt, 0, threshold_for(count), names)
        members = [
            Member(hashlib.sha256(b"%d %d" % (secret_seed, k)).digest(), bound, name)
            for k, name in enumerate(names)
        ]
        announcements = tuple(member.announcement() for member in members)
        dealings = {
            k: member.deal(announcements) for k, member in enumerate(members) if k not in absent
        }
        rng = np.random.default_rng(seed)
        plain = {
            k: rng.integers(-1000, 1000, size).astype(np.int32).view(np.uint32) for k in dealings
        }
        cohort = Cohort(bound, members, announcements, dealings, plain)
        for k in dealings:
            cohort.masked[k] = members[k].mask(plain[k], announcements, tuple(sorted(dealings)))
        return cohort

    def evidence(
        self, survivors: tuple[int, ...], revealers: tuple[int, ...], order: random.Random
    ) -> Evidence:
        """What validators hold, in a drawn order of arrival."""
        reveals: dict[int, tuple[Share, ...]] = {}
        for k in order.sample(revealers, len(revealers)):
            shares = list(self.members[k].reveal(self.announcements, self.dealings, survivors))
            order.shuffle(shares)
            reveals[k] = tuple(shares)
        arrived = order.sample(survivors, len(survivors))
        dealt = order.sample(sorted(self.dealings), len(self.dealings))
        return Evidence(
            attempt=self.attempt,
            announcements=self.announcements,
            dealings={k: self.dealings[k] for k in dealt},
            masked={k: self.masked[k] for k in arrived},
            reveals=reveals,
        )

    def expected(self, survivors: tuple[int, ...]) -> list[int]:
        total = sum(self.plain[k].view(np.int32).astype(np.int64) for k in survivors)
        return [int(value) for value in np.asarray(total)]

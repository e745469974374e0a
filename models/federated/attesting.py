"""A validator's verdict on a round: recompute it once, accuse whom it proves guilty, attest it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from andon.core.codec import Value
from andon.core.errors import InvalidInput
from models.federated.holding import Holding
from models.federated.plan import Progress
from models.federated.rounds import Material, Result, Scorer, recompute
from models.federated.strategies import ServerState, state_to_bytes

REFUSALS_MAX = 3


class Desk(Protocol):
    """The part of the ledger port that verdicts go through."""

    async def send(self, method: str, arguments: dict[str, Value]) -> None:
        """Submit a call and wait until it is final."""

    async def publish(self, blob: bytes) -> bytes:
        """Store a blob where the others find it."""


@dataclass(slots=True)
class Attesting:
    """What a validator found in the round at hand, and whether it has said so.

    `lie` is a chaos tool for demonstrations: what a dishonest validator would attest.
    """

    desk: Desk
    run: str
    report: Callable[[str], None]
    lie: Callable[[Result], Result] | None = None
    place: tuple[int, int] = (0, 0)
    is_done: bool = False
    result: Result | None = None
    refusals: int = 0
    checked: bytes = b""
    """The last state whose score on the ledger was found to be its score."""

    def wants(self, progress: Progress) -> bool:
        """Whether this round waits for the verdict."""
        place = (progress.number, progress.attempt)
        if place != self.place:
            self.place, self.is_done, self.result, self.refusals = place, False, None, 0
        return progress.phase == "AGGREGATE" and not self.is_done

    async def attest(
        self, material: Material, base: ServerState, scorer: Scorer | None, holding: Holding
    ) -> None:
        """Give the verdict on a round that waits for it.

        Raises:
            InvalidInput: when the ledger refuses it; look again. After three refusals the round
                is left to the others, since the next one may be fine.
        """
        progress = material.progress
        if self.result is None and scorer is not None and self.checked != progress.base:
            # The owner states the first score: too high a one would roll every good round back.
            stated, found = material.plan.score, await asyncio.to_thread(scorer, base.model)
            if stated not in (None, found):
                self.is_done = True
                self.report(
                    f"round {progress.number}: not attested, the run states the score {stated} "
                    f"for its state, which has {found}"
                )
                return
            self.checked = progress.base
        if self.result is None:
            self.result = await asyncio.to_thread(recompute, material, base, scorer)
            if self.lie is not None:
                self.result = self.lie(self.result)
        await holding.accuse_dealers(progress, self.result)
        blob = await self.desk.publish(state_to_bytes(self.result.state))
        try:
            await self.desk.send("attest", self._words(progress, self.result, blob))
        except InvalidInput as error:
            self.refusals += 1
            if self.refusals < REFUSALS_MAX:
                raise
            self.report(f"round {progress.number}: not attested, {error.message}")
        else:
            self.report(f"round {progress.number}: attested {self.result.state_digest.hex()[:16]}")
        self.is_done, self.result = True, None

    def _words(self, progress: Progress, result: Result, blob: bytes) -> dict[str, Value]:
        return {
            "run": self.run,
            "number": progress.number,
            "attempt": progress.attempt,
            "state": result.state_digest,
            "blob": blob,
            "score": result.score,
            "flags": list(result.flagged),
            "left_out": list(result.left_out),
            "contributions": list(result.contributions),
        }

"""A validator's part before and after the aggregate: keep updates, look whether others keep them.

An update counts when more than two thirds of the weight hold it, so an honest validator says so
only of what its own node has stored. After each round all validators ask the same keeper for the
same update, drawn from the result: who says that it holds one and does not give it is accused.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Protocol

from andon.core.codec import Key, Value, encode_value
from andon.core.errors import Code, InvalidInput, Unavailable
from models.federated.plan import Plan, Progress, Sent
from models.federated.rounds import Result

FALSE_AVAILABILITY = "false availability"
WRONG_SECRETS = "dealt wrong secrets"
ASKS_MAX = 10
"""How often a keeper's question may fail before it is left to the other validators."""


class Shelf(Protocol):
    """The part of the ledger port that keeps blobs and looks at those of others."""

    async def state(self, variable: str, key: Key) -> Value:
        """A proved entry of the contracts' state, None if absent."""

    async def height(self) -> int:
        """Height of the last final block."""

    async def send(self, method: str, arguments: dict[str, Value]) -> None:
        """Submit a call and wait until it is final."""

    async def blob(self, identity: bytes) -> bytes:
        """Fetch a blob from any node."""

    async def keep(self, blob: bytes) -> None:
        """Store a blob with the validator's own node."""

    async def serves(self, keeper: bytes, identity: bytes) -> bool | None:
        """Whether a validator's node gives a blob; None if it cannot be asked."""


@dataclass(slots=True)
class Holding:
    """What a validator holds of the attempt at hand, and what it said about it."""

    shelf: Shelf
    run: str
    account: bytes
    place: tuple[int, int] = (0, 0)
    held: list[bytes] = field(default_factory=list)
    said: tuple[int, int] = (0, 0)
    asked: int = 0
    """The last round whose keeper was asked."""
    failures: int = 0

    async def look(self, plan: Plan, progress: Progress, sent: dict[bytes, Sent]) -> None:
        """Store what can be got of the committed updates, and say what is held.

        All of them are said at once; past the middle of the phase what is missing too, so that
        its plant still has time to give it to more nodes.

        Raises:
            AndonError: as the ledger does.
        """
        place = (progress.number, progress.attempt)
        if place != self.place:
            self.place, self.held, self.said = place, [], (0, 0)
        for account in progress.committed:
            if account not in self.held:
                blob = await self._found(sent[account].blob)
                if blob is not None and len(blob) == 4 * plan.elements:
                    # Stored before it is said: a keeper that has lost it would be accused.
                    await self.shelf.keep(blob)
                    self.held.append(account)
        missing = [name for name in progress.committed if name not in self.held]
        statement = (len(self.held), len(missing))
        if missing and await self.shelf.height() <= (progress.opened + progress.deadline) // 2:
            return
        if statement == self.said:
            return
        held: list[Value] = list(self.held)
        lost: list[Value] = list(missing)
        await self.shelf.send("hold", {**_place(self.run, progress), "held": held, "missing": lost})
        self.said = statement

    async def accuse_dealers(self, progress: Progress, result: Result) -> None:
        """Accuse who dealt shares of secrets that it had not announced."""
        for account in result.accused:
            await self._accuse(progress.number, account, WRONG_SECRETS)

    async def has_asked(self, number: int) -> bool:
        """Ask the keeper of a round that ended, once; False if that failed and is to be repeated.

        It is a check on others: whatever hinders it must not keep a validator from its own work.
        """
        if number > self.asked:
            try:
                await self.ask_keeper(number)
            except (InvalidInput, Unavailable):
                self.failures += 1
                if self.failures < ASKS_MAX:
                    return False
            self.asked, self.failures = number, 0
        return True

    async def ask_keeper(self, number: int) -> None:
        """Ask the keeper whose turn it is after a round; accuse it if it does not serve.

        Nobody knows before the result who will be asked for what, and all validators ask the same.
        """
        value = await self.shelf.state("rounds", (self.run, number))
        current = value if isinstance(value, dict) else {}
        frozen, result = current.get("frozen"), current.get("result")
        if not isinstance(frozen, list) or not isinstance(result, dict) or not frozen:
            return
        seed = hashlib.sha256(b"andon/fl-keeper\0" + encode_value(result["state"])).digest()
        drawn = int.from_bytes(seed)
        key = (self.run, number, current["attempt"], frozen[drawn % len(frozen)])
        keepers = await self.shelf.state("keepers", key)  # type: ignore[arg-type] # of a proved round
        commit = await self.shelf.state("commits", key)  # type: ignore[arg-type] # of a proved round
        if not isinstance(keepers, list) or not keepers or not isinstance(commit, dict):
            return
        keeper, blob = keepers[drawn // len(frozen) % len(keepers)], commit["blob"]
        if not isinstance(keeper, bytes) or not isinstance(blob, bytes) or keeper == self.account:
            return
        if await self.shelf.serves(keeper, blob) is False:
            await self._accuse(number, keeper, FALSE_AVAILABILITY)

    async def _accuse(self, number: int, account: bytes, reason: str) -> None:
        words: dict[str, Value] = {"number": number, "account": account, "reason": reason}
        try:
            await self.shelf.send("accuse", {"run": self.run, **words})
        except InvalidInput as error:
            # It said so before it was restarted.
            if error.code is not Code.CONTRACT_FAILED:
                raise

    async def _found(self, identity: bytes) -> bytes | None:
        """A blob; None if nobody gives it: one that is lost keeps none of the others back."""
        try:
            return await self.shelf.blob(identity)
        except (InvalidInput, Unavailable):
            return None


def _place(run: str, progress: Progress) -> dict[str, Value]:
    return {"run": run, "number": progress.number, "attempt": progress.attempt}

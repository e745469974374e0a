"""Plants and validators at work: look at the ledger, act, wait, until the run ends.

The ledger is a port that `andon.client.federated` implements. Nothing here is remembered: killed
at any point, a plant or validator starts again and looks at the ledger.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from andon.core.codec import Key, Value
from andon.core.errors import AndonError, Code, InvalidInput, Unavailable
from models.federated import robust, wander
from models.federated.attesting import Attesting
from models.federated.holding import Holding
from models.federated.plan import (
    Plan,
    Progress,
    Sent,
    bound_after,
    has_counted,
    parse_parcel,
    parse_plan,
    parse_progress,
    parse_sent,
)
from models.federated.plant import Done, Plant, Send, Sight, Spread, Wait
from models.federated.rounds import Material, Result, Scorer, scorings
from models.federated.strategies import ServerState, state_from_bytes
from models.federated.validation import make_scorer, validation_from_bytes

POLL_S = 0.2
WAIT_S = 1.0
"""A deadline passes without an event: look at least so often."""

AWAY_S = 1.0
REFUSALS_MAX = 50
STATES_MAX = 4
Report = Callable[[str], None]
_NOTHING: dict[Key, Value] = {"keys": None, "dealing": None, "commit": None, "reveal": None}
_FIELDS = {"keys": "keys", "dealings": "dealing", "commits": "commit", "reveals": "reveal"}

_DONE: dict[str, Callable[[Progress], tuple[bytes, ...]]] = {
    "DEAL": lambda p: p.dealt,
    "COMMIT": lambda p: p.committed,
    "REVEAL": lambda p: p.revealed,
    "ROUTE": lambda p: p.given,
    "TAKE": lambda p: p.taken,
}
"""Who has done its part in a phase."""


class Ledger(Protocol):
    """Contract `training` and the blob store, seen through final blocks with checked proofs."""

    chain_id: str

    async def state(self, variable: str, key: Key) -> Value:
        """A proved entry of the contract's state, None if absent."""

    async def height(self) -> int:
        """Height of the last final block."""

    async def changed(self, wait_s: float) -> None:
        """Wait until a run may have moved since the last call, at most `wait_s`."""

    async def send(self, method: str, arguments: dict[str, Value]) -> None:
        """Submit a call and wait until it is final. Raises: AndonError."""

    async def publish(self, blob: bytes) -> bytes:
        """Store a blob where the others find it."""

    async def spread(self, blob: bytes) -> None:
        """Store a blob with every node that takes it."""

    async def keep(self, blob: bytes) -> None:
        """Store a blob with the account's own node. Raises: Unavailable."""

    async def serves(self, keeper: bytes, identity: bytes) -> bool | None:
        """Whether a validator's node gives a blob; None if it cannot be asked."""

    async def blob(self, identity: bytes) -> bytes:
        """Fetch a blob. Raises: Unavailable or InvalidInput NOT_FOUND."""


@dataclass(slots=True)
class Watcher:
    """Reads runs; keeps what never changes: the last server states, what was sent in this round."""

    ledger: Ledger
    run: str
    states: dict[bytes, ServerState] = field(default_factory=dict)
    parts: dict[tuple[str, int, int, bytes], Value] = field(default_factory=dict)
    """State variable, round, attempt, account: once sent, a part stays; only one round is kept."""
    bounds: tuple[int, int] = (0, 0)
    """Round and its bound: final once the round before has ended."""
    counted: tuple[int, bool] = (0, False)
    """A round that has ended, and whether the account's update is in its state."""
    scoring: Scorer | None = None

    async def plan(self) -> Plan:
        """The run. Raises: InvalidInput NOT_FOUND."""
        value = await self.ledger.state("runs", self.run)
        if value is None:
            raise InvalidInput(
                Code.NOT_FOUND, f"there is no run {self.run}", hint="`andon fl create` makes one"
            )
        return parse_plan(self.ledger.chain_id, self.run, value)

    async def progress(self, number: int) -> Progress:
        """A round of the run."""
        return parse_progress(number, await self.ledger.state("rounds", (self.run, number)))

    async def sight(
        self, account: bytes, plan: Plan, progress: Progress, pending: int = 0
    ) -> Sight:
        """What the plant needs in this phase; `pending` is its `Plant.pending`."""
        peers: tuple[bytes, ...] = ()
        done = _DONE.get(progress.phase)
        if done is not None and account in done(progress):
            # It has done its part: only the end of the phase matters, not what the others sent.
            pass
        elif plan.is_route(progress.number):
            peers = progress.announced
        elif account in plan.accounts() and plan.mode != "plain":
            peers = plan.group_members(plan.group_of(account), progress.announced)
        wanted: tuple[str, ...] = ()
        if progress.phase in ("DEAL", "COMMIT", "HOLD", "ROUTE", "TAKE"):
            wanted = ("keys",)
        elif progress.phase == "REVEAL":
            wanted = ("keys", "dealings")
        sent = {name: await self.sent(progress, name, wanted) for name in peers}
        given = None
        if progress.phase == "TAKE" and account in peers:
            giver = wander.giver_to(plan, progress, sent, account)
            given = await self.given(progress, giver)
        return Sight(
            plan=plan,
            progress=progress,
            sent=sent,
            base=await self.base(progress),
            bound=await self.bound(plan, progress),
            given=given,
            is_missed=await self.is_missed(progress, account),
            has_counted=await self.has_counted(plan, account, pending, progress.number),
        )

    async def has_counted(self, plan: Plan, account: bytes, pending: int, number: int) -> bool:
        """Whether the account's update of round `pending` is in the run's state."""
        if not 0 < pending < number:
            return False
        if self.counted[0] != pending:
            value = await self.ledger.state("rounds", (self.run, pending))
            self.counted = (pending, has_counted(plan, value, account))
        return self.counted[1]

    async def is_missed(self, progress: Progress, account: bytes) -> bool:
        """Whether a validator has said that it does not find the account's update."""
        if progress.phase != "HOLD" or account not in progress.committed:
            return False
        key = (self.run, progress.number, progress.attempt, account)
        return bool(await self.ledger.state("doubters", key))

    async def given(self, progress: Progress, giver: bytes) -> wander.Given | None:
        """What a plant gave in a route round; None if nothing."""
        key = (self.run, progress.number, progress.attempt, giver)
        value = await self.ledger.state("given", key)
        if value is None:
            return None
        parcel = parse_parcel(value)
        return wander.Given(parcel, await self._found(parcel.blob))

    async def material(self, plan: Plan, progress: Progress) -> Material:
        """Everything of a frozen round.

        Raises:
            Unavailable: NOT_FOUND for an update that two thirds of the validators hold: look again.
        """
        sent, blobs = {}, {}
        for name in plan.accounts():
            sent[name] = await self.sent(progress, name, ("keys", "dealings", "commits", "reveals"))
        for name in progress.frozen:
            blobs[sent[name].blob] = await self.ledger.blob(sent[name].blob)
        bound = await self.bound(plan, progress)
        return Material(plan=plan, progress=progress, sent=sent, blobs=blobs, bound=bound)

    async def commits(self, progress: Progress) -> dict[bytes, Sent]:
        """What the members of a round committed to."""
        return {name: await self.sent(progress, name, ("commits",)) for name in progress.committed}

    async def bound(self, plan: Plan, progress: Progress) -> int:
        """The longest update of this round, from what was declared in the one before."""
        number = progress.number
        if self.bounds[0] != number:
            before, norms = None, {}
            last = plan.averaged_before(number)
            if plan.mode == "grouped" and last > 0:
                before = await self.progress(last)
                for name in before.frozen:
                    key = (self.run, last, before.attempt, name)
                    commit = await self.ledger.state("commits", key)
                    norms[name] = parse_sent({**_NOTHING, "commit": commit}).norm
            self.bounds = (number, bound_after(plan, before, norms))
        return self.bounds[1]

    async def sent(self, progress: Progress, account: bytes, wanted: tuple[str, ...]) -> Sent:
        """The parts of what a member sent; one that cannot be read counts as not sent.

        It is another's doing: it must end neither this process nor the round.
        """
        key = (self.run, progress.number, progress.attempt, account)
        found: dict[Key, Value] = {}
        if any(place[1] != progress.number for place in self.parts):
            self.parts.clear()
        for variable in wanted:
            place = (variable, progress.number, progress.attempt, account)
            if place not in self.parts:
                value = await self.ledger.state(variable, key)
                if value is None:
                    continue
                self.parts[place] = value if _is_readable(variable, value) else None
            found[_FIELDS[variable]] = self.parts[place]
        return parse_sent({**_NOTHING, **found})

    async def _found(self, identity: bytes) -> bytes | None:
        """A blob, None if nobody has it."""
        try:
            return await self.ledger.blob(identity)
        except AndonError as error:
            if error.code is not Code.NOT_FOUND:
                raise
            return None

    async def scorer(self, plan: Plan) -> Scorer | None:
        """What scores the run's models; None if the run names nothing.

        Raises:
            InvalidInput: MALFORMED or BAD_ARGUMENTS for a validation set that cannot be used.
        """
        if plan.validation is not None and self.scoring is None:
            found = validation_from_bytes(await self.ledger.blob(plan.validation))
            fine_bits = plan.encoding.scale_bits + robust.FINE_BITS
            self.scoring = make_scorer(found, plan.parameters, fine_bits, scorings(plan))
        return self.scoring

    async def base(self, progress: Progress) -> ServerState:
        """The server state that a round starts from."""
        known = self.states.get(progress.base_blob)
        if known is None:
            known = state_from_bytes(await self.ledger.blob(progress.base_blob))
            if len(self.states) >= STATES_MAX:
                del self.states[next(iter(self.states))]
            self.states[progress.base_blob] = known
        return known


async def run_plant(ledger: Ledger, run: str, account: bytes, plant: Plant, report: Report) -> str:
    """Take part in a run until it ends; returns the reason.

    Raises:
        AndonError: when the ledger refuses many times in a row.
    """
    watcher = Watcher(ledger, run)
    refusals, said = 0, ""
    spread: tuple[int, int] = (0, 0)
    while True:
        try:
            # First of all: whatever the parts of others are, a round whose time is up moves on.
            plan = await watcher.plan()
            progress = await watcher.progress(plan.round)
            if await _is_overdue(ledger, progress) and plan.status == "RUNNING":
                await _advance(ledger, plan)
                continue
            seen = await watcher.sight(account, plan, progress, plant.pending)
            # Training is the plant's own code and may take minutes: the loop stays free.
            action = await asyncio.to_thread(plant.next_action, seen)
            match action:
                case Done(reason):
                    return reason
                case Spread(blob):
                    # Once an attempt: a validator that still misses it lies, or is cut off.
                    place = (seen.progress.number, seen.progress.attempt)
                    if place != spread:
                        report(f"round {seen.progress.number}: gives its update to every node")
                        await ledger.spread(blob)
                        spread = place
                case Send():
                    if action.blob:
                        await ledger.publish(action.blob)
                    await ledger.send(action.method, action.arguments)
                    report(f"round {seen.progress.number}: {action.method}")
                    refusals = 0
                    continue
                case Wait(reason):
                    if reason != said:
                        said = reason
                        report(f"round {seen.progress.number}: waiting, {reason}")
                    refusals = 0
        except Unavailable as error:
            # The node restarts or the network is away: a plant waits for as long as it takes.
            said = _said(error, said, report)
            await asyncio.sleep(AWAY_S)
        except InvalidInput as error:
            # The phase may have ended meanwhile: look again.
            refusals += 1
            if refusals > REFUSALS_MAX:
                raise
            said = _said(error, said, report)
        await ledger.changed(WAIT_S)


async def run_validator(
    ledger: Ledger,
    run: str,
    account: bytes,
    *,
    report: Report,
    lie: Callable[[Result], Result] | None = None,
) -> str:
    """Hold updates, recompute and attest every round of a run until it ends; returns the reason.

    `lie` is a chaos tool for demonstrations: what a dishonest validator would attest.
    """
    watcher = Watcher(ledger, run)
    holding = Holding(ledger, run, account)
    attesting = Attesting(ledger, run, report, lie)
    refusals, said = 0, ""
    while True:
        try:
            plan = await watcher.plan()
            if plan.status != "RUNNING" and await holding.has_asked(plan.round):
                return "the run has ended"
            progress = await watcher.progress(plan.round)
            if progress.phase == "HOLD":
                await holding.look(plan, progress, await watcher.commits(progress))
            if attesting.wants(progress):
                material = await watcher.material(plan, progress)
                base = await watcher.base(progress)
                await attesting.attest(material, base, await watcher.scorer(plan), holding)
            if plan.status == "RUNNING":
                await holding.has_asked(plan.round - 1)
            refusals = 0
        except Unavailable as error:
            said = _said(error, said, report)
            await asyncio.sleep(AWAY_S)
        except InvalidInput as error:
            refusals += 1
            if refusals > REFUSALS_MAX:
                raise
            said = _said(error, said, report)
        await ledger.changed(WAIT_S)


def _is_readable(variable: str, value: Value) -> bool:
    try:
        parse_sent({**_NOTHING, _FIELDS[variable]: value})
    except InvalidInput:
        return False
    return True


def _said(error: AndonError, said: str, report: Report) -> str:
    """Report an error once, however often it comes back."""
    if error.message != said:
        report(f"will look again: {error.message}")
    return error.message


async def _is_overdue(ledger: Ledger, progress: Progress) -> bool:
    if progress.phase in ("CLOSED", "ABORTED"):
        return False
    return await ledger.height() > progress.deadline


async def _advance(ledger: Ledger, plan: Plan) -> None:
    """Move a round on whose deadline has passed; another plant may have done so already."""
    try:
        await ledger.send("advance", {"run": plan.run})
    except InvalidInput as error:
        if error.code is not Code.CONTRACT_FAILED:
            raise
    await asyncio.sleep(POLL_S)

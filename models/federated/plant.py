"""A plant's part in a run, without network: look at the ledger's state, say what to do next.

`Plant.next_action` is a function of the ledger's final state and the journal. Everything that it
returns may be repeated: a plant killed at any point, restarted and shown the ledger again, does
the same again or notices that it is already done. Every wait has a reason in words.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import isqrt
from typing import cast

import msgspec
import numpy as np

from andon.core.codec import Value
from andon.core.errors import Code, InvalidInput, Misuse
from andon.core.hashing import Domain, digest
from models.federated import robust, wander
from models.federated.control import Variate, train_controlled
from models.federated.journal import SECRET_BYTES, Entry, Journal
from models.federated.plan import Plan, Progress, Sent, share_values
from models.federated.ring import (
    Sums,
    Units,
    decode_units,
    encode_update,
    squared_norm,
    to_ring,
    words_to_bytes,
)
from models.federated.secagg import Announcement, Member
from models.federated.strategies import ServerState, model_from_fine, state_digest
from models.federated.trained import ControlledTrain, Floats, Train, Trained


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """Call `method` of contract `training`; if `blob` is given, publish it before."""

    method: str
    arguments: dict[str, Value]
    blob: bytes = b""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do now, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Done:
    """The run has ended or this plant has no part in it."""

    reason: str


@dataclass(frozen=True, slots=True)
class Spread:
    """The validators miss the blob that this plant committed to: give it to every node."""

    blob: bytes


Action = Send | Spread | Wait | Done


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """The ledger as the plant sees it, from final blocks whose certificates were checked.

    `sent` has every member of the own group, in route rounds all that announced keys; `base` is
    the state the round starts from; `given` is what is on its way to this plant; `bound` is the
    longest update of the round in units (`plan.bound_after`). `is_missed` says that validators
    do not find what the plant committed to, `has_counted` that the update of the round that it
    waits for (`Plant.pending`) is in the run's state.
    """

    plan: Plan
    progress: Progress
    sent: dict[bytes, Sent]
    base: ServerState
    bound: int
    given: wander.Given | None = None
    is_missed: bool = False
    has_counted: bool = False


class Plant:
    """One member of one run. `train` is called at most once a round, unless killed meanwhile."""

    def __init__(self, account: bytes, journal: Journal, train: Train | ControlledTrain) -> None:
        self._account = account
        self._journal = journal
        self._train = train
        self._variate = Variate(journal.folder)

    @property
    def pending(self) -> int:
        """The round whose outcome the next training needs to know; 0 if none."""
        return self._variate.pending

    def next_action(self, sight: Sight) -> Action:
        """Decide the next step; writes the journal before it returns what depends on it.

        Raises:
            InvalidInput: when the base state or the own announcement are not what they must be.
        """
        plan, progress = sight.plan, sight.progress
        if self._account not in plan.accounts():
            return Done("this account is no member of the run")
        if plan.status != "RUNNING":
            self._journal.wipe()
            self._variate.wipe()
            return Done("the run has ended")
        match progress.phase:
            case "KEYS":
                return self._announce(plan, progress)
            case "DEAL":
                return self._deal(sight)
            case "COMMIT":
                return self._commit(sight)
            case "HOLD":
                return self._spread(sight)
            case "REVEAL":
                return self._reveal(sight)
            case "ROUTE":
                return self._give(sight)
            case "TAKE":
                return self._take(sight)
            case "AGGREGATE":
                return Wait("validators are computing the aggregate")
            case "CLOSED" | "ABORTED":
                return Wait("the next round opens")

    def _announce(self, plan: Plan, progress: Progress) -> Action:
        if self._account in progress.announced:
            return Wait(f"other members announce keys until height {progress.deadline}")
        if self._account in plan.benched:
            return Wait("too few shares of this plant's secrets opened: it sits this round out")
        entry = self._entry(plan, progress, create=True)
        assert entry is not None
        keys = Member.announce(entry.secret)
        return Send(
            method="announce",
            arguments={
                **_address(plan, progress),
                "mask_key": keys.mask_key,
                "seal_key": keys.seal_key,
                "seed_digest": keys.seed_digest,
            },
        )

    def _deal(self, sight: Sight) -> Action:
        plan, progress = sight.plan, sight.progress
        if self._account not in progress.announced:
            return Wait("this plant came too late for the attempt; the next one is open to it")
        if self._account in progress.dealt:
            return Wait(f"other members deal shares until height {progress.deadline}")
        member = self._member(sight)
        if member is None:
            return Wait("the journal of this attempt is lost; sitting it out")
        dealing = member.deal(_announcements(sight, member))
        return Send(
            method="deal",
            arguments={
                **_address(plan, progress),
                "sealed": list(dealing.sealed),
                "seed_commitments": list(dealing.seed_commitments),
                "key_commitments": list(dealing.key_commitments),
            },
        )

    def _commit(self, sight: Sight) -> Action:
        plan, progress = sight.plan, sight.progress
        if self._account in progress.committed:
            return Wait(f"other members train until height {progress.deadline}")
        if plan.mode != "plain" and self._account not in progress.dealt:
            return Wait("this plant dealt no shares in the attempt; the next one is open to it")
        entry = self._trained(sight)
        if entry is None:
            return Wait("the journal of this attempt is lost; sitting it out")
        blob = self._blob(sight, entry)
        return Send(
            method="commit",
            arguments={
                **_address(plan, progress),
                "blob": digest(Domain.BLOB, blob),
                "size": len(blob),
                "rho": entry.rho,
                "norm": entry.norm,
            },
            blob=blob,
        )

    def _blob(self, sight: Sight, entry: Entry) -> bytes:
        """What the plant commits to: its update, masked unless the mode is plain."""
        plan = sight.plan
        if plan.mode == "plain":
            return entry.update
        member = self._member(sight)
        assert member is not None
        units = wander.units_of(entry.update)
        vector = to_ring(units, plan.weight(self._account), plan.encoding)
        cohort = _places(member, sight.progress.dealt)
        return words_to_bytes(member.mask(vector, _announcements(sight, member), cohort))

    def _spread(self, sight: Sight) -> Action:
        progress = sight.progress
        entry = self._entry(sight.plan, progress, create=False)
        if self._account in progress.committed and sight.is_missed and entry and entry.update:
            return Spread(self._blob(sight, entry))
        return Wait(f"validators take the updates in until height {progress.deadline}")

    def _reveal(self, sight: Sight) -> Action:
        plan, progress = sight.plan, sight.progress
        if self._account in progress.revealed:
            return Wait(f"other members reveal shares until height {progress.deadline}")
        if self._account not in progress.announced:
            return Wait("this plant holds no shares of the attempt")
        entry = self._entry(plan, progress, create=False)
        member = self._member(sight)
        if member is None or entry is None:
            return Wait("the journal of this attempt is lost; its shares cannot be revealed")
        survivors = plan.group_members(plan.group_of(self._account), progress.frozen)
        # Never both shares of one member: the survivor set is fixed on disk before it is used,
        # and the journal refuses another one for this attempt, in every later process too.
        self._journal.save(msgspec.structs.replace(entry, frozen=survivors))
        dealings = {
            index: found
            for index, account in enumerate(member.attempt.members)
            if account in progress.dealt and (found := sight.sent[account].dealing) is not None
        }
        shares = member.reveal(
            _announcements(sight, member), dealings, _places(member, progress.frozen)
        )
        return Send(
            method="reveal",
            arguments={**_address(plan, progress), "shares": share_values(shares)},
        )

    def _give(self, sight: Sight) -> Action:
        plan, progress = sight.plan, sight.progress
        if self._account not in progress.announced:
            return Wait("this plant came too late for the attempt; the next one is open to it")
        if self._account in progress.given:
            return Wait(f"other members train until height {progress.deadline}")
        entry = self._trained(sight)
        if entry is None:
            return Wait("the journal of this attempt is lost; sitting it out")
        taker = wander.taker_of(plan, progress, sight.sent, self._account)
        key = sight.sent[taker].required_announcement().seal_key
        blob, content = wander.seal_update((plan, progress), entry.secret, key, entry.update)
        return Send(
            method="give",
            arguments={
                **_address(plan, progress),
                "blob": digest(Domain.BLOB, blob),
                "model": content,
                "size": len(entry.update),
                "rho": entry.rho,
            },
            blob=blob,
        )

    def _take(self, sight: Sight) -> Action:
        plan, progress = sight.plan, sight.progress
        if self._account in progress.taken:
            return Wait(f"other members take models until height {progress.deadline}")
        entry = self._entry(plan, progress, create=False)
        if self._account not in progress.announced or entry is None:
            return Wait("nothing was given to this plant")
        giver = wander.giver_to(plan, progress, sight.sent, self._account)
        if giver not in progress.given or sight.given is None:
            return Wait(f"{giver.hex()[:16]} gave no model; this plant goes on with its own")
        key = sight.sent[giver].required_announcement().seal_key
        try:
            content = wander.open_update((plan, progress), entry.secret, key, sight.given)
        except InvalidInput as error:
            return Wait(f"the model of {giver.hex()[:16]} is not usable: {error.message}")
        # On disk before it is acknowledged: the next round starts from it, in every later process.
        self._journal.save(msgspec.structs.replace(entry, received=content))
        return Send(method="take", arguments=_address(plan, progress))

    def _trained(self, sight: Sight) -> Entry | None:
        """The entry with its update: trained now, or carried over from an earlier attempt."""
        plan, progress = sight.plan, sight.progress
        entry = self._entry(plan, progress, create=plan.mode == "plain")
        if entry is None or entry.update:
            return entry
        for earlier in range(1, progress.attempt):
            before = self._journal.load(plan.run, progress.number, earlier)
            if before is not None and before.update:
                # The same noisy update again costs no further privacy.
                kept = msgspec.structs.replace(
                    entry, update=before.update, rho=before.rho, norm=before.norm
                )
                self._journal.save(kept)
                return kept
        if state_digest(sight.base) != progress.base:
            raise InvalidInput(Code.DIGEST_MISMATCH, "the base state is not the round's")
        held = wander.held(self._journal, plan, progress.number)
        moved = np.zeros(plan.elements, np.float32) if held is None else _floats(held, plan)
        own = np.zeros(0, np.int64)
        if plan.strategy.name == "scaffold":
            own = self._variate.before(
                progress.number, plan.parameters, has_counted=sight.has_counted
            )
        with _own_fault():
            trained = self._train_from(sight, moved, own)
        if trained.update.shape != (plan.elements,):
            raise Misuse(
                Code.BAD_ARGUMENTS,
                f"training gave {trained.update.shape}, the run wants ({plan.elements},)",
            )
        if plan.rho_budget and trained.rho < 1:
            raise Misuse(
                Code.BAD_ARGUMENTS,
                "the run has a privacy budget and training gave an update without noise",
                hint="add noise (`models.federated.privacy`) and give its cost as `Trained.rho`",
            )
        with _own_fault():
            units = encode_update(moved + trained.update, plan.encoding)
        norm = isqrt(squared_norm(units))
        if norm >= sight.bound:
            short = msgspec.structs.replace(plan.encoding, norm_limit=sight.bound)
            units = encode_update(moved + trained.update, short)
        if own.size:
            # On disk before the update is: what is sent of the variate is what it changes by.
            self._variate.save(progress.number, own, own + units[plan.parameters :])
        kept = msgspec.structs.replace(
            entry,
            update=units.astype("<i4", copy=False).tobytes(),
            rho=trained.rho,
            norm=norm,
        )
        self._journal.save(kept)
        return kept

    def _train_from(self, sight: Sight, moved: Floats, own: Sums) -> Trained:
        """Let the plant train; `own` is its control variate, in units, empty without SCAFFOLD."""
        encoding, number = sight.plan.encoding, sight.progress.number
        fine_bits = encoding.scale_bits + robust.FINE_BITS
        base = model_from_fine(sight.base.model, fine_bits)
        if not own.size:
            return cast("Train", self._train)(base + moved, number)
        variates = (model_from_fine(sight.base.control, fine_bits), _floats(own, sight.plan))
        return train_controlled(cast("ControlledTrain", self._train), base, number, variates)

    def _entry(self, plan: Plan, progress: Progress, *, create: bool) -> Entry | None:
        found = self._journal.load(plan.run, progress.number, progress.attempt)
        if found is None and create:
            self._journal.forget(progress.number - 2)
            secret = secrets.token_bytes(SECRET_BYTES)
            found = Entry(plan.run, progress.number, progress.attempt, secret, b"", 0, ())
            self._journal.save(found)
        return found

    def _member(self, sight: Sight) -> Member | None:
        entry = self._entry(sight.plan, sight.progress, create=False)
        if entry is None:
            return None
        attempt = sight.plan.attempt(sight.progress, sight.plan.group_of(self._account))
        return Member(entry.secret, attempt, self._account)


@contextmanager
def _own_fault() -> Iterator[None]:
    """What training refuses or gives is this plant's fault: looking again does not mend it."""
    try:
        yield
    except InvalidInput as error:
        raise Misuse(error.code, error.message, hint=error.hint) from error


def _floats(units: Units | Sums, plan: Plan) -> Floats:
    return decode_units(units, plan.encoding.scale_bits).astype(np.float32)


def _announcements(sight: Sight, member: Member) -> tuple[Announcement, ...]:
    return tuple(sight.sent[account].required_announcement() for account in member.attempt.members)


def _places(member: Member, accounts: tuple[bytes, ...]) -> tuple[int, ...]:
    return tuple(
        index for index, account in enumerate(member.attempt.members) if account in accounts
    )


def _address(plan: Plan, progress: Progress) -> dict[str, Value]:
    return {"run": plan.run, "number": progress.number, "attempt": progress.attempt}

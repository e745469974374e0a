"""What every validator recomputes when a round's shares are in: aggregate, next model, flags.

Input is what the ledger and the blob store hold; output is the same bytes on every validator, and
is what they attest to contract `training`. The contract's open values are parsed at this border.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from andon.core.errors import Code, InvalidInput
from andon.core.hashing import Domain, digest
from models.federated import robust, strategies
from models.federated.plan import Plan, Progress, Sent
from models.federated.ring import (
    Sums,
    Words,
    centred,
    check_units,
    squared_norm,
    words_from_bytes,
)
from models.federated.secagg import Evidence, unmask
from models.federated.shapley import GROUPS_MAX, shapley_values

Scorer = Callable[[Sums], int]
"""An integer score of a model on the run's public validation set; higher is better."""
NO_SCORE = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a validator attests: the next server state and what was seen on the way.

    `flagged` are accounts whose rows looked unusual: never a verdict, they count. The updates of
    `left_out` could not be used. `contributions` are in member order, empty if the run does not
    ask for them. `accused` of those left out dealt shares of a secret that
    is not the announced one, which only its dealer can have done.
    """

    state: strategies.ServerState
    state_digest: bytes
    score: int
    flagged: tuple[bytes, ...]
    left_out: tuple[bytes, ...]
    contributions: tuple[int, ...]
    accused: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What ledger and blob store hold of a frozen round: `sent` by account, `blobs` by digest.

    `bound` is the longest update of the round in units (`plan.bound_after`).
    """

    plan: Plan
    progress: Progress
    sent: dict[bytes, Sent]
    blobs: dict[bytes, bytes]
    bound: int

    def words(self, account: bytes) -> Words:
        """The vector an account committed to.

        Raises:
            InvalidInput: DIGEST_MISMATCH or MALFORMED.
        """
        committed = self.sent[account].blob
        blob = self.blobs.get(committed)
        if blob is None or digest(Domain.BLOB, blob) != committed:
            raise InvalidInput(
                Code.DIGEST_MISMATCH,
                f"the update of {account.hex()[:16]} is not what it committed",
            )
        return words_from_bytes(blob, self.plan.elements)


@dataclass(frozen=True, slots=True)
class _Rows:
    """One row for each plant (plain) or group, with the accounts behind it and their weight."""

    values: Sums
    accounts: tuple[tuple[bytes, ...], ...]
    weights: tuple[int, ...]

    def mean(self, chosen: tuple[int, ...]) -> Sums:
        """The mean of some rows by their weights: all products stay below 2^39, as a sum does."""
        total = np.zeros(self.values.shape[1], np.int64)
        for index in chosen:
            total += self.values[index] * self.weights[index]
        return np.asarray(total // sum(self.weights[index] for index in chosen))


def recompute(
    material: Material, base: strategies.ServerState, scorer: Scorer | None = None
) -> Result:
    """Aggregate a frozen round and take the server step.

    A group whose shares or blobs do not fit is left out. So are its members, or the dealer
    alone if wrong shares are its doing, or only its shares are missing: the others did what
    they should. If no row is left, or the root's is missing, the state stays as it is: all
    validators see that, and go on.

    Raises:
        InvalidInput: DIGEST_MISMATCH when `base` is not the round's base.
    """
    plan = material.plan
    if strategies.state_digest(base) != material.progress.base:
        raise InvalidInput(Code.DIGEST_MISMATCH, "this is not the state the round starts from")
    left_out: list[bytes] = []
    accused: list[bytes] = []
    collect = _plain_rows if plan.mode == "plain" else _group_rows
    everything = collect(material, left_out, accused)
    rows = _without(everything, plan.root)
    root = _root_row(plan, everything)
    state, flagged, contributions = base, set[bytes](), tuple[int, ...]()
    if rows.accounts and (root is not None) == (plan.root is not None):
        # A row that is left out already need not be outvoted.
        gone = len(set(left_out) - {plan.root})
        if plan.mode == "grouped":
            gone = len(plan.groups()) - len(rows.accounts)
        rule = replace(plan.rule, tolerated=max(0, plan.rule.tolerated - gone))
        if rule.name == "mean":
            update = rows.mean(tuple(range(len(rows.accounts))))
        else:
            update = robust.apply_rule(rule, rows.values, root=root)
        state = strategies.server_step(
            plan.strategy, base, update, took_part=sum(rows.weights), members=plan.weight_of_all
        )
        unusual = robust.outliers(rows.values, update)
        flagged = {account for index in unusual for account in rows.accounts[index]}
        contributions = _contributions(plan, rows, base, scorer)
    return Result(
        state=state,
        state_digest=strategies.state_digest(state),
        score=scorer(state.model) if scorer else NO_SCORE,
        flagged=tuple(sorted(flagged)),
        left_out=tuple(sorted({*left_out, *accused})),
        contributions=contributions,
        accused=tuple(accused),
    )


def scorings(plan: Plan) -> int:
    """How often a model is scored in a round at most."""
    count = {"plain": len(plan.members), "grouped": len(plan.groups()), "full": 1}[plan.mode]
    # The state that the round starts from and the one that it leads to.
    return 2 + (1 << min(count, GROUPS_MAX) if plan.with_contributions else 0)


def collect_evidence(material: Material, group: int) -> Evidence:
    """Collect what `unmask` needs for one group.

    Raises:
        InvalidInput: MALFORMED or DIGEST_MISMATCH when a blob or a record is missing or wrong.
    """
    progress, sent = material.progress, material.sent
    attempt = material.plan.attempt(progress, group)
    members = attempt.members
    dealings = {
        index: found
        for index, account in enumerate(members)
        if account in progress.dealt and (found := sent[account].dealing) is not None
    }
    return Evidence(
        attempt=attempt,
        announcements=tuple(sent[account].required_announcement() for account in members),
        dealings=dealings,
        masked={
            index: material.words(account)
            for index, account in enumerate(members)
            if account in progress.frozen
        },
        reveals={index: sent[account].reveal for index, account in enumerate(members)},
    )


def _plain_rows(material: Material, left_out: list[bytes], accused: list[bytes]) -> _Rows:
    del accused
    values: list[Sums] = []
    accounts: list[tuple[bytes, ...]] = []
    for account in material.progress.frozen:
        try:
            units = centred(material.words(account))
            check_units(units, material.plan.encoding)
            _check_sum(units, material, 1)
        except InvalidInput:
            left_out.append(account)
            continue
        values.append(units << robust.FINE_BITS)
        accounts.append((account,))
    return _rows(material.plan, values, accounts)


def _group_rows(material: Material, left_out: list[bytes], accused: list[bytes]) -> _Rows:
    plan, progress = material.plan, material.progress
    values: list[Sums] = []
    accounts: list[tuple[bytes, ...]] = []
    for group in plan.groups():
        survivors = plan.group_members(group, progress.frozen)
        if not survivors:
            continue
        weight = sum(plan.weight(account) for account in survivors)
        short: list[bytes] = []
        try:
            evidence = collect_evidence(material, group)
            short = _short_dealers(evidence)
            total = unmask(evidence)
            _check_sum(total, material, weight)
        except InvalidInput as error:
            dealer = error.fields.get("dealer")
            if short:
                left_out.extend(short)
            elif isinstance(dealer, int):
                accused.append(plan.attempt(progress, group).members[dealer])
            else:
                left_out.extend(survivors)
            continue
        values.append(robust.fine_mean(total, weight))
        accounts.append(survivors)
    return _rows(plan, values, accounts)


def _short_dealers(evidence: Evidence) -> list[bytes]:
    """Dealers of whose shares too few were revealed, while of others' enough were.

    What a dealer seals is nothing that others can check, so this is no proof: holders who keep back
    the shares of one dealer, more than the sum may lack, look the same.
    """
    counts = dict.fromkeys(sorted(evidence.dealings), 0)
    for revealed in evidence.reveals.values():
        for dealer in {share.dealer for share in revealed if share.dealer in counts}:
            counts[dealer] += 1
    short = [dealer for dealer, count in counts.items() if count < evidence.attempt.threshold]
    return (
        [evidence.attempt.members[dealer] for dealer in short] if len(short) < len(counts) else []
    )


def _check_sum(total: Sums, material: Material, weight: int) -> None:
    # Never beyond if each part is within the bounds: honest members cannot fail it.
    if int(np.abs(total).max()) > weight * material.plan.encoding.limit:
        raise InvalidInput(
            Code.BAD_ARGUMENTS, f"a sum of weight {weight} has an element beyond the run's limit"
        )
    if squared_norm(total) > (weight * material.bound) ** 2:
        raise InvalidInput(
            Code.BAD_ARGUMENTS, f"a sum of weight {weight} is beyond the run's norm bound"
        )


def _rows(plan: Plan, values: list[Sums], accounts: list[tuple[bytes, ...]]) -> _Rows:
    empty = np.zeros((0, plan.elements), np.int64)
    weights = tuple(sum(plan.weight(name) for name in names) for names in accounts)
    return _Rows(np.stack(values) if values else empty, tuple(accounts), weights)


def _root_row(plan: Plan, rows: _Rows) -> Sums | None:
    for index, accounts in enumerate(rows.accounts):
        if plan.root is not None and accounts == (plan.root,):
            return np.asarray(rows.values[index])
    return None


def _without(rows: _Rows, account: bytes | None) -> _Rows:
    kept = [index for index, names in enumerate(rows.accounts) if names != (account,)]
    return _Rows(
        rows.values[kept],
        tuple(rows.accounts[index] for index in kept),
        tuple(rows.weights[index] for index in kept),
    )


def _contributions(
    plan: Plan, rows: _Rows, base: strategies.ServerState, scorer: Scorer | None
) -> tuple[int, ...]:
    count = len(rows.accounts)
    if not plan.with_contributions or scorer is None or not 1 <= count <= GROUPS_MAX:
        return ()
    parameters = len(base.model)

    def score(coalition: tuple[int, ...]) -> int:
        if not coalition:
            return scorer(base.model)
        return scorer(base.model + rows.mean(coalition)[:parameters])

    values = shapley_values(count, score)
    share = {
        account: value // len(accounts)
        for accounts, value in zip(rows.accounts, values, strict=True)
        for account in accounts
    }
    return tuple(share.get(account, 0) for account in plan.accounts())

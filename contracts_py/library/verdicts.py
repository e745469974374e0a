"""Verdicts of validators on federated rounds: which updates they hold, and what the aggregate is.

An update counts once more than two thirds of the weight hold it, so that more than one third is
honest and serves it to the others. It was falsely committed as available if as many could not get
it: a third of the validators can neither blame a plant nor leave it out. Who holds an update serves
it; `conduct.accuse` takes up one that does not, and what it holds then has no weight.
"""
import conduct
import identity
import training

keepers = Map(key=tuple, value=list)
doubters = Map(key=tuple, value=list)
voters = Map(key=tuple, value=list)
voted = Map(key=tuple, value=bytes)
Flagged = Event(run=str, number=int, account=bytes, indexed=("run", "account"))
LeftOut = Event(run=str, number=int, account=bytes, indexed=("run", "account"))

LISTED_MAX = 512


@export
def hold(run: str, number: int, attempt: int, held: list, missing: list):
    """A validator keeps the updates of `held` as committed, and could not get those of `missing`.

    It may say so again when it got more; what it holds it does not take back. The phase ends when
    every update is held, else at its deadline.
    """
    assert is_validator(ctx.sender), "only a validator holds updates"
    current = training.round_at(run=run, number=number)
    assert current["phase"] == "HOLD" and current["attempt"] == attempt, "updates are not collected now"
    assert ctx.height <= current["deadline"], "the deadline has passed"
    for account in held + missing:
        assert account in current["committed"], "this account committed to no update"
        place = (run, number, attempt, account)
        kept, doubted = keepers.get(place, []), doubters.get(place, [])
        if account in held and ctx.sender not in kept:
            keepers[place] = kept + [ctx.sender]
            doubters[place] = [key for key in doubted if key != ctx.sender]
        elif account not in held:
            assert ctx.sender not in kept, "this validator holds the update"
            doubters[place] = [key for key in doubted if key != ctx.sender] + [ctx.sender]
    found = weigh(run, number, attempt, current["committed"])
    # What some miss is waited for until the deadline: its plant sees that and gives it to more nodes.
    if len(found["held"]) == len(current["committed"]):
        training.held(run=run, number=number)


@view
def counted(run: str, number: int, attempt: int, accounts: list) -> dict:
    """Of `accounts` those whose updates more than two thirds of the weight hold, and those they miss."""
    return weigh(run, number, attempt, accounts)


def weigh(run, number, attempt, accounts):
    """Weights are those at the count; a keeper that was found not to serve has none."""
    spoke = []
    for account in accounts:
        place = (run, number, attempt, account)
        spoke = spoke + [key for key in keepers.get(place, []) + doubters.get(place, []) if key not in spoke]
    weights = {}
    for row in identity.weights_of(accounts=conduct.standing(accounts=spoke)):
        weights[row[0]] = row[1]
    total = identity.total_weight()
    found = {"held": [], "missing": []}
    for account in accounts:
        place = (run, number, attempt, account)
        for field, rows in (("held", keepers.get(place, [])), ("missing", doubters.get(place, []))):
            if sum([weights.get(key, 0) for key in rows]) * 3 > total * 2:
                found[field] = found[field] + [account]
    return found


@view
def is_keeper(run: str, number: int, account: bytes) -> bool:
    """Whether a validator said that it holds an update that counts in the round."""
    current = training.round_at(run=run, number=number)
    return any([account in keepers.get((run, number, current["attempt"], name), []) for name in current["frozen"]])


@view
def tally(listed: list, account: bytes) -> dict:
    """`listed` with the account, without those that have lost their weight, and whether two thirds are exceeded."""
    rows = identity.weights_of(accounts=listed if account in listed else listed + [account])
    is_agreed = sum([row[1] for row in rows]) * 3 > identity.total_weight() * 2
    return {"listed": [row[0] for row in rows], "is_agreed": is_agreed}


@export
def attest(run: str, number: int, attempt: int, state: bytes, blob: bytes, score: int, flags: list, left_out: list, contributions: list):
    """A validator's result of recomputing the round; more than two thirds of the weight close it.

    `flags` are accounts whose updates look unusual and count all the same; those of `left_out` could not be used.

    The weights at the count decide, so a validator may repeat itself after they changed.
    """
    assert is_validator(ctx.sender), "only a validator attests"
    current = training.round_at(run=run, number=number)
    assert current["phase"] == "AGGREGATE" and current["attempt"] == attempt, "the round is not at its aggregate"
    assert len(state) == 32 and len(blob) == 32, "digests have 32 bytes"
    assert len(flags) + len(left_out) + len(contributions) <= LISTED_MAX, "at most 512 flags and contributions"
    for account in flags + left_out:
        assert len(account) == 32, "an account has 32 bytes"
    # With the counts: else an amount could be read as an account, and the other way round.
    words = [str(score), str(len(flags)), str(len(left_out)), str(len(contributions))] + [hex(account) for account in flags + left_out]
    words = words + [str(amount) for amount in contributions]
    result = hash256(state + blob + ",".join(words).encode())
    place = (run, number, attempt, ctx.sender)
    assert voted.get(place, result) == result, "this validator has attested something else"
    voted[place] = result
    key = (run, number, attempt, result)
    found = tally(voters.get(key, []), ctx.sender)
    voters[key] = found["listed"]
    if found["is_agreed"]:
        for account in flags:
            Flagged(run=run, number=number, account=account)
        for account in left_out:
            LeftOut(run=run, number=number, account=account)
        training.close(
            run=run, number=number, state=state, blob=blob, score=score, flags=flags, left_out=left_out, contributions=contributions
        )

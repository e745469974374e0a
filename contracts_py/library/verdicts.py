"""Verdicts of validators on federated rounds: each recomputes the aggregate; more than two thirds close it."""
import identity
import training

voters = Map(key=tuple, value=list)
voted = Map(key=tuple, value=bytes)
Flagged = Event(run=str, number=int, account=bytes, indexed=("run", "account"))

LISTED_MAX = 512


@export
def attest(run: str, number: int, attempt: int, state: bytes, blob: bytes, score: int, flags: list, contributions: list):
    """A validator's result of recomputing the round; more than two thirds of the weight close it.

    The weights at the count decide, so a validator may repeat itself after they changed.
    """
    assert is_validator(ctx.sender), "only a validator attests"
    current = training.round_at(run=run, number=number)
    assert current["phase"] == "AGGREGATE" and current["attempt"] == attempt, "the round is not at its aggregate"
    assert len(state) == 32 and len(blob) == 32, "digests have 32 bytes"
    assert len(flags) + len(contributions) <= LISTED_MAX, "at most 512 flags and contributions"
    for account in flags:
        assert len(account) == 32, "an account has 32 bytes"
    # With the counts: else an amount could be read as an account, and the other way round.
    words = [str(score), str(len(flags)), str(len(contributions))] + [hex(account) for account in flags]
    words = words + [str(amount) for amount in contributions]
    result = hash256(state + blob + ",".join(words).encode())
    place = (run, number, attempt, ctx.sender)
    assert voted.get(place, result) == result, "this validator has attested something else"
    voted[place] = result
    key = (run, number, attempt, result)
    listed = voters.get(key, [])
    if ctx.sender not in listed:
        listed.append(ctx.sender)
    rows = identity.weights_of(accounts=listed)
    voters[key] = [row[0] for row in rows]
    if sum([row[1] for row in rows]) * 3 > identity.total_weight() * 2:
        for account in flags:
            Flagged(run=run, number=number, account=account)
        training.close(run=run, number=number, state=state, blob=blob, score=score, flags=flags, contributions=contributions)

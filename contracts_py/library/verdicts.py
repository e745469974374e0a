"""Verdicts of validators on federated rounds: each recomputes the aggregate; more than two thirds close it."""
import identity
import training

tally = Map(key=tuple, value=int, default=0)
voted = Map(key=tuple, value=bool, default=False)
Flagged = Event(run=str, number=int, account=bytes, indexed=("run", "account"))

LISTED_MAX = 512


@export
def attest(run: str, number: int, attempt: int, state: bytes, blob: bytes, score: int, flags: list, contributions: list):
    """A validator's result of recomputing the round; more than two thirds of the weight close it."""
    assert is_validator(ctx.sender), "only a validator attests"
    current = training.round_at(run=run, number=number)
    assert current["phase"] == "AGGREGATE" and current["attempt"] == attempt, "the round is not at its aggregate"
    assert not voted[(run, number, attempt, ctx.sender)], "this validator has attested already"
    voted[(run, number, attempt, ctx.sender)] = True
    assert len(state) == 32 and len(blob) == 32, "digests have 32 bytes"
    assert len(flags) + len(contributions) <= LISTED_MAX, "at most 512 flags and contributions"
    for account in flags:
        assert len(account) == 32, "an account has 32 bytes"
    # With the counts: else an amount could be read as an account, and the other way round.
    words = [str(score), str(len(flags)), str(len(contributions))] + [hex(account) for account in flags]
    words = words + [str(amount) for amount in contributions]
    key = (run, number, attempt, hash256(state + blob + ",".join(words).encode()))
    tally[key] = tally[key] + identity.weight_of(account=ctx.sender)
    if tally[key] * 3 > identity.total_weight() * 2:
        for account in flags:
            Flagged(run=run, number=number, account=account)
        training.close(run=run, number=number, state=state, blob=blob, score=score, flags=flags, contributions=contributions)

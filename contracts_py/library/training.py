"""Federated rounds: who took part, what they committed, the aggregate that validators agree on.

A round goes KEYS, DEAL, COMMIT, REVEAL, AGGREGATE, CLOSED (COMMIT, AGGREGATE, CLOSED when updates
are plain), by deadlines in heights. Entering REVEAL freezes the survivors. An attempt that fails
before that is repeated with fresh keys. One that fails later is not: with another set of survivors
the difference of two sums would show single updates; the next round starts with fresh training.
"""
import identity

runs = Map(key=str, value=dict)
rounds = Map(key=tuple, value=dict)
keys = Map(key=tuple, value=dict)
dealings = Map(key=tuple, value=dict)
commits = Map(key=tuple, value=dict)
reveals = Map(key=tuple, value=list)
tally = Map(key=tuple, value=int, default=0)
voted = Map(key=tuple, value=bool, default=False)
charged = Map(key=tuple, value=int, default=0)
spent = Map(key=tuple, value=int, default=0)
suspended = Map(key=bytes, value=str)
earned = Map(key=tuple, value=int, default=0)
Opened = Event(run=str, number=int, attempt=int, phase=str, deadline=int, indexed=("run",))
Frozen = Event(run=str, number=int, attempt=int, survivors=int, indexed=("run",))
Closed = Event(run=str, number=int, state=bytes, score=int, kept=bool, indexed=("run",))
Flagged = Event(run=str, number=int, account=bytes, indexed=("run", "account"))
Suspended = Event(run=str, account=bytes, reason=str, indexed=("run", "account"))
Stopped = Event(run=str, reason=str, indexed=("run",))

HEADROOM = 2147483648
MEMBERS_MAX = 256
FAILURES_MAX = 3
MASKED = ("KEYS", "DEAL", "COMMIT", "REVEAL", "AGGREGATE")


@export(role="modeler")
def create(run: str, members: list, mode: str, elements: int, encoding: list, recipe: dict, state: bytes, blob: bytes, patience: int, rounds_max: int, rho_budget: int, tolerance: int):
    """Members are [account, group, weight]; encoding is [scale_bits, limit, norm_limit, weight_max]."""
    assert run not in runs and 0 < len(run) and len(run) <= 64, "a new name of 1 to 64 characters"
    assert mode == "plain" or mode == "grouped" or mode == "full", "mode is plain, grouped or full"
    assert 3 <= len(members) and len(members) <= MEMBERS_MAX, "3 to 256 members"
    assert 0 < patience and 0 < rounds_max and 0 < elements, "patience, rounds and elements are positive"
    assert len(state) == 32 and len(blob) == 32, "digests have 32 bytes"
    assert 0 <= encoding[0] and encoding[0] <= 30 and min(encoding[1:]) > 0, "the encoding is out of range"
    assert len(members) * encoding[3] * encoding[1] < HEADROOM, "members * weight * limit must stay below 2^31"
    sizes = {}
    for row in members:
        assert len(row[0]) == 32 and organisation_of(row[0]) != "", "a member belongs to an organisation"
        assert 0 < row[2] and row[2] <= encoding[3], "a weight is out of range"
        assert mode == "grouped" or row[1] == 0, "only grouped mode has groups"
        sizes[row[1]] = sizes.get(row[1], 0) + 1
    names = [row[0] for row in members]
    assert names == sorted(names), "members are in ascending order"
    for index in range(1, len(names)):
        assert names[index] != names[index - 1], "a member stands twice"
    for group in sizes:
        assert sizes[group] >= 3, "a group has at least three members"
    runs[run] = {
        "owner": ctx.sender, "members": members, "mode": mode, "elements": elements, "encoding": encoding,
        "recipe": recipe, "state": state, "blob": blob, "score": None, "patience": patience, "rounds_max": rounds_max,
        "rho_budget": rho_budget, "tolerance": tolerance, "round": 0, "status": "RUNNING", "groups": len(sizes), "failures": 0,
    }
    open_round(run, runs[run], 1, 1)


@export
def announce(run: str, number: int, attempt: int, mask_key: bytes, seal_key: bytes, seed_digest: bytes):
    current = entered(run, number, attempt, "KEYS", "announced")
    assert len(mask_key) == 32 and len(seal_key) == 32 and len(seed_digest) == 32, "keys have 32 bytes"
    keys[(run, number, attempt, ctx.sender)] = {"mask_key": mask_key, "seal_key": seal_key, "seed_digest": seed_digest}
    noted(run, number, current, "announced")


@export
def deal(run: str, number: int, attempt: int, sealed: list, seed_commitments: list, key_commitments: list):
    current = entered(run, number, attempt, "DEAL", "dealt")
    count = len(peers(runs[run], current["announced"], ctx.sender))
    assert ctx.sender in current["announced"], "this member announced no keys"
    assert len(sealed) == count and len(seed_commitments) == count and len(key_commitments) == count, "one share for each member of the group"
    dealings[(run, number, attempt, ctx.sender)] = {"sealed": sealed, "seed": seed_commitments, "key": key_commitments}
    noted(run, number, current, "dealt")


@export
def commit(run: str, number: int, attempt: int, blob: bytes, size: int, rho: int):
    """Commit to an update (masked unless the mode is plain) and to the privacy it costs, in micro-rho."""
    current = entered(run, number, attempt, "COMMIT", "committed")
    plan = runs[run]
    assert plan["mode"] == "plain" or ctx.sender in current["dealt"], "this member dealt no shares"
    assert len(blob) == 32 and size == 4 * plan["elements"], "an update has four bytes an element"
    assert rho >= 0, "privacy is not earned back"
    # A repeated attempt sends the same noisy update: only what it costs more is charged.
    cost = max(0, rho - charged[(run, number, ctx.sender)])
    assert plan["rho_budget"] == 0 or spent[(run, ctx.sender)] + cost <= plan["rho_budget"], "the privacy budget is spent"
    spent[(run, ctx.sender)] = spent[(run, ctx.sender)] + cost
    charged[(run, number, ctx.sender)] = charged[(run, number, ctx.sender)] + cost
    commits[(run, number, attempt, ctx.sender)] = {"blob": blob, "size": size, "rho": rho}
    noted(run, number, current, "committed")


@export
def reveal(run: str, number: int, attempt: int, shares: list):
    """Shares are [dealer, kind, share, salt]: kind 0 of a survivor's seed, 1 of a dropped member's key."""
    current = entered(run, number, attempt, "REVEAL", "revealed")
    group = peers(runs[run], current["announced"], ctx.sender)
    assert ctx.sender in group, "this member announced no keys"
    holder = place(group, ctx.sender)
    assert len(shares) <= len(group), "at most one share of each member"
    for row in shares:
        dealer = group[row[0]]
        assert row[1] == (0 if dealer in current["frozen"] else 1), "a share of the wrong kind: never both of one member"
        dealt = dealings[(run, number, attempt, dealer)]
        committed = dealt["seed"][holder] if row[1] == 0 else dealt["key"][holder]
        if hash256(b"fl-share:" + row[2] + row[3]) != committed:
            suspend(run, ctx.sender, "wrong share")
            return
    reveals[(run, number, attempt, ctx.sender)] = shares
    noted(run, number, current, "revealed")


@export
def attest(run: str, number: int, attempt: int, state: bytes, blob: bytes, score: int, flags: list, contributions: list):
    """A validator's result of recomputing the round; more than two thirds of the weight close it."""
    current = rounds[(run, number)]
    assert is_validator(ctx.sender), "only a validator attests"
    assert current["phase"] == "AGGREGATE" and current["attempt"] == attempt, "the round is not at its aggregate"
    assert not voted[("attest", run, number, attempt, ctx.sender)], "this validator has attested already"
    voted[("attest", run, number, attempt, ctx.sender)] = True
    assert len(state) == 32 and len(blob) == 32 and len(flags) + len(contributions) <= 2 * MEMBERS_MAX, "digests have 32 bytes"
    for account in flags:
        assert len(account) == 32, "an account has 32 bytes"
    # With the counts: else an amount could be read as an account, and the other way round.
    words = [str(score), str(len(flags)), str(len(contributions))] + [hex(account) for account in flags] + [str(amount) for amount in contributions]
    key = ("attest", run, number, attempt, hash256(state + blob + ",".join(words).encode()))
    tally[key] = tally[key] + identity.weight_of(account=ctx.sender)
    if tally[key] * 3 > identity.total_weight() * 2:
        close(run, number, current, state, blob, score, flags, contributions)


@export
def accuse(run: str, account: bytes, reason: str):
    """Validators agree that a member provably broke the protocol, for example dealt wrong secrets."""
    assert is_validator(ctx.sender), "only a validator accuses"
    assert not voted[("accuse", run, account, ctx.sender)] and len(reason) <= 64, "one short accusation a validator"
    voted[("accuse", run, account, ctx.sender)] = True
    tally[("accuse", run, account)] = tally[("accuse", run, account)] + identity.weight_of(account=ctx.sender)
    if tally[("accuse", run, account)] * 3 > identity.total_weight() * 2:
        suspend(run, account, reason)


@export(role="admin")
def reinstate(account: bytes):
    suspended.remove(account)


@export
def advance(run: str):
    """Move on when the deadline has passed; anybody may call it."""
    plan = runs[run]
    current = rounds[(run, plan["round"])]
    assert plan["status"] == "RUNNING", "the run has ended"
    assert ctx.height > current["deadline"], "the deadline has not passed"
    move_on(run, plan["round"], current)


@export(role="modeler")
def stop(run: str):
    assert runs[run]["owner"] == ctx.sender, "only the owner stops a run"
    finish(run, "stopped by its owner")


def entered(run, number, attempt, phase, field):
    current = rounds[(run, number)]
    assert runs[run]["status"] == "RUNNING" and current["phase"] == phase and current["attempt"] == attempt, "the round is not in this phase"
    assert ctx.height <= current["deadline"], "the deadline has passed"
    assert ctx.sender not in suspended, "this account is suspended"
    assert ctx.sender in [row[0] for row in runs[run]["members"]], "not a member of the run"
    assert ctx.sender not in current[field], "sent already"
    return current


def noted(run, number, current, field):
    names = current[field]
    names.append(ctx.sender)
    current[field] = sorted(names)
    rounds[(run, number)] = current
    awaited = {"announced": len(active(run)), "dealt": len(current["announced"]), "committed": len(current["dealt"]), "revealed": len(current["announced"])}
    if runs[run]["mode"] == "plain":
        awaited["committed"] = len(active(run))
    if len(names) >= awaited[field]:
        move_on(run, number, current)


def move_on(run, number, current):
    plan = runs[run]
    phase = current["phase"]
    if phase == "AGGREGATE":
        again(run, plan, number, current, "no quorum for an aggregate")
        return
    if plan["mode"] == "plain":
        current["frozen"] = current["committed"]
        if len(current["frozen"]) < 3:
            again(run, plan, number, current, "too few updates")
            return
        enter(run, plan, number, current, "AGGREGATE")
        return
    field = {"KEYS": "announced", "DEAL": "dealt", "COMMIT": "committed", "REVEAL": "revealed"}[phase]
    kept = enough(plan, current["announced"], current[field])
    if len(kept) * 2 <= plan["groups"]:
        again(run, plan, number, current, "too few members in " + phase)
        return
    if phase != "REVEAL":
        current[field] = [row[0] for row in plan["members"] if row[1] in kept and row[0] in current[field]]
    if phase == "COMMIT":
        current["frozen"] = current["committed"]
        Frozen(run=run, number=number, attempt=current["attempt"], survivors=len(current["frozen"]))
    enter(run, plan, number, current, MASKED[{"KEYS": 1, "DEAL": 2, "COMMIT": 3, "REVEAL": 4}[phase]])


def enough(plan, announced, present):
    """Groups in which three, and more than two thirds of those that announced keys, are present."""
    base = {}
    here = {}
    for row in plan["members"]:
        base[row[1]] = base.get(row[1], 0) + (1 if row[0] in announced else 0)
        here[row[1]] = here.get(row[1], 0) + (1 if row[0] in present else 0)
    return [group for group in base if here[group] >= 3 and here[group] >= 2 * base[group] // 3 + 1]


def enter(run, plan, number, current, phase):
    current["phase"] = phase
    current["deadline"] = ctx.height + plan["patience"] * (4 if phase == "AGGREGATE" else 1)
    current["height"] = ctx.height
    rounds[(run, number)] = current
    Opened(run=run, number=number, attempt=current["attempt"], phase=phase, deadline=current["deadline"])


def open_round(run, plan, number, attempt):
    plan["round"] = number
    runs[run] = plan
    fresh = {"attempt": attempt, "base": plan["state"], "blob": plan["blob"], "announced": [], "dealt": [], "committed": [], "frozen": [], "revealed": []}
    enter(run, plan, number, fresh, "COMMIT" if plan["mode"] == "plain" else "KEYS")


def again(run, plan, number, current, reason):
    plan["failures"] += 1
    is_revealed = current["phase"] == "REVEAL" or current["phase"] == "AGGREGATE"
    current["phase"] = "ABORTED"
    current["reason"] = reason
    rounds[(run, number)] = current
    if plan["failures"] >= FAILURES_MAX or len(active(run)) < 3 or (is_revealed and number >= plan["rounds_max"]):
        runs[run] = plan
        finish(run, reason)
    elif is_revealed:
        open_round(run, plan, number + 1, 1)
    else:
        open_round(run, plan, number, current["attempt"] + 1)


def close(run, number, current, state, blob, score, flags, contributions):
    plan = runs[run]
    plan["failures"] = 0
    kept = plan["score"] is None or score >= plan["score"] - plan["tolerance"]
    if kept:
        plan["state"] = state
        plan["blob"] = blob
        plan["score"] = score
    current["phase"] = "CLOSED"
    current["result"] = {"state": state, "blob": blob, "score": score, "kept": kept, "flags": flags, "height": ctx.height}
    rounds[(run, number)] = current
    for account in flags:
        Flagged(run=run, number=number, account=account)
    for index in range(min(len(contributions), len(plan["members"]))):
        account = plan["members"][index][0]
        earned[(run, account)] = earned[(run, account)] + contributions[index]
    Closed(run=run, number=number, state=state, score=score, kept=kept)
    if number < plan["rounds_max"]:
        open_round(run, plan, number + 1, 1)
    else:
        runs[run] = plan
        finish(run, "all rounds are done")


def finish(run, reason):
    plan = runs[run]
    plan["status"] = "STOPPED"
    runs[run] = plan
    Stopped(run=run, reason=reason)


def suspend(run, account, reason):
    suspended[account] = reason
    Suspended(run=run, account=account, reason=reason)


def active(run):
    return [row[0] for row in runs[run]["members"] if row[0] not in suspended]


def peers(plan, announced, account):
    """Members of the account's group that announced keys, in order."""
    own = [row[1] for row in plan["members"] if row[0] == account]
    return [row[0] for row in plan["members"] if row[1] == own[0] and row[0] in announced]


def place(names, account):
    for index, name in enumerate(names):
        if name == account:
            return index
    fail("not in this group")


@view
def status(run: str) -> dict:
    plan = runs[run]
    return {"run": plan, "round": rounds[(run, plan["round"])]}


@view
def round_at(run: str, number: int) -> dict:
    return rounds[(run, number)]


@view
def sent(run: str, number: int, attempt: int, account: bytes) -> dict:
    key = (run, number, attempt, account)
    return {"keys": keys.get(key), "dealing": dealings.get(key), "commit": commits.get(key), "reveal": reveals.get(key)}


@view
def privacy(run: str, account: bytes) -> dict:
    return {"spent": spent[(run, account)], "budget": runs[run]["rho_budget"], "earned": earned[(run, account)], "suspended": suspended.get(account)}

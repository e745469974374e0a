"""Conduct of members in federated runs: proved faults and what they cost, privacy spent, units owed.

A fault counts only if it can be attributed: a share that is not the committed one, two different
messages in one place, an update that was committed as available and is not, or what more than two
thirds of the validators saw themselves (a dealing that is not what was committed, a keeper that does
not serve what it holds). It suspends, halves the reliability and forfeits what the run owes.
Statistics only flag and cost nothing: honest plants with unusual data look the same.
"""

suspended = Map(key=bytes, value=str)
reliability = Map(key=bytes, value=int, default=1000)
faults = Map(key=bytes, value=list)
spent = Map(key=tuple, value=int, default=0)
charged = Map(key=tuple, value=int, default=0)
published = Map(key=tuple, value=bytes)
owed = Map(key=tuple, value=int, default=0)
earned = Map(key=tuple, value=int, default=0)
voters = Map(key=tuple, value=list)
voted = Map(key=tuple, value=str)
convicted = Map(key=tuple, value=bool, default=False)
agreed = Map(key=tuple, value=bool)
Agreed = Event(run=str, account=bytes, takes_part=bool, indexed=("run", "account"))
Suspended = Event(run=str, account=bytes, reason=str, forfeited=int, indexed=("run", "account"))
Reinstated = Event(account=bytes, indexed=("account",))
Paid = Event(run=str, account=bytes, amount=int, indexed=("run", "account"))

PROVING = ("updates", "routes", "training")
FAULTS_KEPT = 16
FULL = 1000
GAIN = 10
LOSS = 20


@export
def join(run: str):
    """A member agrees to take part: from now on staying away costs reliability. To take part is to agree."""
    answer(run, True)


@export
def leave(run: str):
    """A member takes no part, or no longer: nobody waits for it, and it loses nothing by staying away."""
    answer(run, False)


@export
def enlist(run: str, account: bytes):
    """`training` has noted a part of the member."""
    assert ctx.caller == "training", "only the standard contract enlists"
    if not agreed.get((run, account), False):
        agree(run, account, True)


def answer(run, takes_part):
    assert ctx.sender in [row[0] for row in call("training", "status", {"run": run})["run"]["members"]], "not a member of the run"
    agree(run, ctx.sender, takes_part)


def agree(run, account, takes_part):
    agreed[(run, account)] = takes_part
    Agreed(run=run, account=account, takes_part=takes_part)


@view
def willing(run: str, accounts: list, is_strict: bool) -> list:
    """Those that are not suspended and have not left; with `is_strict` those that have agreed."""
    return [account for account in accounts if account not in suspended and agreed.get((run, account), not is_strict)]


@export
def fault(run: str, account: bytes, reason: str):
    """A standard contract has proof that the account broke the protocol."""
    assert ctx.caller in PROVING, "only the standard contracts prove a fault"
    if account not in suspended:
        punish(run, account, reason)


@export
def accuse(run: str, number: int, account: bytes, reason: str):
    """Validators agree that a member, or a keeper of its updates, provably broke the protocol in a round.

    The weights at the count decide, so a validator may repeat itself after they changed.
    """
    assert is_validator(ctx.sender), "only a validator accuses"
    plan = call("training", "status", {"run": run})["run"]
    assert 1 <= number and number <= plan["round"], "no such round"
    is_member = account in [row[0] for row in plan["members"]]
    is_keeper = call("verdicts", "is_keeper", {"run": run, "number": number, "account": account})
    assert is_member or is_keeper, "not a member of the run, and no keeper of the round"
    assert len(reason) <= 64, "a reason has at most 64 characters"
    place = (run, number, account, ctx.sender)
    assert voted.get(place, reason) == reason, "this validator has made another accusation"
    voted[place] = reason
    key = (run, number, account, reason)
    found = call("verdicts", "tally", {"listed": voters.get(key, []), "account": ctx.sender})
    voters[key] = found["listed"]
    if found["is_agreed"] and not convicted[(run, number, account)]:
        convicted[(run, number, account)] = True
        punish(run, account, reason)


def punish(run, account, reason):
    forfeited = owed[(run, account)]
    owed[(run, account)] = 0
    reliability[account] = reliability[account] // 2
    rows = faults.get(account, [])
    faults[account] = rows[max(0, len(rows) + 1 - FAULTS_KEPT):] + [[run, reason, ctx.height, forfeited]]
    suspended[account] = reason
    Suspended(run=run, account=account, reason=reason, forfeited=forfeited)


@export(role="admin")
def reinstate(account: bytes):
    """An admin lifts a suspension; the record and the lost reliability stay."""
    suspended.remove(account)
    Reinstated(account=account)


@export
def charge(run: str, number: int, rho: int, budget: int, blob: bytes = b""):
    """Book what the sender's update costs in privacy, in micro-rho, up to the budget; `blob` names one without a mask."""
    assert ctx.caller == "updates" or ctx.caller == "routes", "only the standard contracts charge"
    assert rho >= 0, "privacy is not earned back"
    # Else nothing would ever be spent, and the budget would promise what nobody keeps.
    assert budget == 0 or rho > 0, "a run with a privacy budget takes what was trained with noise"
    # A repeated attempt sends the same noisy update: only what it costs more is charged.
    key = (run, number, ctx.sender)
    cost = max(0, rho - charged[key])
    if blob != b"":
        # Another one carries other noise: it shows as much again.
        cost = cost if published.get(key, blob) == blob else rho
        published[key] = blob
    assert budget == 0 or spent[(run, ctx.sender)] + cost <= budget, "the privacy budget is spent"
    spent[(run, ctx.sender)] = spent[(run, ctx.sender)] + cost
    charged[key] = charged[key] + cost


@export
def settle(run: str, members: list, counted: list, present: list, reward: int):
    """`training` closes a round: `counted` members are owed the reward and gain trust, those that agreed and were not `present` lose some."""
    assert ctx.caller == "training", "only the standard contract settles"
    for account in members:
        if account in counted:
            reliability[account] = min(FULL, reliability[account] + GAIN)
        elif account not in present and agreed.get((run, account), False):
            reliability[account] = max(0, reliability[account] - LOSS)
    for account in counted:
        if reward > 0 and account not in suspended:
            owed[(run, account)] = owed[(run, account)] + reward


@export
def credit(run: str, members: list, contributions: list):
    """`training` adds what each member's update was worth, in member order."""
    assert ctx.caller == "training", "only the standard contract credits"
    for index in range(min(len(contributions), len(members))):
        account = members[index]
        earned[(run, account)] = earned[(run, account)] + contributions[index]


@export
def pay(run: str, account: bytes) -> int:
    """The owner of the run pays, from own units of its token, what a member is owed."""
    plan = call("training", "status", {"run": run})["run"]
    assert plan["owner"] == ctx.sender, "only the owner pays"
    amount = owed[(run, account)]
    assert amount > 0, "nothing is owed"
    owed[(run, account)] = 0
    call(plan["token"], "transfer", {"target": account, "amount": amount})
    Paid(run=run, account=account, amount=amount)
    return amount


@view
def require(accounts: list, least: int):
    """Fail unless every account is in good standing and reliable enough."""
    for account in accounts:
        assert account not in suspended, "a member is suspended"
        assert reliability[account] >= least, "a member is less reliable than the run asks for"


@view
def standing(accounts: list) -> list:
    """Those that are not suspended."""
    return [account for account in accounts if account not in suspended]


@view
def able(run: str, number: int, accounts: list, budget: int) -> int:
    """How many could pay for another round like this one."""
    return len([a for a in accounts if budget == 0 or spent[(run, a)] + charged[(run, number, a)] <= budget])


@view
def record(run: str, account: bytes) -> dict:
    return {
        "spent": spent[(run, account)], "earned": earned[(run, account)], "owed": owed[(run, account)],
        "suspended": suspended.get(account), "reliability": reliability[account], "faults": faults.get(account, []),
    }

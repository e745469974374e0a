"""Terms of federated runs: what a run may ask for, who stays in a round, when a run ends. No state.

Conditions that `training.create` takes, all optional:

data             digest of the dataset version that the run trains and scores on, 32 bytes
cohort_min       fewer members than this in a round abort it; 3 at least
score            of the state that the run begins with; without it the first round is kept whatever its score
target           the run ends once its score reaches this
stale_max        the run ends after so many rounds without a better score; 0: never
reward, budget   units of `token` for each counted update; the run ends before it owes more than budget
token            contract of the units
reliability_min  members below it (0 to 1000) are refused
routes           rounds in which models wander before one in which they are averaged; needs a privacy budget

A recipe says how a round's updates become a model:

rule, tolerated  how rows are averaged (a row is a member's update, or a group's sum); rows that `rule` has to outvote
root             member whose update is the measure of the rule `trust`; needs single updates
strategy         [name, rate, first decay, second decay, floor] of the server's step
validation       digest of the public records and network that models are scored on, 32 bytes; without it every score is 0
contributions    whether each member's worth is computed, by 2 to the power of the rows evaluations
"""
HEADROOM = 2147483648
MEMBERS_MAX = 256
ROUTES_MAX = 64
LIMIT_MAX = 8388608
FIELDS = ("rule", "tolerated", "root", "strategy", "contributions", "validation")
RULES = ("mean", "median", "trimmed", "norm_clipped", "geometric", "centred", "agreeing", "trust")
STRATEGIES = ("average", "momentum", "scaffold", "adagrad", "adam", "yogi")
ADAPTIVE = ("adagrad", "adam", "yogi")
ONE = 65536
RATE_MAX = 1073741824
VALUED_MAX = 8
# Of epsilon 8 at delta 1e-5, the weakest tier: whoever receives a wandering model sees one plant's.
ROUTE_RHO_MAX = 1228034


@view
def groups_of(members: list, mode: str, encoding: list) -> int:
    """How many groups the members form; fails if a sum of theirs could wrap or show single updates."""
    assert mode == "plain" or mode == "grouped" or mode == "full", "mode is plain, grouped or full"
    most = {"plain": MEMBERS_MAX, "grouped": 200, "full": 90}[mode]  # beyond, a masked round needs more gas or space than a call may
    assert 3 <= len(members) and len(members) <= most, "3 to 256 members in mode plain, to 200 in groups, to 90 in full"
    assert len(encoding) == 4 and all([type_of(number) == "int" for number in encoding]), "an encoding has four numbers"
    assert 0 <= encoding[0] and encoding[0] <= 30 and min(encoding[1:]) > 0, "the encoding is out of range"
    assert len(members) * encoding[3] * encoding[1] < HEADROOM, "members * weight * limit must stay below 2^31"
    sizes = {}
    for row in members:
        assert len(row) == 3 and type_of(row[1]) == "int" and type_of(row[2]) == "int", "a member has an account, a group and a weight"
        assert len(row[0]) == 32 and organisation_of(row[0]) != "", "a member belongs to an organisation"
        assert 0 < row[2] and row[2] <= encoding[3], "a weight is out of range"
        assert mode == "grouped" or row[1] == 0, "only grouped mode has groups"
        sizes[row[1]] = sizes.get(row[1], 0) + 1
    names = [row[0] for row in members]
    assert names == sorted(names), "members are in ascending order"
    assert all([names[index] != names[index - 1] for index in range(1, len(names))]), "a member stands twice"
    for group in sizes:
        assert sizes[group] >= 3 and (mode == "plain" or sizes[group] <= 90), "a group has at least three members, 90 at most"
    return len(sizes)


@view
def checked(given: dict, plan: dict) -> dict:
    """The conditions with what is not given filled in; fails if they or the plan's figures cannot hold."""
    assert min([plan["patience"], plan["rounds_max"], plan["elements"]]) > 0, "patience, rounds and elements are positive"
    assert len(plan["state"]) == 32 and len(plan["blob"]) == 32, "digests have 32 bytes"
    found = {
        "data": b"", "cohort_min": 3, "target": None, "stale_max": 0, "reward": 0, "budget": 0, "token": "token",
        "reliability_min": 0, "routes": 0, "score": None,
    }
    for name in given:
        assert name in found, "unknown condition"
    found.update(given)
    assert len(found["data"]) == 0 or len(found["data"]) == 32, "a dataset is named by a digest of 32 bytes"
    assert 3 <= found["cohort_min"] and found["cohort_min"] <= len(plan["members"]), "a cohort is 3 to all members"
    assert found["target"] is None or type_of(found["target"]) == "int", "a target is a score"
    assert min([found["stale_max"], found["reward"], found["budget"]]) >= 0, "stop rules are not negative"
    assert found["reward"] * len(plan["members"]) <= found["budget"], "the budget pays one round at least"
    assert 0 <= found["reliability_min"] and found["reliability_min"] <= 1000, "reliability is in thousandths"
    assert 0 <= found["routes"] and found["routes"] <= ROUTES_MAX, "at most 64 routes to an average"
    if found["routes"] > 0:
        assert 0 < plan["rho_budget"] and plan["rho_budget"] <= ROUTE_RHO_MAX, "wandering models need differential privacy, epsilon 8 at most"
        assert plan["rounds_max"] % (found["routes"] + 1) == 0, "the last round averages"
    check_recipe(plan, found)
    assert found["score"] is None or type_of(found["score"]) == "int", "a score is an integer"
    found["best"] = found["score"]
    return found


def check_recipe(plan, found):
    recipe, mode = plan["recipe"], plan["mode"]
    for name in recipe:
        assert name in FIELDS, "unknown field of a recipe: " + name
    rule, root, tolerated = recipe.get("rule"), recipe.get("root"), recipe.get("tolerated", 0)
    assert rule in RULES, "the rule is one of " + ", ".join(RULES)
    assert mode != "full" or rule == "mean", "one masked sum has one rule, mean: others need single updates or groups"
    heads = len([row for row in plan["members"] if row[2] != 1]) == 0
    assert mode != "plain" or rule == "mean" or heads, "weights count in the rule mean; other rules count heads"
    assert (rule == "trust") == (root is not None), "the rule trust and a root go together"
    assert root is None or mode == "plain" and root in [row[0] for row in plan["members"]], "a root is a member that sends in plain"
    rows = {"plain": found["cohort_min"] - (0 if root is None else 1), "grouped": plan["groups"], "full": 1}[mode]
    assert type_of(tolerated) == "int" and tolerated >= 0, "tolerated is a number of rows"
    assert tolerated * 2 < rows, "more than half of the rows are honest: raise the cohort or tolerate fewer"
    assert plan["encoding"][1] < LIMIT_MAX, "the limit of an encoding is below 2^23: rules multiply in 64 bits"
    most = {"plain": len(plan["members"]), "grouped": plan["groups"], "full": 1}[mode]
    assert recipe.get("contributions", False) in (False, True), "contributions is true or false"
    assert not recipe.get("contributions", False) or most <= VALUED_MAX, "contributions are computed for at most 8 rows"
    judge = recipe.get("validation")
    assert judge is None or type_of(judge) == "bytes" and len(judge) == 32, "a validation set is named by a digest of 32 bytes"
    wants = [found["target"] is not None, found["stale_max"] > 0, plan["tolerance"] != 0, recipe.get("contributions", False)]
    assert judge is not None or not any(wants), "target, stale, tolerance and contributions need a validation set"
    check_strategy(recipe.get("strategy"), plan["elements"], found["routes"])


def check_strategy(strategy, elements, routes):
    assert type_of(strategy) == "list" and len(strategy) == 5, "a strategy is a name and four numbers"
    name, rate, first, second, tau = strategy
    assert name in STRATEGIES, "the strategy is one of " + ", ".join(STRATEGIES)
    assert all([type_of(number) == "int" for number in strategy[1:]]), "a strategy is a name and four numbers"
    assert 1 <= rate and rate <= RATE_MAX and min(first, second) >= 0, "a rate or decay is out of bounds"
    assert max(first, second) < ONE, "a rate or decay is out of bounds"
    assert name not in ADAPTIVE or 1 <= tau and tau <= RATE_MAX, "an adaptive strategy needs a floor of 1 to 2^30"
    assert name != "scaffold" or elements % 2 == 0 and routes == 0, "scaffold sends model and control, and no model wanders"


def is_route(plan, number):
    return number % (plan["routes"] + 1) != 0


@view
def following(plan: dict, number: int, phase: str) -> str:
    """The phase after `phase` of the round; after "" its first."""
    if is_route(plan, number):
        return {"": "KEYS", "KEYS": "ROUTE", "ROUTE": "TAKE"}[phase]
    if plan["mode"] == "plain":
        return {"": "COMMIT", "COMMIT": "HOLD", "HOLD": "AGGREGATE"}[phase]
    return {"": "KEYS", "KEYS": "DEAL", "DEAL": "COMMIT", "COMMIT": "HOLD", "HOLD": "REVEAL", "REVEAL": "AGGREGATE"}[phase]


@view
def awaited(plan: dict, current: dict, field: str, active: list) -> list:
    """Members whose part of `field` the round still waits for; `active` are those not suspended."""
    if field == "taken":
        # One take for each gift, whoever it went to.
        return current["given"][len(current["taken"]):]
    awaited = active
    if field != "announced" and (plan["mode"] != "plain" or field != "committed"):
        awaited = current[{"dealt": "announced", "committed": "dealt", "revealed": "announced", "given": "announced"}[field]]
    return [account for account in awaited if account in active and account not in current[field]]


@view
def staying(plan: dict, number: int, announced: list, present: list) -> list:
    """Members of `present` with which a round goes on; none if they are too few.

    Under masks a group needs three, and more than two thirds of those that announced keys; more than
    half of the groups have to be left.
    """
    kept = [account for account in present]
    if plan["mode"] != "plain" and not is_route(plan, number):
        base, here = {}, {}
        for row in plan["members"]:
            base[row[1]] = base.get(row[1], 0) + (1 if row[0] in announced else 0)
            here[row[1]] = here.get(row[1], 0) + (1 if row[0] in present else 0)
        groups = [group for group in base if here[group] >= 3 and here[group] >= 2 * base[group] // 3 + 1]
        if len(groups) * 2 <= plan["groups"]:
            return []
        kept = [row[0] for row in plan["members"] if row[1] in groups and row[0] in present]
    return kept if len(kept) >= plan["cohort_min"] else []


@view
def benched(plan: dict, frozen: list, left_out: list, active: list) -> list:
    """Who sits the next round out: left out while others of its group were not. Nobody if too few would remain."""
    groups = {}
    for row in plan["members"]:
        groups[row[0]] = row[1]
    used = [groups[account] for account in frozen if account not in left_out]
    found = [account for account in left_out if plan["mode"] != "plain" and groups.get(account) in used]
    rest = [groups[account] for account in active if account not in found]
    is_enough = all([len([group for group in rest if group == groups[account]]) >= 3 for account in found])
    return found if is_enough and len(rest) >= plan["cohort_min"] else []


@view
def ending(plan: dict, number: int, able: int) -> str:
    """Why the run ends after this round, "" if it goes on; `able` members can pay another round's privacy."""
    if number >= plan["rounds_max"]:
        return "all rounds are done"
    if is_route(plan, number):
        return "privacy budgets are spent" if able < plan["cohort_min"] else ""
    if plan["target"] is not None and plan["score"] is not None and plan["score"] >= plan["target"]:
        return "the target score is reached"
    if plan["stale_max"] > 0 and plan["stale"] >= plan["stale_max"]:
        return "no better score for as many rounds as agreed"
    if plan["reward"] > 0 and plan["paid"] + plan["reward"] * len(plan["members"]) > plan["budget"]:
        return "the budget is spent"
    if able < plan["cohort_min"]:
        return "privacy budgets are spent"
    return ""

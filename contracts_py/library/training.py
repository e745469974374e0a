"""Federated runs: their rounds, and where each round stands.

A round goes KEYS, DEAL, COMMIT, HOLD, REVEAL, AGGREGATE, CLOSED (no KEYS, DEAL, REVEAL when updates
are plain; KEYS, ROUTE, TAKE, CLOSED when models wander), by deadlines in heights. Members speak
through `updates` and `routes`, validators through `verdicts`, and `conduct` keeps the books.

Leaving HOLD freezes the survivors: members whose updates the validators hold. An attempt that fails
before is repeated with fresh keys. One that fails later is not: with other survivors the difference
of two sums would show single updates; the next round starts with fresh training.
"""
import conduct
import terms

runs = Map(key=str, value=dict)
rounds = Map(key=tuple, value=dict)
Opened = Event(run=str, number=int, attempt=int, phase=str, deadline=int, indexed=("run",))
Frozen = Event(run=str, number=int, attempt=int, survivors=int, indexed=("run",))
Closed = Event(run=str, number=int, state=bytes, score=int, kept=bool, indexed=("run",))
Stopped = Event(run=str, reason=str, indexed=("run",))

FAILURES_MAX = 3
FIELDS = ("announced", "dealt", "committed", "frozen", "revealed", "given", "taken", "excused")


@export(role="modeler")
def create(run: str, members: list, mode: str, elements: int, encoding: list, recipe: dict, state: bytes, blob: bytes, patience: int, rounds_max: int, rho_budget: int, tolerance: int, conditions: value = None):
    """Members are [account, group, weight]; encoding is [scale_bits, limit, norm_limit, weight_max]; `terms` has the conditions."""
    assert run not in runs and 0 < len(run) and len(run) <= 64, "a new name of 1 to 64 characters"
    plan = {
        "owner": ctx.sender, "members": members, "mode": mode, "elements": elements, "encoding": encoding, "recipe": recipe,
        "state": state, "blob": blob, "score": None, "patience": patience, "rounds_max": rounds_max, "rho_budget": rho_budget,
        "tolerance": tolerance, "round": 0, "status": "RUNNING", "failures": 0, "stale": 0, "paid": 0, "benched": [],
        "groups": terms.groups_of(members=members, mode=mode, encoding=encoding),
    }
    plan.update(terms.checked(given={} if conditions is None else conditions, plan=plan))
    conduct.require(accounts=[row[0] for row in members], least=plan["reliability_min"])
    open_round(run, plan, 1, 1)


@export
def advance(run: str):
    """Move on when the deadline has passed; anybody may call it."""
    found = status(run)
    assert found["run"]["status"] == "RUNNING", "the run has ended"
    assert ctx.height > found["round"]["deadline"], "the deadline has not passed"
    move_on(run, found["run"], found["run"]["round"], found["round"])


@export(role="modeler")
def stop(run: str):
    assert runs[run]["owner"] == ctx.sender, "only the owner stops a run"
    finish(run, runs[run], "stopped by its owner")


@view
def entered(run: str, number: int, attempt: int, phase: str, field: str) -> dict:
    """The run and its round, if the sender may act in this phase and has not."""
    plan, current = runs[run], rounds[(run, number)]
    assert plan["status"] == "RUNNING" and current["phase"] == phase and current["attempt"] == attempt, "the round is not in this phase"
    assert ctx.height <= current["deadline"], "the deadline has passed"
    assert ctx.sender in active(run, plan, False), "not a member of the run, or suspended, or it has left, or it sits this round out"
    assert ctx.sender not in current[field], "sent already"
    return {"run": plan, "round": current}


@export
def noted(run: str, number: int, field: str):
    """`updates` or `routes` has taken the sender's part; the last one moves the round on."""
    assert ctx.caller == "updates" or ctx.caller == "routes", "only the standard contracts note a part"
    plan, current = runs[run], rounds[(run, number)]
    current[field] = sorted(current[field] + [ctx.sender])
    rounds[(run, number)] = current
    conduct.enlist(run=run, account=ctx.sender)
    if len(terms.awaited(plan=plan, current=current, field=field, active=active(run, plan, number > 1))) == 0:
        move_on(run, plan, number, current)


def move_on(run, plan, number, current):
    phase = current["phase"]
    if phase == "AGGREGATE":
        again(run, plan, number, current, "no quorum for an aggregate")
        return
    if phase == "TAKE":
        # Who has not taken keeps its own model: nothing is lost, the model merely does not wander.
        current["phase"] = "CLOSED"
        rounds[(run, number)] = current
        plan["failures"] = 0
        follow(run, plan, number)
        return
    if phase == "HOLD":
        found = call("verdicts", "counted", {"run": run, "number": number, "attempt": current["attempt"], "accounts": current["committed"]})
        freeze(run, plan, number, current, found["held"], found["missing"])
        return
    field = {"KEYS": "announced", "DEAL": "dealt", "COMMIT": "committed", "REVEAL": "revealed", "ROUTE": "given"}[phase]
    staying = terms.staying(plan=plan, number=number, announced=current["announced"], present=current[field])
    if len(staying) == 0:
        again(run, plan, number, current, "too few members in " + phase)
        return
    if phase != "REVEAL" and len(staying) < len(current[field]):
        current["excused"] = current["excused"] + [a for a in current[field] if a not in staying]  # others of the group failed, not they
        current[field] = staying
    enter(run, plan, number, current, terms.following(plan=plan, number=number, phase=phase))


@export
def held(run: str, number: int):
    """`verdicts` found that the validators hold every update."""
    assert ctx.caller == "verdicts", "only the standard contract weighs updates"
    freeze(run, runs[run], number, rounds[(run, number)], rounds[(run, number)]["committed"], [])


def freeze(run, plan, number, current, present, missing):
    for account in missing:
        conduct.fault(run=run, account=account, reason="false availability")
    staying = terms.staying(plan=plan, number=number, announced=current["announced"], present=present)
    if len(staying) == 0:
        again(run, plan, number, current, "too few updates are available")
        return
    current["frozen"] = staying
    Frozen(run=run, number=number, attempt=current["attempt"], survivors=len(staying))
    enter(run, plan, number, current, terms.following(plan=plan, number=number, phase="HOLD"))


def enter(run, plan, number, current, phase):
    current.update({"phase": phase, "deadline": ctx.height + plan["patience"] * (4 if phase == "AGGREGATE" else 1), "height": ctx.height})
    rounds[(run, number)] = current
    Opened(run=run, number=number, attempt=current["attempt"], phase=phase, deadline=current["deadline"])


def open_round(run, plan, number, attempt):
    plan["round"] = number
    runs[run] = plan
    fresh = {"attempt": attempt, "base": plan["state"], "blob": plan["blob"]}
    for field in FIELDS:
        fresh[field] = []
    enter(run, plan, number, fresh, terms.following(plan=plan, number=number, phase=""))


def again(run, plan, number, current, reason):
    plan["failures"] += 1
    is_revealed = current["phase"] == "REVEAL" or current["phase"] == "AGGREGATE"
    current.update({"phase": "ABORTED", "reason": reason})
    rounds[(run, number)] = current
    is_over = plan["failures"] >= FAILURES_MAX or len(active(run, plan, False)) < plan["cohort_min"]
    if is_over or is_revealed and number >= plan["rounds_max"]:
        finish(run, plan, reason)
    else:
        open_round(run, plan, number + 1 if is_revealed else number, 1 if is_revealed else current["attempt"] + 1)


@export
def close(run: str, number: int, state: bytes, blob: bytes, score: int, flags: list, left_out: list, contributions: list):
    """`verdicts` closes a round with what more than two thirds of the validators' weight attest."""
    assert ctx.caller == "verdicts", "only the standard contract closes a round"
    plan, current = runs[run], rounds[(run, number)]
    plan["failures"] = 0
    kept = plan["score"] is None or score >= plan["score"] - plan["tolerance"]
    plan["stale"] = 0 if plan["best"] is None or score > plan["best"] else plan["stale"] + 1
    plan["best"] = score if plan["stale"] == 0 else plan["best"]
    if kept:
        plan.update({"state": state, "blob": blob, "score": score})
    result = {"state": state, "blob": blob, "score": score, "kept": kept, "flags": flags, "left_out": left_out, "height": ctx.height}
    current.update({"phase": "CLOSED", "result": result})
    rounds[(run, number)] = current
    counted, able = [account for account in current["frozen"] if account not in left_out], active(run, plan, False)
    conduct.settle(run=run, members=able, counted=counted, present=current["committed"] + current["excused"], reward=plan["reward"])
    plan["benched"] = terms.benched(plan=plan, frozen=current["frozen"], left_out=left_out, active=able)
    conduct.credit(run=run, members=[row[0] for row in plan["members"]], contributions=contributions)
    plan["paid"] += plan["reward"] * len(counted)
    Closed(run=run, number=number, state=state, score=score, kept=kept)
    follow(run, plan, number)


def follow(run, plan, number):
    able = conduct.able(run=run, number=number, accounts=active(run, plan, False), budget=plan["rho_budget"])
    reason = terms.ending(plan=plan, number=number, able=able)
    if reason == "":
        open_round(run, plan, number + 1, 1)
    else:
        finish(run, plan, reason)


def finish(run, plan, reason):
    plan.update({"status": "STOPPED", "reason": reason})
    runs[run] = plan
    Stopped(run=run, reason=reason)


def active(run, plan, is_strict):
    return conduct.willing(run=run, accounts=[row[0] for row in plan["members"] if row[0] not in plan["benched"]], is_strict=is_strict)


@view
def status(run: str) -> dict:
    return {"run": runs[run], "round": rounds[(run, runs[run]["round"])]}


@view
def round_at(run: str, number: int) -> dict:
    return rounds[(run, number)]

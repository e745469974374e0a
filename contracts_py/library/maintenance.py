"""Predictive maintenance as a service: remaining life, failure class and anomaly by certified models; alerts, work
orders, parts, and what came of it (in `scores`). Machines have ISA-95 paths, an owner, a maintainer and subscribers."""
import scores
options = Var(dict)
machines = Map(key=str, value=dict)
profiles = Map(key=str, value=dict)
orders = Map(key=int, value=dict)
last_order = Var(int, default=0)
Registered = Event(machine=str, path=str, owner=str, maintainer=str, indexed=("machine", "owner"))
Assessed = Event(machine=str, rul=dec, state=str, indexed=("machine",))
Examined = Event(machine=str, failure=str, anomaly=dec, verdict=str, indexed=("machine",))
Alert = Event(machine=str, rul=dec, height=int, indexed=("machine",))
Notified = Event(org=str, machine=str, order=int, indexed=("org",))
WorkOrder = Event(order=int, machine=str, status=str, indexed=("machine",))

WINDOWS_MAX = 256
SUBSCRIBERS_MAX = 8
SIDE_GAS = 2000000

@init
def setup(model: str, rul_limit: int = 30, rul_margin: int = 3):
    assert 0 < rul_limit and 0 <= rul_margin, "limit is positive, margin is not negative"
    options.set({"org": ctx.org, "model": model, "limit": dec(rul_limit), "margin": dec(rul_margin), "class_model": "", "classes": [], "class_margin": dec(0), "anomaly_model": "", "anomaly_limit": dec(0), "anomaly_margin": dec(0), "parts": "", "drift": "", "labels": ""})

@export(role="admin")
def configure(changes: dict):
    """Administrators of the deployer change models, limits, contracts beside it. In a genesis that is who configures first."""
    found = options.get()
    assert found["org"] == "" or found["org"] == ctx.org, "the service belongs to another organisation"
    found["org"] = ctx.org
    for name in changes:
        assert name in found and name != "org" and type_of(changes[name]) == type_of(found[name]), "an unknown option or another type"
        found[name] = changes[name]
    assert found["limit"] > 0 and found["margin"] >= 0 and found["class_margin"] >= 0 and found["anomaly_margin"] >= 0, "limits are positive, margins are not negative"
    options.set(found)

@export(role=("operator", "admin"))
def register(machine: str, path: str, maintainer: str, subscribers: list[str], part: str = ""):
    """The owner names path (enterprise/site/area/line/cell), maintainer, who is told, and the part that wears."""
    levels = path.split("/")
    assert len(levels) == 5 and len(path) <= 256 and "" not in levels, "a path is enterprise/site/area/line/cell"
    assert len(subscribers) <= SUBSCRIBERS_MAX and len(part) <= 128 and len(maintainer) <= 64, "at most 8 subscribers"
    found = known(machine)
    assert found["owner"] == "" or found["owner"] == ctx.org, "the machine belongs to another organisation"
    found.update({"owner": ctx.org, "maintainer": maintainer})
    machines[machine] = found
    profiles[machine] = {"path": path, "subscribers": subscribers, "part": part}
    Registered(machine=machine, path=path, owner=ctx.org, maintainer=maintainer)

def known(machine: str) -> dict:
    assert 0 < len(machine) and len(machine) <= 64, "a machine has a name of 1 to 64 characters"
    return machines.get(machine) or {"state": "HEALTHY", "assessments": 0, "rul": dec(0), "height": 0, "order": 0, "owner": "", "maintainer": ""}

def check_access(found: dict) -> dict:
    assert found["owner"] == "" or ctx.org == found["owner"] or ctx.org == found["maintainer"], "only owner and maintainer work on this machine"
    return found

def judge(chosen: dict, machine: str, rul: dec) -> dict:
    """Update one machine; hysteresis: UNDECIDED keeps the state that the machine had."""
    found = check_access(known(machine))
    verdict = decide(rul, chosen["limit"], chosen["margin"])
    if verdict == "BELOW" and found["state"] == "HEALTHY":
        found["state"] = "WORN"
        found["order"] = open_order(chosen, machine)
        Alert(machine=machine, rul=rul, height=ctx.height)
    elif verdict == "ABOVE" and found["state"] == "WORN" and found["order"] == 0:
        found["state"] = "HEALTHY"
    found.update({"assessments": found["assessments"] + 1, "rul": rul, "height": ctx.height})
    machines[machine] = found
    # Statistics must never stop a prediction.
    done = [False, False] if chosen["drift"] == "" else try_call(chosen["drift"], "observe", {"stream": chosen["model"], "number": floor(rul)}, SIDE_GAS)
    return {"machine": machine, "rul": rul, "state": found["state"], "verdict": verdict, "drifting": done[0] and done[1]}

def ask_label(chosen: dict, result: dict, sample: bytes, is_unsure: bool):
    # While a drifted population has no answer, all of it is news to the model.
    if chosen["labels"] != "" and (is_unsure or result["drifting"]):
        try_call(chosen["labels"], "enqueue", {"model": chosen["model"], "sample": sample, "reason": "UNSURE" if is_unsure else "DRIFT"}, SIDE_GAS)

def open_order(chosen: dict, machine: str) -> int:
    number = last_order.get() + 1
    last_order.set(number)
    profile, reservation = profiles.get(machine, {"subscribers": [], "part": ""}), 0
    if chosen["parts"] != "" and profile["part"] != "":
        done = try_call(chosen["parts"], "reserve", {"part": profile["part"], "quantity": 1, "reason": f"order {number}"}, SIDE_GAS)
        reservation = done[1] if done[0] else 0
    orders[number] = {"machine": machine, "status": "OPEN", "opened": ctx.height, "by": ctx.sender, "part": profile["part"], "reservation": reservation, "model": chosen["model"]}
    WorkOrder(order=number, machine=machine, status="OPEN")
    for org in profile["subscribers"]:
        Notified(org=org, machine=machine, order=number)
    return number

@export(role="operator")
def assess(machine: str, window: bytes) -> dict:
    """Predict from one packed int8 window."""
    chosen = options.get()
    result = judge(chosen, machine, predict(chosen["model"], window))
    Assessed(machine=machine, rul=result["rul"], state=result["state"])
    ask_label(chosen, result, sha256(window), result["verdict"] == "UNDECIDED")
    return result

@export(role="operator")
def examine(machine: str, window: bytes, class_window: bytes = b"", anomaly_window: bytes = b"") -> dict:
    """Remaining life, and failure class and anomaly where a model is configured and a window given."""
    chosen = options.get()
    result = judge(chosen, machine, predict(chosen["model"], window))
    Assessed(machine=machine, rul=result["rul"], state=result["state"])
    failure, anomaly, verdict = "", dec(0), ""
    if chosen["class_model"] != "" and len(class_window) > 0:
        failure = classify(chosen, predict(chosen["class_model"], class_window))
    if chosen["anomaly_model"] != "" and len(anomaly_window) > 0:
        found = predict(chosen["anomaly_model"], anomaly_window)
        anomaly = sum(found) if type_of(found) == "list" else found
        verdict = decide(anomaly, chosen["anomaly_limit"], chosen["anomaly_margin"])
    Examined(machine=machine, failure=failure, anomaly=anomaly, verdict=verdict)
    ask_label(chosen, result, sha256(window + class_window + anomaly_window), failure == "UNDECIDED" or verdict == "ABOVE" or result["verdict"] == "UNDECIDED")
    result.update({"failure": failure, "anomaly": anomaly, "anomaly_verdict": verdict})
    return result

def classify(chosen: dict, found: value) -> str:
    """Name of the largest output, UNDECIDED if the second is within the margin."""
    outputs = found if type_of(found) == "list" else [dec(1) - found, found]
    ranked = sorted(outputs)
    if ranked[-1] - ranked[-2] <= chosen["class_margin"]:
        return "UNDECIDED"
    place = outputs.index(ranked[-1])
    return chosen["classes"][place] if place < len(chosen["classes"]) else str(place)

@export(role="operator")
def assess_many(machines: list, windows: bytes) -> list:
    """Predict for several machines; `windows` holds their inputs end to end."""
    assert 0 < len(machines) and len(machines) <= WINDOWS_MAX, "1 to 256 machines"
    chosen = options.get()
    return [judge(chosen, pair[0], pair[1])["state"] for pair in zip(machines, predict_many(chosen["model"], windows, len(machines)))]

@export(role="operator")
def score_many(windows: bytes, count: int) -> list:
    """Predict without keeping state: only the prediction records are written."""
    return predict_many(options.get()["model"], windows, count)

@export(role="operator")
def acknowledge(order: int):
    """The maintainer takes an order."""
    found = move(order, "OPEN", {"status": "ACKNOWLEDGED"})
    scores.add(kind="maintainer", name=ctx.org, amounts={"orders": 1, "blocks_to_acknowledge": ctx.height - found["opened"]})

@export(role="operator")
def close(order: int, failed: bool, cause: str = "", is_part_used: bool = True):
    """Close a work order and say whether the machine had indeed been failing: it scores model and maintainer."""
    assert len(cause) <= 200, "a cause has at most 200 characters"
    found = move(order, "ACKNOWLEDGED", {"status": "CLOSED", "failed": failed, "cause": cause})
    state = machines[found["machine"]]
    state.update({"order": 0, "state": "HEALTHY"})
    machines[found["machine"]] = state
    if found["reservation"] > 0:
        call(options.get()["parts"], "settle", {"reservation": found["reservation"], "is_used": is_part_used})
    scores.add(kind="model", name=found["model"], amounts={"hits" if failed else "false_alarms": 1})
    scores.add(kind="maintainer", name=ctx.org, amounts={"closed": 1, "blocks_to_close": ctx.height - found["opened"]})

@export(role="operator")
def report_failure(machine: str, cause: str):
    """A machine has failed: a miss of the model if no order is open, a delay of its maintainer if one is."""
    assert len(cause) <= 200, "a cause has at most 200 characters"
    found = check_access(machines[machine])
    if found["order"] == 0:
        scores.add(kind="model", name=options.get()["model"], amounts={"misses": 1})
        found["order"] = open_order(options.get(), machine)
    else:
        scores.add(kind="maintainer", name=found["maintainer"], amounts={"failed_while_open": 1})
    found["state"] = "FAILED"
    machines[machine] = found

def move(order: int, before: str, changes: dict) -> dict:
    found = orders[order]
    check_access(machines[found["machine"]])
    assert found["status"] == before, f"the order is not {before}"
    found.update(changes)
    orders[order] = found
    WorkOrder(order=order, machine=found["machine"], status=found["status"])
    return found

@view
def status(machine: str) -> value:
    return machines.get(machine)

@view
def profile(machine: str) -> value:
    return profiles.get(machine)

@view
def work_order(number: int) -> value:
    return orders.get(number)

@view
def fleet(after: value, count: int) -> list:
    return machines.page(after, count)

@view
def score(kind: str, name: str) -> dict:
    """What outcomes say of a `model` (hits, false_alarms, misses) or a `maintainer` (orders, blocks)."""
    return scores.of(contract=ctx.this, kind=kind, name=name)

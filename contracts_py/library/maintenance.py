"""Predictive maintenance: remaining useful life by a certified model, alerts, work orders."""
model = Var(str)
limit = Var(dec)
margin = Var(dec)
machines = Map(key=str, value=dict)
orders = Map(key=int, value=dict)
last_order = Var(int, default=0)
Assessed = Event(machine=str, rul=dec, state=str, indexed=("machine",))
Alert = Event(machine=str, rul=dec, height=int, indexed=("machine",))
WorkOrder = Event(order=int, machine=str, status=str, indexed=("machine",))

WINDOWS_MAX = 256


@init
def setup(model: str, rul_limit: int = 30, rul_margin: int = 3):
    configure(model, rul_limit, rul_margin)


def configure(name: str, rul_limit: int, rul_margin: int):
    assert 0 < rul_limit and 0 <= rul_margin, "limit is positive, margin is not negative"
    model.set(name)
    limit.set(dec(rul_limit))
    margin.set(dec(rul_margin))


def judge(machine: str, rul: dec) -> dict:
    """Update one machine; hysteresis: UNDECIDED keeps the state that the machine had."""
    assert 0 < len(machine) and len(machine) <= 64, "a machine has a name of 1 to 64 characters"
    found = machines.get(machine)
    if found is None:
        found = {"state": "HEALTHY", "assessments": 0, "rul": rul, "height": 0, "order": 0}
    verdict = decide(rul, limit.get(), margin.get())
    if verdict == "BELOW" and found["state"] == "HEALTHY":
        found["state"] = "WORN"
        found["order"] = open_order(machine)
        Alert(machine=machine, rul=rul, height=ctx.height)
    elif verdict == "ABOVE" and found["state"] == "WORN" and found["order"] == 0:
        found["state"] = "HEALTHY"
    found["assessments"] += 1
    found["rul"] = rul
    found["height"] = ctx.height
    machines[machine] = found
    return {"machine": machine, "rul": rul, "state": found["state"], "verdict": verdict}


def open_order(machine: str) -> int:
    number = last_order.get() + 1
    last_order.set(number)
    orders[number] = {"machine": machine, "status": "OPEN", "opened": ctx.height, "by": ctx.sender}
    WorkOrder(order=number, machine=machine, status="OPEN")
    return number


@export(role="operator")
def assess(machine: str, window: bytes) -> dict:
    """Predict from one packed int8 window."""
    result = judge(machine, predict(model.get(), window))
    Assessed(machine=machine, rul=result["rul"], state=result["state"])
    return result


@export(role="operator")
def assess_many(machines: list, windows: bytes) -> list:
    """Predict for several machines; `windows` holds their inputs end to end."""
    assert 0 < len(machines) and len(machines) <= WINDOWS_MAX, "1 to 256 machines"
    ruls = predict_many(model.get(), windows, len(machines))
    return judge_all(machines, ruls)


def judge_all(names: list, ruls: list) -> list:
    out = []
    for pair in zip(names, ruls):
        out.append(judge(pair[0], pair[1])["state"])
    return out


@export(role="operator")
def score_many(windows: bytes, count: int) -> list:
    """Predict without keeping state: only the prediction records are written."""
    return predict_many(model.get(), windows, count)


@export(role="operator")
def acknowledge(order: int):
    move(order, "OPEN", "ACKNOWLEDGED")


@export(role="operator")
def close(order: int, failed: bool):
    """Close a work order and say whether the machine had indeed been failing."""
    name = move(order, "ACKNOWLEDGED", "CLOSED")
    found = orders[order]
    found["failed"] = failed
    orders[order] = found
    state = machines[name]
    state["order"] = 0
    state["state"] = "HEALTHY"
    machines[name] = state


def move(order: int, before: str, after: str) -> str:
    found = orders[order]
    assert found["status"] == before, f"the order is {found_status(found)}, not {before}"
    found["status"] = after
    orders[order] = found
    WorkOrder(order=order, machine=found["machine"], status=after)
    return found["machine"]


def found_status(found: dict) -> str:
    return found["status"]


@view
def status(machine: str) -> value:
    return machines.get(machine)


@view
def work_order(number: int) -> value:
    return orders.get(number)


@view
def fleet(after: value, count: int) -> list:
    return machines.page(after, count)

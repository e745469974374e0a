"""Statistical process control in integers: X-bar/R, EWMA and CUSUM charts that learn their limits first.

Measurements are ints in the chart's own unit; centre, sigma and everything derived are thousandths of it."""
charts = Map(key=str, value=dict)
OutOfControl = Event(chart=str, reason=str, number=int, org=str, indexed=("chart",))
Learned = Event(chart=str, centre=int, sigma=int, indexed=("chart",))

KINDS = ("XBAR_R", "EWMA", "CUSUM")
# Ten-thousandths for subgroups of 2 to 10 (ISO 7870-2): width of the mean, bounds of the range, range over sigma.
A2 = (18800, 10230, 7290, 5770, 4830, 4190, 3730, 3370, 3080)
D3 = (0, 0, 0, 0, 0, 760, 1360, 1840, 2230)
D4 = (32670, 25740, 22820, 21140, 20040, 19240, 18640, 18160, 17770)
D2 = (11280, 16930, 20590, 23260, 25340, 27040, 28470, 29700, 30780)
RUN_MAX = 8
NUMBER_MAX = 1000000000000


@export(role=("operator", "inspector"))
def define(chart: str, kind: str, size: int, learn: int, observers: list[str], weight: int = 200, width: int = 3000, slack: int = 500, decision: int = 5000):
    """Set a chart of subgroups of `size`, which learns from the first `learn` of them; observers are organisations
    and contracts. EWMA: weight and width; CUSUM: slack and decision interval; all in thousandths (of sigma)."""
    assert 0 < len(chart) and len(chart) <= 128 and kind in KINDS, "kind is XBAR_R, EWMA or CUSUM"
    assert chart not in charts or charts[chart]["org"] == ctx.org, "the chart belongs to another organisation"
    assert 1 <= size and size <= 10 and (kind != "XBAR_R" or size > 1), "a subgroup has 1 to 10 values, 2 to 10 for X-bar/R"
    assert kind != "CUSUM" or size == 1, "CUSUM takes single values"
    assert 2 <= learn and learn <= 1000 and len(observers) <= 16, "it learns from 2 to 1000 subgroups"
    assert 0 < weight and weight <= 1000 and 0 < width and 0 <= slack and 0 < decision, "constants are positive"
    charts[chart] = {"org": ctx.org, "kind": kind, "size": size, "learn": learn, "observers": observers, "weight": weight, "width": width, "slack": slack, "decision": decision, "count": 0, "sum": 0, "ranges": 0, "before": None, "centre": 0, "sigma": 0, "range": 0, "z": 0, "high": 0, "low": 0, "run": 0, "alarms": 0}


@export
def add(chart: str, values: list[int]) -> list:
    """An observer adds a subgroup; gives the reasons for which it is out of control, none while it learns."""
    found = charts[chart]
    who = ctx.caller if type_of(ctx.caller) == "str" else ctx.org
    assert who in found["observers"], "not an observer of this chart"
    assert len(values) == found["size"] and max([abs(number) for number in values]) <= NUMBER_MAX, "a subgroup of the chart's size"
    found["count"] += 1
    mean = sum(values) * 1000 // len(values)
    spread = (max(values) - min(values)) * 1000
    reasons = []
    if found["count"] <= found["learn"]:
        learn_from(chart, found, mean, spread)
    elif found["kind"] == "XBAR_R":
        reasons = check_mean(found, mean) + check_range(found, spread)
    elif found["kind"] == "EWMA":
        reasons = check_ewma(found, mean)
    else:
        reasons = check_cusum(found, mean)
    found["alarms"] += len(reasons)
    charts[chart] = found
    for reason in reasons:
        OutOfControl(chart=chart, reason=reason, number=found["count"], org=found["org"])
    return reasons


def learn_from(chart: str, found: dict, mean: int, spread: int):
    # A single value has no range: the distance to the one before stands for that of a pair.
    if found["size"] == 1:
        spread = 0 if found["before"] is None else abs(mean - found["before"])
        found["before"] = mean
    found["sum"] += mean
    found["ranges"] += spread
    if found["count"] == found["learn"]:
        pairs = found["learn"] - 1 if found["size"] == 1 else found["learn"]
        found["centre"] = found["sum"] // found["learn"]
        found["range"] = found["ranges"] // pairs
        # Of single values; where a mean is judged, the size of its subgroup comes in there.
        found["sigma"] = max(1, found["range"] * 10000 // D2[max(0, found["size"] - 2)])
        found["z"] = found["centre"]
        Learned(chart=chart, centre=found["centre"], sigma=found["sigma"])


def check_mean(found: dict, mean: int) -> list:
    place = found["size"] - 2
    gap = mean - found["centre"]
    found["run"] = run_of(found["run"], gap)
    reasons = ["MEAN"] if abs(gap) * 10000 > A2[place] * found["range"] else []
    return reasons + (["RUN"] if abs(found["run"]) >= RUN_MAX else [])


def run_of(run: int, gap: int) -> int:
    """Points in a row on one side of the centre, negative below it."""
    if gap == 0:
        return 0
    if gap > 0:
        return run + 1 if run > 0 else 1
    return run - 1 if run < 0 else -1


def check_range(found: dict, spread: int) -> list:
    place = found["size"] - 2
    is_out = spread * 10000 > D4[place] * found["range"] or spread * 10000 < D3[place] * found["range"]
    return ["RANGE"] if is_out else []


def check_ewma(found: dict, mean: int) -> list:
    found["z"] += found["weight"] * (mean - found["z"]) // 1000
    gap = found["z"] - found["centre"]
    # Width * sigma * root(w / ((2 - w) n)), squared so that no root is needed.
    left = gap * gap * (2000 - found["weight"]) * found["size"] * 1000000
    right = found["width"] * found["width"] * found["sigma"] * found["sigma"] * found["weight"]
    return ["EWMA"] if left > right else []


def check_cusum(found: dict, mean: int) -> list:
    slack = found["slack"] * found["sigma"] // 1000
    found["high"] = max(0, found["high"] + mean - found["centre"] - slack)
    found["low"] = max(0, found["low"] + found["centre"] - mean - slack)
    bound = found["decision"] * found["sigma"] // 1000
    return (["CUSUM_HIGH"] if found["high"] > bound else []) + (["CUSUM_LOW"] if found["low"] > bound else [])


@export(role=("operator", "inspector"))
def restart(chart: str):
    """The cause was found and removed: sums and runs begin anew, limits stay."""
    found = charts[chart]
    assert found["org"] == ctx.org, "the chart belongs to another organisation"
    found.update({"z": found["centre"], "high": 0, "low": 0, "run": 0})
    charts[chart] = found


@view
def status(chart: str) -> value:
    return charts.get(chart)

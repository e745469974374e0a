"""Multistage production: measurements at each stage, gates between stages, suspicion along the genealogy."""
import genealogy
import quality
import spc

routes = Map(key=str, value=dict)
results = Map(key=(str, str), value=list)
suspects = Map(key=str, value=dict)
Measured = Event(lot=str, route=str, stage=str, verdict=str, reasons=list, indexed=("lot", "verdict"))
SuspicionRaised = Event(lot=str, source=str, reason=str, indexed=("lot", "source"))
SuspicionCleared = Event(lot=str, by=str, indexed=("lot",))

STAGES_MAX = 16
MEASURES_MAX = 32


@export(role=("operator", "inspector"))
def define(route: str, stages: list[dict]):
    """Each stage has a name, limits by measure, [low, high], and charts by measure, which observe values one by one.

    A value outside its limits fails the stage, a chart out of control holds it."""
    assert 0 < len(route) and len(route) <= 64 and 0 < len(stages) and len(stages) <= STAGES_MAX, "1 to 16 stages"
    assert route not in routes or routes[route]["org"] == ctx.org, "the route belongs to another organisation"
    names = [stage["name"] for stage in stages]
    for place, stage in enumerate(stages):
        assert stage["name"] not in names[:place] and 0 < len(stage["limits"]) and len(stage["limits"]) <= MEASURES_MAX, "stages have different names and 1 to 32 measures"
        for measure in stage["limits"]:
            assert stage["limits"][measure][0] <= stage["limits"][measure][1], "low is not above high"
        for measure in stage["charts"]:
            assert measure in stage["limits"], "a chart is of a measure of its stage"
    routes[route] = {"org": ctx.org, "stages": stages}


@export(role="operator")
def measure(lot: str, route: str, stage: str, values: dict[str, int]) -> dict:
    """Record the measurements of one stage; gives PASS, HOLD or FAIL with reasons. A failure stops the lot."""
    plan = routes[route]
    assert plan["org"] == ctx.org, "the route belongs to another organisation"
    past = results.get((lot, route), [])
    place = len(past)
    # A stage that was not passed is measured again, for example after rework.
    if place > 0 and past[-1]["verdict"] != "PASS":
        past = past[: place - 1]
        place -= 1
    assert place < len(plan["stages"]), "all stages are passed"
    wanted = plan["stages"][place]
    expected = wanted["name"]
    assert stage == expected, f"the gate of {stage} is closed: {expected} comes first"
    assert not is_suspect(lot), "the lot is suspect: look into it, then clear it"
    assert sorted(values.keys()) == sorted(wanted["limits"].keys()), "every measure of the stage, no other"
    reasons = []
    verdict = "PASS"
    for name in wanted["charts"]:
        found = spc.add(chart=wanted["charts"][name], values=[values[name]])
        if len(found) > 0:
            verdict = "HOLD"
            reasons.append(name + " " + found[0])
    for name in wanted["limits"]:
        if values[name] < wanted["limits"][name][0] or values[name] > wanted["limits"][name][1]:
            verdict = "FAIL"
            reasons.append(name + " out of limits")
    past.append({"stage": stage, "verdict": verdict, "values": values, "height": ctx.height, "by": ctx.sender})
    results[lot, route] = past
    Measured(lot=lot, route=route, stage=stage, verdict=verdict, reasons=reasons)
    if verdict == "FAIL":
        quality.quarantine(lot=lot, reason=(stage + ": " + ", ".join(reasons))[:200])
        accuse(lot, lot, reasons[0])
    return {"verdict": verdict, "reasons": reasons}


@export(role="inspector")
def pass_held(lot: str, route: str, reason: str):
    """An inspector of the plant lets a held stage pass."""
    assert routes[route]["org"] == ctx.org and 0 < len(reason) and len(reason) <= 200, "the plant's inspector, with a reason"
    past = results[lot, route]
    assert past[-1]["verdict"] == "HOLD", "the stage is not on hold"
    past[-1].update({"verdict": "PASS", "override": reason, "inspector": ctx.sender})
    results[lot, route] = past


@export(role="inspector")
def suspect(lot: str, reason: str) -> list:
    """An inspector doubts a lot: it and all that was made of it are suspect; gives their ids."""
    assert 0 < len(reason) and len(reason) <= 200, "a reason has 1 to 200 characters"
    accuse(lot, lot, reason)
    names = [lot]
    for edge in genealogy.downstream(item=lot)["edges"]:
        if edge[1] not in names:
            accuse(edge[1], lot, reason)
            names.append(edge[1])
    return names


def accuse(lot: str, source: str, reason: str):
    suspects[lot] = {"source": source, "reason": reason, "org": ctx.org, "height": ctx.height}
    SuspicionRaised(lot=lot, source=source, reason=reason)


@export(role="inspector")
def clear(lot: str):
    """An inspector of the organisation that doubted, or that made it, has looked into it."""
    found = quality.lot(name=lot)
    assert suspects[lot]["org"] == ctx.org or (found is not None and found["org"] == ctx.org), "another organisation doubts it"
    suspects.remove(lot)
    SuspicionCleared(lot=lot, by=ctx.org)


def is_suspect(lot: str) -> bool:
    return lot in suspects


@view
def suspicion(lot: str) -> list:
    """Suspect lots in a lot's past, itself included: also what was made of them after the suspicion was raised."""
    names = [lot] + [edge[0] for edge in genealogy.upstream(item=lot)["edges"]]
    return [suspects[name] for name in names if name in suspects]


@view
def passed(lot: str, route: str) -> value:
    """Names of the stages if all are passed and nothing is suspect, else None."""
    past = results.get((lot, route), [])
    if len(past) < len(routes[route]["stages"]) or past[-1]["verdict"] != "PASS" or len(suspicion(lot)) > 0:
        return None
    return [row["stage"] for row in past]


@view
def history(lot: str, route: str) -> list:
    return results.get((lot, route), [])

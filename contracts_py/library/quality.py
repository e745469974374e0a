"""Quality: images judged by a certified model, lots in quarantine, release by two parties, certificates of conformity.

The policy says for each class of the model whether it is accepted, held or rejected. What the model is unsure of is
held for an inspector."""
options = Var(dict)
inspections = Map(key=int, value=dict)
lots = Map(key=str, value=dict)
certificates = Map(key=str, value=dict)
last = Var(int, default=0)
Inspected = Event(inspection=int, lot=str, defect=str, verdict=str, indexed=("lot", "verdict"))
Overridden = Event(inspection=int, lot=str, before=str, after=str, by=bytes, indexed=("lot",))
Quarantined = Event(lot=str, reason=str, org=str, indexed=("lot",))
Released = Event(lot=str, orgs=list, indexed=("lot",))
Certified = Event(lot=str, org=str, certificate=bytes, indexed=("lot",))
Revoked = Event(lot=str, reason=str, indexed=("lot",))

VERDICTS = ("ACCEPT", "HOLD", "REJECT")
SIDE_GAS = 2000000


@init
def setup(model: str, classes: list[str], policy: dict[str, str], margin: dec = dec("0"), stages: str = "stages", labels: str = ""):
    """Margin is the least lead of the best class; `stages` is the contract whose gates a certificate needs."""
    assert 0 < len(classes) and len(classes) <= 64 and margin >= 0, "1 to 64 classes"
    for name in classes:
        assert policy.get(name) in VERDICTS, "the policy says ACCEPT, HOLD or REJECT for each class"
    options.set({"model": model, "classes": classes, "policy": policy, "margin": margin, "stages": stages, "labels": labels})


@export(role=("operator", "inspector"))
def inspect(lot: str, image: bytes) -> dict:
    """Judge one image of a lot; a rejected image puts the lot into quarantine."""
    found = lot_of(lot)
    check_maker(found)
    chosen = options.get()
    outputs = predict(chosen["model"], image)
    ranked = sorted(outputs)
    defect = chosen["classes"][outputs.index(ranked[-1])]
    verdict = chosen["policy"][defect]
    if len(ranked) > 1 and ranked[-1] - ranked[-2] <= chosen["margin"]:
        verdict = "HOLD"
        if chosen["labels"] != "":
            try_call(chosen["labels"], "enqueue", {"model": chosen["model"], "sample": sha256(image), "reason": "UNSURE"}, SIDE_GAS)
    number = last.get() + 1
    last.set(number)
    inspections[number] = {"lot": lot, "image": sha256(image), "defect": defect, "verdict": verdict, "by": ctx.sender, "org": ctx.org, "height": ctx.height, "override": None}
    found["counts"][verdict] += 1
    lots[lot] = found
    Inspected(inspection=number, lot=lot, defect=defect, verdict=verdict)
    if verdict == "REJECT":
        put_away(lot, "rejected: " + defect)
    return {"inspection": number, "defect": defect, "verdict": verdict}


@export(role="inspector")
def override(inspection: int, verdict: str, reason: str):
    """An inspector of the maker sees it otherwise than the model; both stay on record."""
    found = inspections[inspection]
    assert verdict in VERDICTS and verdict != found["verdict"], "another verdict: ACCEPT, HOLD or REJECT"
    assert 0 < len(reason) and len(reason) <= 200, "a reason has 1 to 200 characters"
    lot = lots[found["lot"]]
    check_maker(lot)
    assert found["override"] is None, "it was overridden already"
    before = found["verdict"]
    found["override"] = {"verdict": verdict, "reason": reason, "by": ctx.sender, "height": ctx.height}
    inspections[inspection] = found
    lot["counts"][before] -= 1
    lot["counts"][verdict] += 1
    lots[found["lot"]] = lot
    Overridden(inspection=inspection, lot=found["lot"], before=before, after=verdict, by=ctx.sender)
    if verdict == "REJECT":
        put_away(found["lot"], "rejected by an inspector")


def lot_of(lot: str) -> dict:
    assert 0 < len(lot) and len(lot) <= 128, "a lot has an id of 1 to 128 characters"
    return lots.get(lot) or {"org": ctx.org, "status": "OPEN", "reason": "", "releases": [], "counts": {"ACCEPT": 0, "HOLD": 0, "REJECT": 0}}


def check_maker(found: dict):
    assert found["org"] == ctx.org, "the lot belongs to another organisation"


def put_away(lot: str, reason: str):
    found = lot_of(lot)
    found.update({"status": "QUARANTINED", "reason": reason, "releases": []})
    lots[lot] = found
    Quarantined(lot=lot, reason=reason, org=ctx.org)
    if lot in certificates:
        revoke(lot, reason)


def revoke(lot: str, reason: str):
    paper = certificates[lot]
    if paper["revoked"] == "":
        paper["revoked"] = reason
        certificates[lot] = paper
        Revoked(lot=lot, reason=reason)


@export
def quarantine(lot: str, reason: str):
    """The maker's operators and inspectors, and the contract of the stages, stop a lot."""
    assert 0 < len(reason) and len(reason) <= 200, "a reason has 1 to 200 characters"
    if ctx.caller != options.get()["stages"]:
        assert ctx.caller == ctx.sender and (has_role(ctx.sender, "inspector") or has_role(ctx.sender, "operator")), "only people of the plant, and the stages, stop a lot"
        check_maker(lot_of(lot))
    put_away(lot, reason)


@export(role="inspector")
def release(lot: str):
    """Inspectors of two organisations, one of them the maker's, let a lot out of quarantine."""
    found = lots[lot]
    assert found["status"] == "QUARANTINED", "the lot is not in quarantine"
    assert ctx.org not in found["releases"], "your organisation has agreed already"
    if len(found["releases"]) == 0:
        check_maker(found)
    found["releases"].append(ctx.org)
    if len(found["releases"]) == 2:
        found["status"] = "RELEASED"
        Released(lot=lot, orgs=found["releases"])
    lots[lot] = found


@export(role="inspector")
def scrap(lot: str):
    """An inspector of the maker gives a lot in quarantine up for good."""
    found = lots[lot]
    check_maker(found)
    assert found["status"] == "QUARANTINED", "only a lot in quarantine is scrapped"
    found["status"] = "SCRAPPED"
    lots[lot] = found


@export(role="inspector")
def certify(lot: str, route: str = "", specification: bytes = b"") -> bytes:
    """An inspector of the maker certifies a lot; gives the digest of what is certified.

    The entry in `certificates` is proved by its state proof: whoever has the genesis checks it offline."""
    found = lots[lot]
    check_maker(found)
    assert found["status"] == "OPEN" or found["status"] == "RELEASED", "the lot is in quarantine or scrapped"
    assert found["counts"]["ACCEPT"] > 0 and found["counts"]["HOLD"] == 0, "a lot needs accepted images and none on hold"
    stages = [] if route == "" else call(options.get()["stages"], "passed", {"lot": lot, "route": route})
    assert stages is not None, "the lot has not passed all stages of its route, or is suspect"
    paper = {"lot": lot, "maker": ctx.org, "counts": found["counts"], "releases": found["releases"], "route": route, "stages": stages, "specification": specification, "model": options.get()["model"], "height": ctx.height, "inspector": ctx.sender}
    paper["digest"] = hash256(encode(paper))
    paper["revoked"] = ""
    certificates[lot] = paper
    Certified(lot=lot, org=ctx.org, certificate=paper["digest"])
    return paper["digest"]


@view
def lot(name: str) -> value:
    return lots.get(name)


@view
def inspection(number: int) -> value:
    return inspections.get(number)


@view
def certificate(lot: str) -> value:
    return certificates.get(lot)

"""Attested predictions: a committee commits, reveals, and the weighted median becomes the value.

A1 to A9 are the rules in docs/protocol.md. Outputs are ints in units of the model's scale.
"""
import committees
requests = Map(key=int, value=dict)
open = Map(key=int, value=bytes)
windows = Map(key=int, value=bytes)
commits = Map(key=tuple, value=bytes)
reveals = Map(key=tuple, value=list)
decided = Map(key=int, value=int)
decisions = Var(int, default=0)
last = Var(int, default=0)
Requested = Event(number=int, model=bytes, contract=str, deadline=int, indexed=("number", "model"))
Settled = Event(number=int, model=bytes, contract=str, input=bytes, output=list, low=list, high=list, indexed=("number", "model"))
Failed = Event(number=int, model=bytes, status=str, low=list, high=list, indexed=("number", "model"))
Dissented = Event(number=int, validator=bytes, output=list, indexed=("number", "validator"))
CalledBack = Event(number=int, contract=str, ok=bool, code=str, indexed=("number",))
OUTPUT_MAX = 4611686018427387904
CALLBACK_GAS = 1000000
FINISH_GAS = 400000
KEPT_MAX = 256
INPUT_TAG = "616e646f6e2f6d6f64656c2d696e70757400"

@export(reentrant=True)
def ask(model: str, window: bytes, callback: str = "") -> int:
    """Open a request; `request(...)` of the language calls this, accounts may too (A1)."""
    contract = ctx.caller if type_of(ctx.caller) == "str" else ""
    model_id = call("models", "resolve", {"alias": model})
    if model_id is None:
        assert len(model) == 64, "no model is known by this name"
        model_id = from_hex(model)
    found = call("models", "package", {"model_id": model_id})
    assert found is not None and found["status"] == "ACTIVE", "the model is not active"
    assert found["class"] == "attested", "the model is exact: use predict()"
    body = committees.admit(model_id=model_id)
    assert len(window) == (64 if body["sealed"] else found["input_bytes"]), "the input has another size"
    members = body["weights"]
    total = sum([row[1] for row in members])
    assert total > 0, "the committee has no vote left"
    number = last.get() + 1
    last.set(number)
    # A sealed input is the digest of its envelope and a commitment to what is inside.
    digest = window[32:] if body["sealed"] else sha256(from_hex(INPUT_TAG) + model_id + window)
    deadline = ctx.height + body["patience"]
    requests[number] = {
        "model": model_id, "contract": contract, "callback": callback, "input": digest, "sender": ctx.sender,
        "members": members, "total": total, "tolerance": body["tolerance"], "relative": body["relative"], "patience": body["patience"],
        "sealed": body["sealed"], "outputs": found["outputs"], "scale_num": found["scale_num"], "scale_den": found["scale_den"],
        "phase": "COMMIT", "deadline": deadline, "committed": 0, "revealed": 0, "height": ctx.height,
    }
    open[number] = model_id
    windows[number] = window
    Requested(number=number, model=model_id, contract=contract, deadline=deadline)
    return number

@export
def commit(number: int, digest: bytes):
    """A member binds itself to an output that nobody can read yet (A3)."""
    current = turned(number)
    weight = weight_in(current)
    assert current["phase"] == "COMMIT", "commitments are closed"
    assert (number, ctx.sender) not in commits, "this member has committed already"
    assert len(digest) == 32, "digests have 32 bytes"
    commits[(number, ctx.sender)] = digest
    current["committed"] += weight
    if current["committed"] == current["total"]:
        current["phase"] = "REVEAL"
        current["deadline"] = ctx.height + current["patience"]
    requests[number] = current

@export
def reveal(number: int, salt: bytes, output: list):
    """A member opens its commitment; the last one settles the request (A4)."""
    current = turned(number)
    weight = weight_in(current)
    assert current["phase"] == "REVEAL", "it is not the time to reveal"
    assert (number, ctx.sender) in commits, "this member did not commit in time"
    assert (number, ctx.sender) not in reveals, "this member has revealed already"
    assert len(salt) == 32 and len(output) == current["outputs"], "salt or output has another size"
    for value in output:
        assert type_of(value) == "int" and abs(value) < OUTPUT_MAX, "outputs are ints below 2**62"
    digest = hash256(encode(["attestation", ctx.chain_id, number, current["model"], ctx.sender, salt, output]))
    assert digest == commits[(number, ctx.sender)], "this is not what the commitment says"
    reveals[(number, ctx.sender)] = output
    current["revealed"] += weight
    requests[number] = current
    if current["revealed"] == current["committed"]:
        settle(number, current)

@export
def advance(number: int):
    """Move on when a deadline has passed; anybody may call it (A5)."""
    before = requests[number]["phase"]
    current = turned(number)
    if current["phase"] == "REVEAL" and ctx.height > current["deadline"]:
        settle(number, current)
    else:
        assert current["phase"] != before, "the deadline has not passed"
        requests[number] = current

def turned(number):
    """The request in the phase of this height. Raises once it is decided."""
    current = requests[number]
    assert current["phase"] == "COMMIT" or current["phase"] == "REVEAL", "this request is decided"
    if current["phase"] == "COMMIT" and ctx.height > current["deadline"]:
        if current["committed"] * 3 > current["total"] * 2:
            current["phase"] = "REVEAL"
            current["deadline"] = ctx.height + current["patience"]
        else:
            finish(number, current, "EXPIRED", None, [], [])
    return current

def weight_in(current):
    assert is_validator(ctx.sender), "only a validator attests"
    found = [row[1] for row in current["members"] if row[0] == ctx.sender]
    assert len(found) == 1, "not a member of the committee"
    return found[0]

def settle(number, current):
    """The lower weighted median of each output; disputed if the trimmed spread is too wide (A7)."""
    if current["revealed"] * 3 <= current["total"] * 2:
        finish(number, current, "EXPIRED", None, [], [])
        return
    shown = [[reveals[(number, row[0])], row[1]] for row in current["members"] if (number, row[0]) in reveals]
    output, low, high = committees.verdict(shown=shown, total=current["total"])
    if any([high[place] - low[place] > allowed(current, value) for place, value in enumerate(output)]):
        finish(number, current, "DISPUTED", None, low, high)
    else:
        finish(number, current, "SETTLED", output, low, high)

def allowed(current, value):
    """How far values may lie apart around one: absolute plus relative tolerance."""
    return current["tolerance"] + abs(value) * current["relative"] // 1000000

def prune(number):
    """Of decided requests the last KEPT_MAX stay: the state is bounded."""
    place = decisions.get() % KEPT_MAX
    old = decided.get(place, 0)
    decisions.set(place + 1)
    decided[place] = number
    if old > 0:
        for row in requests[old]["members"]:
            if (old, row[0]) in commits:
                commits.remove((old, row[0]))
            if (old, row[0]) in reveals:
                reveals.remove((old, row[0]))
        requests.remove(old)

def finish(number, current, status, output, low, high):
    """Write the result, then tell the contract that asked; its failure undoes nothing (A8)."""
    rows = ballot(number, current, output)
    current.update({"phase": status, "output": output, "low": low, "high": high, "decided": ctx.height, "dissent": [row[0] for row in rows if row[1] == "dissented"]})
    requests[number] = current
    open.remove(number)
    windows.remove(number)
    prune(number)
    committees.dismiss(model_id=current["model"], ballot=rows, is_passed=output is not None)
    if status == "SETTLED":
        Settled(number=number, model=current["model"], contract=current["contract"], input=current["input"], output=output, low=low, high=high)
    else:
        Failed(number=number, model=current["model"], status=status, low=low, high=high)
    if current["callback"] != "" and current["contract"] != "":
        call_back(number, current, status, output)

def ballot(number, current, output):
    """[key, kind] of each member: agreed, dissented, withheld or absent (A9)."""
    rows = []
    for row in current["members"]:
        place = (number, row[0])
        kind = "agreed"
        if place not in commits:
            kind = "absent"
        elif place not in reveals:
            kind = "withheld"
        elif output is not None:
            shown = reveals[place]
            if any([abs(shown[index] - output[index]) > allowed(current, output[index]) for index in range(len(output))]):
                kind = "dissented"
                Dissented(number=number, validator=row[0], output=shown)
        rows.append([row[0], kind])
    return rows

def call_back(number, current, status, output):
    # Whoever reveals last pays: with less gas the callback could be made to fail on purpose.
    assert gas_left() > CALLBACK_GAS + FINISH_GAS, "send with more gas: the callback runs in this call"
    answer = {"status": status, "value": None, "outputs": [], "margin": dec(allowed(current, 0 if output is None else output[0])) * current["scale_num"] / current["scale_den"]}
    if output is not None:
        answer["outputs"] = [dec(value) * current["scale_num"] / current["scale_den"] for value in output]
        answer["value"] = answer["outputs"][0]
    found = try_call(current["contract"], current["callback"], {"number": number, "answer": answer}, CALLBACK_GAS)
    CalledBack(number=number, contract=current["contract"], ok=found[0], code="" if found[0] else found[1])

@view
def status(number: int) -> value:
    return requests.get(number)

@view
def waiting(after: int | None, count: int) -> list:
    return open.page(after, count)

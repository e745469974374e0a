"""Committees of attested models: who computes one, within which tolerance, and who did (A2, A6 and A9).

The rules are in docs/protocol.md. Only `predictions` opens and closes requests here.
"""
import identity

committees = Map(key=bytes, value=dict)
measured = Map(key=tuple, value=int)
records = Map(key=bytes, value=dict)
keys = Map(key=bytes, value=bytes)
Appointed = Event(model=bytes, members=int, tolerance=int, indexed=("model",))
Measured = Event(model=bytes, divergence=int, status=str, indexed=("model",))

MEMBERS_MAX = 32
OUTPUTS_MAX = 16
OPEN_MAX = 64
PATIENCE_MAX = 10000
DIVERGENCE_MAX = 4611686018427387904
TOLERANCE_FACTOR = 10
RELATIVE_MAX = 100000


@export(role="modeler")
def appoint(model_id: bytes, members: list, tolerance: int, patience: int, sealed: bool, relative: int = 0):
    """The model's organisation names the committee, the tolerance and the blocks of a phase.

    Values may differ by `tolerance` units plus `relative` millionths of the output.
    """
    found = call("models", "package", {"model_id": model_id})
    assert found is not None and found["class"] == "attested", "no attested model has this id"
    assert organisation_of(found["proposer"]) == ctx.org, "only the proposer's organisation appoints"
    assert found["outputs"] <= OUTPUTS_MAX, "an attested model has at most 16 outputs"
    assert 1 <= len(members) and len(members) <= MEMBERS_MAX, "a committee has 1 to 32 members"
    for index, key in enumerate(members):
        assert is_validator(key), "members are validators"
        assert index == 0 or members[index - 1] < key, "members ascend, each once"
    assert TOLERANCE_FACTOR <= tolerance and tolerance < DIVERGENCE_MAX, "the tolerance is at least ten units"
    assert 0 <= relative and relative <= RELATIVE_MAX, "the relative tolerance is at most a tenth"
    assert 1 <= patience and patience <= PATIENCE_MAX, "patience is 1 to 10000 blocks"
    former = committees.get(model_id, {"term": 0, "open": 0})
    committees[model_id] = {
        "members": members, "tolerance": tolerance, "relative": relative, "patience": patience, "sealed": sealed, "open": former["open"],
        "term": former["term"] + 1, "status": "MEASURING", "divergence": 0, "height": ctx.height,
    }
    Appointed(model=model_id, members=len(members), tolerance=tolerance)


@export
def measure(model_id: bytes, term: int, divergence: int):
    """A member says how far its own outputs are from the golden ones, at most (A2)."""
    found = committees[model_id]
    assert ctx.sender in found["members"], "only a member of the committee measures"
    assert found["term"] == term, "another committee was appointed since"
    assert (model_id, term, ctx.sender) not in measured, "this member has measured already"
    assert 0 <= divergence and divergence < DIVERGENCE_MAX, "a divergence is no negative number"
    measured[(model_id, term, ctx.sender)] = divergence
    rows = []
    weights = identity.weights_of(accounts=found["members"])
    for row in weights:
        if (model_id, term, row[0]) in measured:
            rows.append([measured[(model_id, term, row[0])], row[1]])
    total = sum([row[1] for row in weights])
    if found["status"] == "MEASURING" and sum([row[1] for row in rows]) * 3 > total * 2:
        # A third of the weight may lie: the largest value that is left after it is taken away.
        found["divergence"] = at_weight(sorted(rows), sum([row[1] for row in rows]) - (total - 1) // 3 - 1)
        enough = found["tolerance"] >= TOLERANCE_FACTOR * max(1, found["divergence"])
        found["status"] = "READY" if enough else "REFUSED"
        committees[model_id] = found
    Measured(model=model_id, divergence=divergence, status=found["status"])


def at_weight(rows, place):
    """The value on which the unit of weight number `place` stands, in ascending rows."""
    passed = 0
    for row in rows:
        passed += row[1]
        if place < passed:
            return row[0]
    return rows[len(rows) - 1][0]


@view
def verdict(shown: list, total: int) -> list:
    """Lower weighted median, trimmed low and high of each output of rows [output, weight] (A7)."""
    revealed, faulty = sum([row[1] for row in shown]), (total - 1) // 3
    found = [[], [], []]
    for index in range(len(shown[0][0])):
        rows = sorted([[row[0][index], row[1]] for row in shown])
        for kind, place in enumerate(((revealed - 1) // 2, faulty, revealed - faulty - 1)):
            found[kind].append(at_weight(rows, place))
    return found


@export
def enrol(sealing_key: bytes):
    """A validator says to which X25519 key inputs are sealed for it; the old one is forgotten."""
    assert is_validator(ctx.sender), "only a validator enrols"
    assert len(sealing_key) == 32, "a sealing key has 32 bytes"
    keys[ctx.sender] = sealing_key


@export
def admit(model_id: bytes) -> dict:
    """`predictions` opens a request; gives the committee and [key, weight] of its members now (A6)."""
    assert ctx.caller == "predictions", "only the standard contract opens requests"
    found = committees[model_id]
    assert found["status"] == "READY", "the committee is not ready"
    assert found["open"] < OPEN_MAX, "too many requests are open"
    found["open"] += 1
    committees[model_id] = found
    found["weights"] = identity.weights_of(accounts=found["members"])
    return found


@export
def dismiss(model_id: bytes, ballot: list, is_passed: bool):
    """`predictions` closes a request: rows [key, kind] say who agreed, dissented, withheld or was absent (A9)."""
    assert ctx.caller == "predictions", "only the standard contract closes requests"
    found = committees[model_id]
    found["open"] -= 1
    committees[model_id] = found
    for row in ballot:
        if is_passed or row[1] == "absent" or row[1] == "withheld":
            count = records.get(row[0], {"agreed": 0, "dissented": 0, "withheld": 0, "absent": 0})
            count[row[1]] += 1
            records[row[0]] = count


@view
def committee(model_id: bytes) -> value:
    return committees.get(model_id)


@view
def record(account: bytes) -> value:
    return records.get(account)

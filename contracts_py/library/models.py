"""Registry of model packages: proposed, attested by validators, active, retired; aliases.

A package is signed by its publisher, a key of the proposer's organisation, unless the network was
founded with `allow_unsigned`. Each entry names what the model was made from: parents, run, data.
"""
import identity

packages = Map(key=bytes, value=dict)
aliases = Map(key=str, value=bytes)
history = Map(key=str, value=list)
attestations = Map(key=tuple, value=bool)
voters = Map(key=bytes, value=list)
tally = Map(key=bytes, value=dict)
usage = Map(key=str, value=dict)
unsigned = Var(bool, default=False)
Proposed = Event(model=bytes, name=str, indexed=("model",))
Attested = Event(model=bytes, validator=bytes, ok=bool, indexed=("model",))
Activated = Event(model=bytes, indexed=("model",))
Retired = Event(model=bytes, indexed=("model",))
AliasSet = Event(alias=str, model=bytes, indexed=("alias",))

HISTORY_MAX = 32
GAS_MAX = 50000000
PARENTS_MAX = 8
LINEAGE_MAX = 32
MODELS_PER_ORG_MAX = 16
BYTES_PER_ORG_MAX = 536870912


@init
def setup(allow_unsigned: bool = False):
    unsigned.set(allow_unsigned)


@export(role="modeler")
def propose(model_id: bytes, name: str, manifest_digest: bytes, blob: bytes, size: int, input_bytes: int, outputs: int, scale_num: int, scale_den: int, gas: int, kind: str, pieces: bytes = b"", publisher: bytes = b"", signature: bytes = b"", origin: value = None):
    """Announce a package. `pieces` is the Merkle root of its blob, `origin` holds parents, run, data."""
    assert model_id not in packages, "this model is registered"
    assert len(model_id) == 32 and len(blob) == 32 and len(manifest_digest) == 32, "digests have 32 bytes"
    assert 0 < len(name) and len(name) <= 64, "a name has 1 to 64 characters"
    assert kind == "exact" or kind == "attested", "kind is exact or attested"
    assert 0 < size and 0 < input_bytes and 0 < outputs, "sizes are positive"
    assert 0 < scale_num and 0 < scale_den, "the scale is positive"
    assert 0 <= gas and gas <= GAS_MAX, "gas is out of range"
    assert len(pieces) == 0 or len(pieces) == 32, "digests have 32 bytes"
    check_publisher(model_id, publisher, signature)
    made_from = checked_origin(model_id, origin if origin is not None else {})
    count_in(ctx.org, 1, size)
    packages[model_id] = {
        "name": name, "manifest_digest": manifest_digest, "blob": blob, "size": size, "input_bytes": input_bytes,
        "outputs": outputs, "scale_num": scale_num, "scale_den": scale_den, "gas": gas, "class": kind,
        "status": "PROPOSED", "proposer": ctx.sender, "height": ctx.height, "pieces": pieces,
        "publisher": publisher, "signature": signature, "parents": made_from["parents"], "run": made_from["run"], "data": made_from["data"],
    }
    tally[model_id] = {"ok": 0, "refused": 0}
    Proposed(model=model_id, name=name)


def check_publisher(model_id, publisher, signature):
    if len(signature) == 0 and unsigned.get():
        return
    assert len(signature) > 0, "signature: the package is unsigned, and this network asks for its publisher's signature"
    statement = encode(("andon/model-publisher", model_id))
    assert signature_is_valid(publisher, statement, signature), "signature: the publisher did not sign this model"
    assert organisation_of(publisher) == ctx.org, "signature: the publisher is no member of the proposer's organisation"


def checked_origin(model_id, origin):
    parents, run, data = origin.get("parents", []), origin.get("run", ""), origin.get("data", b"")
    assert type_of(parents) == "list" and type_of(run) == "str" and type_of(data) == "bytes", "origin is parents, run, data"
    assert len(parents) <= PARENTS_MAX, "a model has at most 8 parents"
    for index, parent in enumerate(parents):
        assert type_of(parent) == "bytes" and len(parent) == 32 and parent != model_id, "parents are ids of other models"
        assert parent not in parents[:index], "a parent stands twice"
    assert len(run) <= 128, "a run is named by at most 128 characters"
    assert len(data) == 0 or len(data) == 32, "digests have 32 bytes"
    return {"parents": parents, "run": run, "data": data}


def count_in(org, models, size):
    """Book what an organisation's models that are not retired take."""
    taken = usage.get(org, {"models": 0, "bytes": 0})
    taken["models"] += models
    taken["bytes"] += size
    assert taken["models"] <= MODELS_PER_ORG_MAX, "quota: the organisation has 16 models; retire one"
    assert taken["bytes"] <= BYTES_PER_ORG_MAX, "quota: the organisation's packages take 512 MiB; retire one"
    usage[org] = taken


@export
def attest(model_id: bytes, ok: bool):
    """A validator says whether the golden vectors held on its own backend. The weights of today count, so it may repeat itself."""
    assert is_validator(ctx.sender), "only a validator attests"
    found, listed, count = packages[model_id], voters.get(model_id, []), {"ok": 0, "refused": 0}
    said = attestations.get((model_id, ctx.sender))
    assert said is None or (said == ok and found["status"] == "PROPOSED"), "this validator has attested already"
    attestations[(model_id, ctx.sender)] = ok
    if ctx.sender not in listed:
        listed.append(ctx.sender)
    rows = identity.weights_of(accounts=listed)
    voters[model_id] = [row[0] for row in rows]
    for row in rows:
        count["ok" if attestations[(model_id, row[0])] else "refused"] += row[1]
    total = identity.total_weight()
    tally[model_id] = count
    Attested(model=model_id, validator=ctx.sender, ok=ok)
    if found["status"] == "PROPOSED" and count["ok"] * 3 > total * 2:
        found["status"] = "ACTIVE"
        packages[model_id] = found
        Activated(model=model_id)


@export(role="modeler")
def set_alias(alias: str, model_id: bytes):
    found = packages[model_id]
    assert found["status"] == "ACTIVE", "an alias points to an active model"
    assert 0 < len(alias) and len(alias) <= 64, "an alias has 1 to 64 characters"
    if alias in aliases:
        owner = packages[aliases[alias]]["proposer"]
        assert organisation_of(owner) == ctx.org, "the alias belongs to another organisation"
    past = history.get(alias, [])
    if len(past) >= HISTORY_MAX:
        past = past[1:]
    past.append(model_id)
    history[alias] = past
    aliases[alias] = model_id
    AliasSet(alias=alias, model=model_id)


@export(role="modeler")
def roll_back(alias: str):
    """Point the alias to the model that it named before."""
    past = history[alias]
    assert organisation_of(packages[aliases[alias]]["proposer"]) == ctx.org, "the alias belongs to another organisation"
    assert len(past) >= 2, "there is nothing to roll back to"
    former = past[len(past) - 2]
    assert packages[former]["status"] == "ACTIVE", "the former model is not active"
    history[alias] = past[: len(past) - 1]
    aliases[alias] = former
    AliasSet(alias=alias, model=former)


@export(role="modeler")
def retire(model_id: bytes):
    found = packages[model_id]
    assert organisation_of(found["proposer"]) == ctx.org, "only the proposer's organisation retires a model"
    assert found["status"] != "RETIRED", "this model is retired"
    count_in(ctx.org, -1, -found["size"])
    found["status"] = "RETIRED"
    packages[model_id] = found
    Retired(model=model_id)


@view
def package(model_id: bytes) -> value:
    return packages.get(model_id)


@view
def resolve(alias: str) -> value:
    return aliases.get(alias)


@view
def listing(after: value, count: int) -> list:
    return packages.page(after, count)


@view
def votes(model_id: bytes) -> dict:
    return tally[model_id]


@view
def taken(org: str) -> dict:
    return usage.get(org, {"models": 0, "bytes": 0})


@view
def lineage(model_id: bytes) -> list:
    """What the model was made from: its ancestors, nearest first, at most 32 with itself."""
    order = [model_id]
    rows = []
    for place in range(LINEAGE_MAX):
        if place >= len(order):
            break
        found = packages.get(order[place])
        if found is None:
            rows.append({"model_id": order[place], "name": None, "status": "UNKNOWN", "parents": [], "run": "", "data": b""})
            continue
        rows.append({
            "model_id": order[place], "name": found["name"], "status": found["status"], "parents": found["parents"],
            "run": found["run"], "data": found["data"],
        })
        for parent in found["parents"]:
            if parent not in order and len(order) < LINEAGE_MAX:
                order.append(parent)
    return rows

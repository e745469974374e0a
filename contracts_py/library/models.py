"""Registry of model packages: proposed, attested by validators, active, retired; aliases."""
import identity

packages = Map(key=bytes, value=dict)
aliases = Map(key=str, value=bytes)
history = Map(key=str, value=list)
attestations = Map(key=tuple, value=bool)
tally = Map(key=bytes, value=dict)
Proposed = Event(model=bytes, name=str, indexed=("model",))
Attested = Event(model=bytes, validator=bytes, ok=bool, indexed=("model",))
Activated = Event(model=bytes, indexed=("model",))
Retired = Event(model=bytes, indexed=("model",))
AliasSet = Event(alias=str, model=bytes, indexed=("alias",))

HISTORY_MAX = 32
GAS_MAX = 50000000


@export(role="modeler")
def propose(model_id: bytes, name: str, manifest_digest: bytes, blob: bytes, size: int, input_bytes: int, outputs: int, scale_num: int, scale_den: int, gas: int, kind: str):
    assert model_id not in packages, "this model is registered"
    assert len(model_id) == 32 and len(blob) == 32 and len(manifest_digest) == 32, "digests have 32 bytes"
    assert 0 < len(name) and len(name) <= 64, "a name has 1 to 64 characters"
    assert kind == "exact" or kind == "attested", "kind is exact or attested"
    assert 0 < size and 0 < input_bytes and 0 < outputs, "sizes are positive"
    assert 0 < scale_num and 0 < scale_den, "the scale is positive"
    assert 0 <= gas and gas <= GAS_MAX, "gas is out of range"
    packages[model_id] = {
        "name": name, "manifest_digest": manifest_digest, "blob": blob, "size": size, "input_bytes": input_bytes,
        "outputs": outputs, "scale_num": scale_num, "scale_den": scale_den, "gas": gas, "class": kind,
        "status": "PROPOSED", "proposer": ctx.sender, "height": ctx.height,
    }
    tally[model_id] = {"ok": 0, "refused": 0}
    Proposed(model=model_id, name=name)


@export
def attest(model_id: bytes, ok: bool):
    """A validator says whether the package's golden vectors held on its own backend."""
    assert is_validator(ctx.sender), "only a validator attests"
    found = packages[model_id]
    assert (model_id, ctx.sender) not in attestations, "this validator has attested already"
    attestations[(model_id, ctx.sender)] = ok
    weight = identity.weight_of(account=ctx.sender)
    total = identity.total_weight()
    count = tally[model_id]
    if ok:
        count["ok"] += weight
    else:
        count["refused"] += weight
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

"""Private payloads: who may read, who has opened what for which purpose, and proof of purge.

The payload itself is off chain: sealed to the encryption keys of its readers and kept by the nodes
that its owner names. The chain has its id (the digest of the sealed envelope) and a commitment to
the content, which its owner can open later. A payload without readers may be the input of an
attested model, sealed to its committee. A node hands the envelope to a member only after that
member has said on chain that it opens it, so the audit is complete for what nodes deliver. After
an order to purge every keeper's node signs that it holds the envelope no more.
"""
import identity

keys = Map(key=str, value=dict)
payloads = Map(key=bytes, value=dict)
grants = Map(key=tuple, value=dict)
openings = Map(key=tuple, value=dict)
purges = Map(key=tuple, value=dict)
asked = Map(key=int, value=dict)
KeyRegistered = Event(org=str, key=bytes, version=int, indexed=("org",))
Stored = Event(payload=bytes, owner=str, readers=list, indexed=("payload", "owner"))
Granted = Event(payload=bytes, org=str, by=bytes, indexed=("payload", "org"))
Withdrawn = Event(payload=bytes, org=str, by=bytes, indexed=("payload", "org"))
Opened = Event(payload=bytes, org=str, account=bytes, purpose=str, indexed=("payload", "org"))
PurgeOrdered = Event(payload=bytes, owner=str, indexed=("payload",))
Asked = Event(payload=bytes, org=str, account=bytes, number=int, purpose=str, indexed=("payload", "org"))
Answered = Event(payload=bytes, number=int, status=str, indexed=("payload",))
Purged = Event(payload=bytes, node=bytes, left=int, indexed=("payload",))

READERS_MAX = 32
KEEPERS_MAX = 32
SEALED_BYTES = 80


@export(role="admin")
def register_key(key: bytes) -> int:
    """Admins set the encryption key (X25519) of their organisation; what is sealed already stays so."""
    assert len(key) == 32, "an encryption key has 32 bytes"
    found = keys.get(ctx.org)
    version = 1 if found is None else found["version"] + 1
    keys[ctx.org] = {"key": key, "version": version, "height": ctx.height}
    KeyRegistered(org=ctx.org, key=key, version=version)
    return version


@export(role=("operator", "admin"))
def store(payload: bytes, commitment: bytes, size: int, readers: list, keepers: list):
    """Members announce a payload before they hand it to the nodes `keepers`."""
    assert len(payload) == 32 and len(commitment) == 32, "id and commitment are digests"
    assert payload not in payloads, "this payload is stored"
    assert 0 < size, "a payload has a size"
    assert len(readers) <= READERS_MAX, "at most 32 readers"
    assert 0 < len(keepers) and len(keepers) <= KEEPERS_MAX, "1 to 32 keepers"
    for org in readers:
        assert org in keys, "a reader has no encryption key"
        grants[payload, org] = {"sealed": b"", "height": ctx.height}
    seen = {}
    for node in keepers:
        assert type_of(node) == "bytes" and len(node) == 32, "a keeper is the key of a node"
        assert node not in seen, "a keeper stands twice"
        seen[node] = True
    payloads[payload] = {"owner": ctx.org, "by": ctx.sender, "commitment": commitment, "size": size, "keepers": keepers, "status": "STORED", "left": len(keepers), "height": ctx.height, "opened": 0}
    Stored(payload=payload, owner=ctx.org, readers=readers)


def owned(payload: bytes) -> dict:
    found = payloads.get(payload)
    assert found is not None, "unknown payload"
    assert found["owner"] == ctx.org, "only its owner decides about a payload"
    assert found["status"] == "STORED", "this payload is purged"
    return found


@export(role=("operator", "admin"))
def grant(payload: bytes, org: str, sealed: bytes):
    """Its owner lets one more organisation read: the content key sealed to that organisation."""
    owned(payload)
    assert len(sealed) == SEALED_BYTES, "a sealed content key has 80 bytes"
    assert org in keys, "the reader has no encryption key"
    grants[payload, org] = {"sealed": sealed, "height": ctx.height}
    Granted(payload=payload, org=org, by=ctx.sender)


@export(role=("operator", "admin"))
def withdraw(payload: bytes, org: str):
    """Its owner has the nodes deliver no more to an organisation; what it has, it keeps."""
    owned(payload)
    grants.remove((payload, org))
    Withdrawn(payload=payload, org=org, by=ctx.sender)


@export
def open(payload: bytes, purpose: str):
    """A member of a reading organisation says that it opens a payload, and what for."""
    found = payloads.get(payload)
    assert found is not None and found["status"] == "STORED", "no such payload"
    assert identity.membership(account=ctx.sender) is not None and (payload, ctx.org) in grants, "your organisation is no reader of this payload"
    assert 0 < len(purpose) and len(purpose) <= 200, "a purpose has 1 to 200 characters"
    openings[payload, ctx.sender] = {"org": ctx.org, "height": ctx.height, "purpose": purpose}
    found["opened"] += 1
    payloads[payload] = found
    Opened(payload=payload, org=ctx.org, account=ctx.sender, purpose=purpose)


@export(role=("operator", "admin"))
def ask(payload: bytes, model: str, purpose: str) -> int:
    """Its owner has the committee of an attested model predict on a payload sealed to it; gives the request's number."""
    found = owned(payload)
    assert 0 < len(purpose) and len(purpose) <= 200, "a purpose has 1 to 200 characters"
    number = request(model, payload + found["commitment"], "answered")
    asked[number] = {"payload": payload, "org": ctx.org, "by": ctx.sender, "model": model, "purpose": purpose, "height": ctx.height, "status": "OPEN", "outputs": [], "margin": None}
    found["opened"] += 1
    payloads[payload] = found
    Asked(payload=payload, org=ctx.org, account=ctx.sender, number=number, purpose=purpose)
    return number


@export
def answered(number: int, answer: dict):
    """The committee has decided: the outputs are public, the input stays sealed."""
    assert ctx.caller == "predictions", "only the standard contract answers"
    found = asked[number]
    found["status"] = answer["status"]
    found["outputs"] = answer["outputs"]
    found["margin"] = answer["margin"]
    asked[number] = found
    Answered(payload=found["payload"], number=number, status=answer["status"])


@view
def answer_of(number: int) -> value:
    return asked.get(number)


@view
def may_fetch(payload: bytes, account: bytes) -> bool:
    """What a node asks before it hands an envelope out."""
    found = payloads.get(payload)
    opening = openings.get((payload, account))
    if found is None or found["status"] != "STORED" or opening is None:
        return False
    return opening["org"] == organisation_of(account) and (payload, opening["org"]) in grants


@export(role="admin")
def order_purge(payload: bytes):
    """An admin of its owner orders all keepers to delete the envelope."""
    found = owned(payload)
    found["status"] = "PURGING"
    found["ordered"] = ctx.height
    payloads[payload] = found
    PurgeOrdered(payload=payload, owner=ctx.org)


@export
def confirm_purge(payload: bytes, node: bytes, signature: bytes) -> int:
    """Anybody hands in a keeper's signed statement that it holds the envelope no more."""
    found = payloads.get(payload)
    assert found is not None and found["status"] == "PURGING", "no purge of this payload is open"
    assert node in found["keepers"], "this node keeps no copy"
    assert (payload, node) not in purges, "this node has confirmed"
    statement = encode(("andon/private-purge", ctx.chain_id, payload))
    assert signature_is_valid(node, statement, signature), "the statement is not signed by this node"
    purges[payload, node] = {"signature": signature, "height": ctx.height}
    found["left"] -= 1
    if found["left"] == 0:
        found["status"] = "PURGED"
    payloads[payload] = found
    Purged(payload=payload, node=node, left=found["left"])
    return found["left"]


@view
def payload(identity: bytes) -> value:
    return payloads.get(identity)

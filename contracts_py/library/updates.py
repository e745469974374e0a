"""What members send in a federated round: keys, dealt shares, commitments to updates, revealed shares.

Which phase a round is in, who may still act and when it moves on is contract `training`'s business.
A plant keeps its journal, so an honest one never says two different things in one place of a round.
"""
import conduct
import training

keys = Map(key=tuple, value=dict)
dealings = Map(key=tuple, value=dict)
commits = Map(key=tuple, value=dict)
reveals = Map(key=tuple, value=list)

# Two shares with their salts and the tag of the seal; nothing is sealed to oneself, or to a bad key.
SEALED_SIZES = (0, 114)
# X25519 keys with which whatever is agreed is zero: nobody could seal to their owner, or mask with it.
SMALL_ORDER = (
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
)


@export
def announce(run: str, number: int, attempt: int, mask_key: bytes, seal_key: bytes, seed_digest: bytes):
    """A member announces the keys of this attempt; nothing is reused from another."""
    told = {"mask_key": mask_key, "seal_key": seal_key, "seed_digest": seed_digest}
    if contradicts(run, keys.get((run, number, attempt, ctx.sender)), told):
        return
    training.entered(run=run, number=number, attempt=attempt, phase="KEYS", field="announced")
    assert len(mask_key) == 32 and len(seal_key) == 32 and len(seed_digest) == 32, "keys have 32 bytes"
    for key in (mask_key, seal_key):
        # The highest bit is ignored in an agreement and never set in a key that was made as it should be.
        assert key[31] < 128 and hex(key) not in SMALL_ORDER, "this is no key: a point of small order"
    keys[(run, number, attempt, ctx.sender)] = told
    training.noted(run=run, number=number, field="announced")


@export
def deal(run: str, number: int, attempt: int, sealed: list, seed_commitments: list, key_commitments: list):
    """A member deals shares of its seed and of its mask key: sealed to each of its group, and committed."""
    told = {"sealed": sealed, "seed": seed_commitments, "key": key_commitments}
    if contradicts(run, dealings.get((run, number, attempt, ctx.sender)), told):
        return
    found = training.entered(run=run, number=number, attempt=attempt, phase="DEAL", field="dealt")
    announced = found["round"]["announced"]
    assert ctx.sender in announced, "this member announced no keys"
    count = len(peers(found["run"], announced, ctx.sender))
    sizes = [len(sealed), len(seed_commitments), len(key_commitments)]
    assert sizes == [count, count, count], "one share for each member of the group"
    assert all([type_of(part) == "bytes" and len(part) in SEALED_SIZES for part in sealed]), "a sealed part has 114 bytes"
    committed = seed_commitments + key_commitments
    assert all([type_of(part) == "bytes" and len(part) == 32 for part in committed]), "a commitment has 32 bytes"
    dealings[(run, number, attempt, ctx.sender)] = told
    training.noted(run=run, number=number, field="dealt")


@export
def commit(run: str, number: int, attempt: int, blob: bytes, size: int, rho: int, norm: int):
    """Commit to an update (masked unless the mode is plain) and to the privacy it costs, in micro-rho.

    `norm` is the length of the update before it was shortened, in units. In grouped mode the lower
    median of a round's is the bound of the next round's updates.
    """
    told = {"blob": blob, "size": size, "rho": rho, "norm": norm}
    if contradicts(run, commits.get((run, number, attempt, ctx.sender)), told):
        return
    found = training.entered(run=run, number=number, attempt=attempt, phase="COMMIT", field="committed")
    plan = found["run"]
    assert plan["mode"] == "plain" or ctx.sender in found["round"]["dealt"], "this member dealt no shares"
    assert len(blob) == 32 and size == 4 * plan["elements"], "an update has four bytes an element"
    assert 0 <= norm and norm <= plan["encoding"][2], "a norm is within the encoding's limit"
    conduct.charge(run=run, number=number, rho=rho, budget=plan["rho_budget"], blob=blob if plan["mode"] == "plain" else b"")
    commits[(run, number, attempt, ctx.sender)] = told
    training.noted(run=run, number=number, field="committed")


@export
def reveal(run: str, number: int, attempt: int, shares: list):
    """Shares are [dealer, kind, share, salt]: kind 0 of a survivor's seed, 1 of a dropped member's key."""
    if contradicts(run, reveals.get((run, number, attempt, ctx.sender)), shares):
        return
    found = training.entered(run=run, number=number, attempt=attempt, phase="REVEAL", field="revealed")
    group = peers(found["run"], found["round"]["announced"], ctx.sender)
    assert ctx.sender in group, "this member announced no keys"
    holder = group.index(ctx.sender)
    assert len(shares) <= len(group), "at most one share of each member"
    for row in shares:
        assert type_of(row) == "list" and len(row) == 4, "a share has a dealer, a kind, a share and a salt"
        assert type_of(row[0]) == "int" and 0 <= row[0] and row[0] < len(group), "no such dealer"
        # Fixed lengths: else bytes could move from one part to the other under the same commitment.
        assert type_of(row[2]) == "bytes" and len(row[2]) == 33 and type_of(row[3]) == "bytes" and len(row[3]) == 16, "a share has 33 bytes, a salt 16"
        dealer = group[row[0]]
        kind = 0 if dealer in found["round"]["frozen"] else 1
        assert type_of(row[1]) == "int" and row[1] == kind, "a share of the wrong kind: never both of one member"
        dealt = dealings[(run, number, attempt, dealer)]
        committed = dealt["seed"][holder] if kind == 0 else dealt["key"][holder]
        if hash256(b"fl-share:" + row[2] + row[3]) != committed:
            conduct.fault(run=run, account=ctx.sender, reason="wrong share")
            return
    reveals[(run, number, attempt, ctx.sender)] = shares
    training.noted(run=run, number=number, field="revealed")


def contradicts(run, before, told):
    """Two different messages in one place, both signed by the sender: a proved fault."""
    if before is None or before == told:
        return False
    conduct.fault(run=run, account=ctx.sender, reason="two different messages")
    return True


def peers(plan, announced, account):
    """Members of the account's group that announced keys, in order."""
    own = [row[1] for row in plan["members"] if row[0] == account]
    return [row[0] for row in plan["members"] if row[1] == own[0] and row[0] in announced]


@view
def sent(run: str, number: int, attempt: int, account: bytes) -> dict:
    """What a member has sent in an attempt; None where it has not."""
    key = (run, number, attempt, account)
    return {"keys": keys.get(key), "dealing": dealings.get(key), "commit": commits.get(key), "reveal": reveals.get(key)}

"""Organisations, members with roles, validators; changed by votes of organisations."""
organisations = Map(key=str, value=dict)
members = Map(key=bytes, value=dict)
validators = Var(list)
next = Var(value)
policy = Var(dict)
proposals = Map(key=int, value=dict)
last_proposal = Var(int, default=0)
Proposed = Event(proposal=int, kind=str, org=str, indexed=("proposal",))
Approved = Event(proposal=int, org=str, indexed=("proposal",))
Enacted = Event(proposal=int, kind=str, indexed=("proposal",))

Rejected = Event(proposal=int, org=str, indexed=("proposal",))
Suspended = Event(account=bytes, org=str, indexed=("account",))

KINDS = (
    "add_member", "remove_member", "set_roles", "replace_key", "add_organisation", "remove_organisation",
    "set_validators", "set_policy",
)
NOTICE_BLOCKS = 2
OPEN_BLOCKS = 100000

@init
def setup(organisations: list, members: list, validators: list, policy: dict):
    assert len(organisations) > 0, "a network has organisations"
    for name in organisations:
        put_organisation(name, True)
    for entry in members:
        put_member(entry["account"], entry["org"], entry["roles"], True)
    store_validators(validators)
    store_policy(policy)

def store_validators(found: list):
    validators.set(checked_validators(found))
    next.set(None)

def store_policy(found: dict):
    share, deploying = found.get("approval_percent", 50), found.get("deploy_percent", 0)
    assert 50 <= share < 100, "approval_percent is 50 to 99: more than this share approves"
    assert 0 <= deploying < 100, "deploy_percent is 0 to 99: 0 asks for no approvals"
    roles = found.get("deploy_roles", ["deployer", "admin"])
    assert 0 < len(roles) and len(roles) <= 8, "1 to 8 roles may deploy"
    assert all([type_of(role) == "str" for role in roles]), "roles are text"
    policy.set({"approval_percent": share, "deploy_percent": deploying, "deploy_roles": roles})

def put_organisation(name: str, active: bool):
    assert 0 < len(name) and len(name) <= 64, "an organisation has a name of 1 to 64 characters"
    organisations[name] = {"name": name, "active": active}

def put_member(account: bytes, org: str, roles: list, active: bool):
    assert len(account) == 32, "an account is a key of 32 bytes"
    assert org in organisations, "unknown organisation"
    assert len(roles) <= 16, "at most 16 roles"
    for role in roles:
        assert role != "validator" and len(role) <= 32, "validators are set, not given a role"
    members[account] = {"org": org, "roles": roles, "active": active}

def checked_validators(found: list) -> list:
    assert 0 < len(found) and len(found) <= 128, "1 to 128 validators"
    keyed = []
    for entry in found:
        assert len(entry["key"]) == 32 and len(entry["node_key"]) == 32, "keys have 32 bytes"
        assert 1 <= entry["weight"] and entry["weight"] <= 4294967296, "weight is 1 to 2**32"
        assert entry["org"] in organisations, "unknown organisation"
        assert len(entry["address"]) <= 256, "address is too long"
        keyed.append(entry["key"])
    ordered = sorted(keyed)
    for index in range(1, len(ordered)):
        assert ordered[index] != ordered[index - 1], "a validator stands twice"
    return [entry for key in ordered for entry in found if entry["key"] == key]

def organisation_of_admin() -> str:
    assert has_role(ctx.sender, "admin"), "only an admin speaks for an organisation"
    return ctx.org

@export(role="admin")
def propose(kind: str, arguments: dict) -> int:
    assert kind in KINDS, "unknown kind of proposal"
    number = last_proposal.get() + 1
    last_proposal.set(number)
    org = organisation_of_admin()
    proposals[number] = {"kind": kind, "arguments": arguments, "approvals": [org], "rejections": [], "open": True, "height": ctx.height}
    Proposed(proposal=number, kind=kind, org=org)
    enact_if_approved(number)
    return number

@export(role="admin")
def approve(proposal: int):
    found = undecided(proposal)
    org = organisation_of_admin()
    assert org not in found["approvals"], "your organisation has approved already"
    found["rejections"] = [other for other in found["rejections"] if other != org]
    found["approvals"].append(org)
    proposals[proposal] = found
    Approved(proposal=proposal, org=org)
    enact_if_approved(proposal)

def undecided(proposal: int) -> dict:
    found = proposals[proposal]
    assert found["open"], "this proposal is decided"
    assert ctx.height <= found["height"] + OPEN_BLOCKS, "this proposal is too old"
    return found

@export(role="admin")
def reject(proposal: int):
    """An organisation that has not approved says no; it may still change its mind."""
    found = undecided(proposal)
    org = organisation_of_admin()
    assert org not in found["approvals"] and org not in found["rejections"], "your organisation has voted already"
    found["rejections"].append(org)
    active = active_organisations()
    left = len([name for name in active if name not in found["rejections"]])
    found["open"] = left * 100 > len(active) * policy.get()["approval_percent"]
    proposals[proposal] = found
    Rejected(proposal=proposal, org=org)

@export(role="admin")
def suspend(account: bytes):
    """An admin takes a key of the own organisation out of use at once; a vote brings it back."""
    found = members[account]
    assert found["org"] == organisation_of_admin(), "that account belongs to another organisation"
    put_member(account, found["org"], found["roles"], False)
    Suspended(account=account, org=found["org"])

@export(role="admin")
def withdraw(proposal: int):
    found = proposals[proposal]
    assert found["open"] and found["approvals"][0] == organisation_of_admin(), "only its author withdraws an open proposal"
    found["open"] = False
    proposals[proposal] = found

def active_organisations() -> list:
    return [entry[0] for entry in organisations.page(None, 256) if entry[1]["active"]]

def enact_if_approved(number: int):
    found = proposals[number]
    active = active_organisations()
    approvals = len([org for org in found["approvals"] if org in active])
    if approvals * 100 > len(active) * policy.get()["approval_percent"]:
        found["open"] = False
        proposals[number] = found
        enact(found["kind"], found["arguments"])
        Enacted(proposal=number, kind=found["kind"])

def enact(kind: str, given: dict):
    if kind == "add_member" or kind == "set_roles":
        put_member(given["account"], given["org"], given["roles"], True)
    elif kind == "remove_member":
        found = members[given["account"]]
        put_member(given["account"], found["org"], found["roles"], False)
    elif kind == "replace_key":
        move_member(given["account"], given["new_account"])
    elif kind == "set_policy":
        store_policy(given)
    elif kind == "add_organisation":
        put_organisation(given["name"], True)
    elif kind == "remove_organisation":
        assert given["name"] in organisations, "unknown organisation"
        for entry in validators.get():
            assert entry["org"] != given["name"], "change the validators first"
        put_organisation(given["name"], False)
    else:
        assert given["height"] >= ctx.height + NOTICE_BLOCKS, "a new set needs notice of two blocks"
        next.set({"height": given["height"], "validators": checked_validators(given["validators"])})

def move_member(old: bytes, new: bytes):
    found = members[old]
    assert new not in members, "that account exists"
    put_member(new, found["org"], found["roles"], True)
    put_member(old, found["org"], [], False)

@export
def rotate_key(account: bytes):
    """A member moves its membership to a new key."""
    assert members[ctx.sender]["active"], "this member is not active"
    move_member(ctx.sender, account)

@view
def weight_of(account: bytes) -> int:
    for entry in validators.get():
        if entry["key"] == account:
            return entry["weight"]
    return 0

@view
def weights_of(accounts: list) -> list:
    """[account, weight] of those in the list that have a vote."""
    return [[entry["key"], entry["weight"]] for entry in validators.get() if entry["key"] in accounts]

@view
def total_weight() -> int:
    return sum([entry["weight"] for entry in validators.get()])

@view
def membership(account: bytes) -> value:
    return members.get(account)

@view
def proposed(number: int) -> value:
    return proposals.get(number)

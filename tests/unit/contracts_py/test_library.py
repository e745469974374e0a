"""The standard contracts on the engine of the node: what they keep, refuse and report."""

from __future__ import annotations

import pytest

from andon.core.codec import Dec, Key, Value, encode_value
from andon.core.state_key import state_key
from contracts_py.engine import Engine, Prediction
from contracts_py.library import names, source
from tests.unit.contracts_py.world import ALICE, BOB, CAROL, World

UNIT = 10**18
KEYS = [bytes([number]) * 32 for number in (1, 2, 3, 4)]
MODEL = b"m" * 32


def validator(key: bytes, weight: int = 1) -> dict[Key, Value]:
    return {
        "key": key, "weight": weight, "org": "org-1", "address": "host:1", "node_key": key[::-1],
    }  # fmt: skip


def network() -> World:
    world = World()
    members: list[Value] = []
    for account, org, role in (
        (ALICE, "org-1", "admin"),
        (BOB, "org-2", "admin"),
        (CAROL, "org-3", "modeler"),
    ):
        members.append({"account": account, "org": org, "roles": [role]})
        world.host.roles[account] = (role,)
        world.host.organisations[account] = org
    world.put(
        "identity",
        source("identity"),
        organisations=["org-1", "org-2", "org-3"],
        members=members,
        validators=[validator(key) for key in KEYS],
        policy={},
    )
    for key in KEYS:
        world.host.roles[key] = ("validator",)
    return world.put("models", source("models"), allow_unsigned=True)


@pytest.mark.parametrize("name", names())
def test_every_standard_contract_is_in_the_language(name: str) -> None:
    contract = Engine().check(source(name))
    assert contract.document
    assert any(method.kind in ("export", "view") for method in contract.methods.values())


def test_identity_keeps_the_state_that_the_ledger_reads() -> None:
    world = network()
    assert world.state("identity", "organisations", "org-1") == {"name": "org-1", "active": True}
    assert world.state("identity", "members", CAROL) == {
        "org": "org-3", "roles": ["modeler"], "active": True,
    }  # fmt: skip
    validators = world.state("identity", "validators")
    assert isinstance(validators, list)
    assert [entry["key"] for entry in validators if isinstance(entry, dict)] == KEYS
    assert world.state("identity", "next") is None


def test_more_than_half_of_the_organisations_decide() -> None:
    world = network()
    new: dict[Key, Value] = {"account": b"n" * 32, "org": "org-2", "roles": ["operator"]}
    number = world.value("identity", "propose", kind="add_member", arguments=new)
    assert world.state("identity", "members", b"n" * 32) is None
    assert world.code("identity", "approve", proposal=number) == "E_ASSERT"
    world.value("identity", "approve", sender=BOB, proposal=number)
    assert world.state("identity", "members", b"n" * 32) == {
        "org": "org-2", "roles": ["operator"], "active": True,
    }  # fmt: skip
    assert world.code("identity", "approve", sender=BOB, proposal=number) == "E_ASSERT"


def test_only_admins_propose() -> None:
    args: dict[str, Value] = {"kind": "add_organisation", "arguments": {"name": "org-9"}}
    assert network().code("identity", "propose", sender=CAROL, **args) == "E_ACCESS"


@pytest.mark.parametrize(
    "validators",
    [
        [],
        [validator(KEYS[0]), validator(KEYS[0])],
        [validator(KEYS[0], 0)],
        [validator(KEYS[0], 2**32 + 1)],
        [validator(b"short")],
    ],
)
def test_an_impossible_validator_set_is_never_scheduled(validators: list[Value]) -> None:
    world = network()
    args: dict[Key, Value] = {"height": 100, "validators": validators}
    number = world.value("identity", "propose", kind="set_validators", arguments=args)
    assert world.code("identity", "approve", sender=BOB, proposal=number) == "E_ASSERT"
    assert world.state("identity", "next") is None


def test_a_new_validator_set_is_scheduled_sorted_by_key() -> None:
    world = network()
    wanted: list[Value] = [validator(KEYS[2]), validator(KEYS[0])]
    args: dict[Key, Value] = {"height": 100, "validators": wanted}
    number = world.value("identity", "propose", kind="set_validators", arguments=args)
    world.value("identity", "approve", sender=BOB, proposal=number)
    assert world.state("identity", "next") == {
        "height": 100, "validators": [validator(KEYS[0]), validator(KEYS[2])],
    }  # fmt: skip


def test_organisations_that_reject_close_what_cannot_be_carried_any_more() -> None:
    world = network()
    world.host.roles[CAROL] = ("admin",)
    new: dict[Key, Value] = {"account": b"n" * 32, "org": "org-2", "roles": []}
    number = world.value("identity", "propose", kind="add_member", arguments=new)
    world.value("identity", "reject", sender=BOB, proposal=number)
    assert world.code("identity", "reject", sender=BOB, proposal=number) == "E_ASSERT"
    assert world.code("identity", "reject", sender=ALICE, proposal=number) == "E_ASSERT"
    proposal = world.state("identity", "proposals", number)
    assert isinstance(proposal, dict)
    assert proposal["open"] is True
    world.value("identity", "reject", sender=CAROL, proposal=number)
    assert world.code("identity", "approve", sender=BOB, proposal=number) == "E_ASSERT"


def test_an_organisation_that_rejected_may_still_approve() -> None:
    world = network()
    new: dict[Key, Value] = {"account": b"n" * 32, "org": "org-2", "roles": []}
    number = world.value("identity", "propose", kind="add_member", arguments=new)
    world.value("identity", "reject", sender=BOB, proposal=number)
    world.value("identity", "approve", sender=BOB, proposal=number)
    assert world.state("identity", "members", b"n" * 32) is not None


def test_an_old_proposal_cannot_be_approved_any_more() -> None:
    world = network()
    args: dict[Key, Value] = {"name": "org-9"}
    number = world.value("identity", "propose", kind="add_organisation", arguments=args)
    world.height += 100_001
    assert world.code("identity", "approve", sender=BOB, proposal=number) == "E_ASSERT"


def test_an_admin_suspends_keys_of_the_own_organisation_only() -> None:
    world = network()
    assert world.code("identity", "suspend", account=CAROL) == "E_ASSERT"
    world.value("identity", "suspend", account=ALICE)
    member = world.state("identity", "members", ALICE)
    assert isinstance(member, dict)
    assert member["active"] is False


def test_a_lost_key_is_replaced_by_vote() -> None:
    world = network()
    new: dict[Key, Value] = {"account": CAROL, "new_account": b"n" * 32}
    number = world.value("identity", "propose", kind="replace_key", arguments=new)
    world.value("identity", "approve", sender=BOB, proposal=number)
    assert world.state("identity", "members", b"n" * 32) == {
        "org": "org-3", "roles": ["modeler"], "active": True,
    }  # fmt: skip
    old = world.state("identity", "members", CAROL)
    assert old == {"org": "org-3", "roles": [], "active": False}


@pytest.mark.parametrize(
    "policy",
    [
        {"approval_percent": 49},
        {"deploy_percent": 100},
        {"deploy_roles": []},
        {"deploy_roles": [1]},
    ],
)
def test_an_impossible_policy_is_never_in_force(policy: dict[Key, Value]) -> None:
    world = network()
    before = world.state("identity", "policy")
    number = world.value("identity", "propose", kind="set_policy", arguments=policy)
    assert world.code("identity", "approve", sender=BOB, proposal=number) == "E_ASSERT"
    assert world.state("identity", "policy") == before


def propose_model(world: World) -> None:
    world.value(
        "models", "propose", sender=CAROL, model_id=MODEL, name="rul", manifest_digest=b"d" * 32,
        blob=b"b" * 32, size=9, input_bytes=4, outputs=1, scale_num=1, scale_den=10, gas=500,
        kind="exact",
    )  # fmt: skip


def test_a_model_is_active_once_more_than_two_thirds_of_the_weight_attest() -> None:
    world = network()
    propose_model(world)
    assert world.code("models", "attest", sender=CAROL, model_id=MODEL, ok=True) == "E_ASSERT"
    for key, status in zip(KEYS, ("PROPOSED", "PROPOSED", "ACTIVE", "ACTIVE"), strict=True):
        world.value("models", "attest", sender=key, model_id=MODEL, ok=True)
        package = world.state("models", "packages", MODEL)
        assert isinstance(package, dict)
        assert package["status"] == status
    assert world.code("models", "attest", sender=KEYS[0], model_id=MODEL, ok=True) == "E_ASSERT"
    assert world.state("models", "attestations", (MODEL, KEYS[0])) is True


def set_validators(world: World, found: list[dict[Key, Value]]) -> None:
    """What the ledger does at the height of a new set."""
    listed: Value = [*found]
    world.host.state[state_key("identity", "validators")] = encode_value(listed)
    accounts = [entry["key"] for entry in found]
    for account in KEYS:
        world.host.roles[account] = ("validator",) if account in accounts else ()


def status_of(world: World) -> Value:
    package = world.state("models", "packages", MODEL)
    assert isinstance(package, dict)
    return package["status"]


def test_the_weights_of_today_count_for_a_model_and_an_attestation_may_be_repeated() -> None:
    world = network()
    propose_model(world)
    world.value("models", "attest", sender=KEYS[0], model_id=MODEL, ok=True)
    set_validators(world, [validator(key, 3 if key == KEYS[0] else 1) for key in KEYS])
    world.value("models", "attest", sender=KEYS[1], model_id=MODEL, ok=True)
    assert status_of(world) == "PROPOSED"
    assert world.value("models", "votes", model_id=MODEL) == {"ok": 4, "refused": 0}
    world.value("models", "attest", sender=KEYS[1], model_id=MODEL, ok=True)
    assert world.value("models", "votes", model_id=MODEL) == {"ok": 4, "refused": 0}
    assert world.code("models", "attest", sender=KEYS[1], model_id=MODEL, ok=False) == "E_ASSERT"
    # Two of those that have attested are all that is left: either says so again.
    set_validators(world, [validator(key) for key in KEYS[:2]])
    world.value("models", "attest", sender=KEYS[1], model_id=MODEL, ok=True)
    assert status_of(world) == "ACTIVE"


def test_who_left_the_validators_does_not_count_for_a_model() -> None:
    world = network()
    propose_model(world)
    for key in KEYS[:2]:
        world.value("models", "attest", sender=key, model_id=MODEL, ok=True)
    set_validators(world, [validator(key) for key in KEYS[1:]])
    world.value("models", "attest", sender=KEYS[2], model_id=MODEL, ok=True)
    assert status_of(world) == "PROPOSED"
    set_validators(world, [validator(key) for key in KEYS])
    world.value("models", "attest", sender=KEYS[0], model_id=MODEL, ok=True)
    assert status_of(world) == "ACTIVE"


def test_refusals_do_not_count_for_a_model() -> None:
    world = network()
    propose_model(world)
    for key in KEYS[:2]:
        world.value("models", "attest", sender=key, model_id=MODEL, ok=False)
    for key in KEYS[2:]:
        world.value("models", "attest", sender=key, model_id=MODEL, ok=True)
    package = world.state("models", "packages", MODEL)
    assert isinstance(package, dict)
    assert package["status"] == "PROPOSED"


def test_an_alias_names_active_models_only() -> None:
    world = network()
    propose_model(world)
    args: dict[str, Value] = {"alias": "turbofan-rul", "model_id": MODEL}
    assert world.code("models", "set_alias", sender=CAROL, **args) == "E_ASSERT"
    for key in KEYS[:3]:
        world.value("models", "attest", sender=key, model_id=MODEL, ok=True)
    world.value("models", "set_alias", sender=CAROL, **args)
    assert world.state("models", "aliases", "turbofan-rul") == MODEL
    world.value("models", "retire", sender=CAROL, model_id=MODEL)
    package = world.state("models", "packages", MODEL)
    assert isinstance(package, dict)
    assert package["status"] == "RETIRED"


def plant() -> World:
    world = World()
    world.host.roles[ALICE] = ("operator",)
    world.host.models["rul"] = lambda window: Prediction((window[0],), 1, 1, 100)
    world.put("scores", source("scores"))
    return world.put("maintenance", source("maintenance"), model="rul")


def test_an_alert_and_an_order_come_when_life_is_surely_short() -> None:
    world = plant()
    assert world.value("maintenance", "assess", machine="m1", window=b"\x64") == {
        "machine": "m1", "rul": Dec(100 * UNIT), "state": "HEALTHY", "verdict": "ABOVE",
        "drifting": False,
    }  # fmt: skip
    undecided = world.value("maintenance", "assess", machine="m1", window=b"\x1f")
    assert isinstance(undecided, dict)
    assert (undecided["verdict"], undecided["state"]) == ("UNDECIDED", "HEALTHY")
    worn = world.value("maintenance", "assess", machine="m1", window=b"\x05")
    assert isinstance(worn, dict)
    assert worn["state"] == "WORN"
    alerts = [fields for name, fields in world.events() if name == "Alert"]
    assert alerts == [{"machine": "m1", "rul": Dec(5 * UNIT), "height": 5}]
    order = world.state("maintenance", "orders", 1)
    assert isinstance(order, dict)
    assert (order["machine"], order["status"]) == ("m1", "OPEN")


def test_an_order_is_acknowledged_before_it_is_closed() -> None:
    world = plant()
    world.value("maintenance", "assess", machine="m1", window=b"\x05")
    assert world.code("maintenance", "close", order=1, failed=True) == "E_ASSERT"
    world.value("maintenance", "acknowledge", order=1)
    world.value("maintenance", "close", order=1, failed=True)
    machine = world.state("maintenance", "machines", "m1")
    assert isinstance(machine, dict)
    assert machine["state"] == "HEALTHY"


def test_many_machines_are_assessed_at_once() -> None:
    world = plant()
    states = world.value("maintenance", "assess_many", machines=["m1", "m2"], windows=b"\x05\x64")
    assert states == ["WORN", "HEALTHY"]


def test_only_operators_assess() -> None:
    world = plant()
    assert world.code("maintenance", "assess", sender=BOB, machine="m", window=b"x") == "E_ACCESS"


def coins() -> World:
    world = World().put("token", source("token"), title="kWh")
    world.host.roles[ALICE] = ("issuer",)
    world.value("token", "issue", target=ALICE, amount=100)
    return world


def test_units_are_neither_made_nor_lost_by_transfers() -> None:
    world = coins()
    world.value("token", "transfer", target=BOB, amount=30)
    world.value("token", "transfer", target=ALICE, amount=5)
    world.value("token", "burn", amount=10)
    balances = [world.value("token", "balance_of", account=who) for who in (ALICE, BOB)]
    assert balances == [60, 30]
    assert world.value("token", "total") == 90


@pytest.mark.parametrize("amount", [0, -1, 101])
def test_impossible_transfers_change_nothing(amount: int) -> None:
    assert coins().code("token", "transfer", target=BOB, amount=amount) == "E_ASSERT"


def test_a_spender_is_bound_by_the_allowance() -> None:
    world = coins()
    args: dict[str, Value] = {"owner": ALICE, "target": CAROL}
    assert world.code("token", "transfer_from", sender=BOB, **args, amount=1) == "E_ASSERT"
    world.value("token", "approve", spender=BOB, amount=40)
    world.value("token", "transfer_from", sender=BOB, **args, amount=25)
    assert world.code("token", "transfer_from", sender=BOB, **args, amount=16) == "E_ASSERT"
    assert world.code("token", "transfer_from", sender=BOB, **args, amount=-5) == "E_ASSERT"
    assert world.value("token", "allowance", owner=ALICE, spender=BOB) == 15
    assert world.value("token", "balance_of", account=CAROL) == 25


def test_only_issuers_issue() -> None:
    assert coins().code("token", "issue", sender=BOB, target=BOB, amount=1) == "E_ACCESS"

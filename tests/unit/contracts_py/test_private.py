"""Private payloads on chain: who may read, who has opened, and how a purge is proved."""

import pytest

from andon.client.payloads import purge_message
from andon.core.codec import Value
from andon.core.keys import PrivateKey
from contracts_py.library import source
from tests.unit.contracts_py.test_library import validator
from tests.unit.contracts_py.world import ALICE, BOB, CAROL, World

PAYLOAD, NODES = b"p" * 32, [PrivateKey(bytes([number]) * 32) for number in (1, 2)]
ORGS = {ALICE: "org-1", BOB: "org-2", CAROL: "org-3"}


@pytest.fixture
def world() -> World:
    made = World()
    members: list[Value] = []
    for account, org in ORGS.items():
        made.host.roles[account], made.host.organisations[account] = ("admin", "operator"), org
        members.append({"account": account, "org": org, "roles": ["admin", "operator"]})
    made.put(
        "identity", source("identity"), organisations=list(ORGS.values()), members=members,
        validators=[validator(bytes(32))], policy={},
    )  # fmt: skip
    made.put("private", source("private"))
    for account in (ALICE, BOB, CAROL):
        assert made.value("private", "register_key", sender=account, key=account) == 1
    made.value("private", "store", **stored())
    return made


def stored(**changes: Value) -> dict[str, Value]:
    base: dict[str, Value] = {
        "payload": PAYLOAD, "commitment": b"c" * 32, "size": 9, "readers": ["org-2"],
        "keepers": [node.public for node in NODES],
    }  # fmt: skip
    return base | changes


def may_fetch(world: World, account: bytes) -> Value:
    return world.value("private", "may_fetch", payload=PAYLOAD, account=account)


def test_only_a_reader_who_said_so_may_fetch(world: World) -> None:
    assert may_fetch(world, BOB) is False
    world.value("private", "open", sender=BOB, payload=PAYLOAD, purpose="audit 7")
    assert may_fetch(world, BOB) is True
    assert world.code("private", "open", sender=CAROL, payload=PAYLOAD, purpose="x") == "E_ASSERT"
    assert world.code("private", "open", sender=BOB, payload=PAYLOAD, purpose="") == "E_ASSERT"
    assert (
        "Opened",
        {"payload": PAYLOAD, "org": "org-2", "account": BOB, "purpose": "audit 7"},
    ) in (world.events())


def test_its_owner_alone_grants_and_withdraws(world: World) -> None:
    grant: dict[str, Value] = {"payload": PAYLOAD, "org": "org-3", "sealed": bytes(80)}
    assert world.code("private", "grant", sender=BOB, **grant) == "E_ASSERT"
    world.value("private", "grant", **grant)
    world.value("private", "open", sender=CAROL, payload=PAYLOAD, purpose="claim")
    assert may_fetch(world, CAROL) is True
    world.value("private", "withdraw", payload=PAYLOAD, org="org-3")
    assert may_fetch(world, CAROL) is False


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"payload": b"short"},
        {"payload": b"q" * 32, "readers": ["org-9"]},
        {"payload": b"q" * 32, "readers": ["org-2"] * 33},
        {"payload": b"q" * 32, "keepers": []},
        {"payload": b"q" * 32, "keepers": [b"k" * 32, b"k" * 32]},
    ],
)
def test_what_makes_no_sense_is_not_stored(world: World, changes: dict[str, Value]) -> None:
    assert world.code("private", "store", **stored(**changes)) == "E_ASSERT"


def test_a_purge_is_proved_by_the_signature_of_every_keeper(world: World) -> None:
    def confirm(node: PrivateKey, signer: PrivateKey) -> dict[str, Value]:
        signature = signer.sign(purge_message("test", PAYLOAD))
        return {"payload": PAYLOAD, "node": node.public, "signature": signature}

    assert world.code("private", "confirm_purge", **confirm(NODES[0], NODES[0])) == "E_ASSERT"
    assert world.code("private", "order_purge", sender=BOB, payload=PAYLOAD) == "E_ASSERT"
    world.value("private", "open", sender=BOB, payload=PAYLOAD, purpose="x")
    world.value("private", "order_purge", payload=PAYLOAD)
    assert may_fetch(world, BOB) is False
    assert world.code("private", "confirm_purge", **confirm(NODES[0], NODES[1])) == "E_ASSERT"
    other = PrivateKey(b"\x09" * 32)
    assert world.code("private", "confirm_purge", **confirm(other, other)) == "E_ASSERT"
    assert world.value("private", "confirm_purge", **confirm(NODES[0], NODES[0])) == 1
    assert world.code("private", "confirm_purge", **confirm(NODES[0], NODES[0])) == "E_ASSERT"
    assert world.value("private", "confirm_purge", sender=CAROL, **confirm(NODES[1], NODES[1])) == 0
    found = world.value("private", "payload", identity=PAYLOAD)
    assert isinstance(found, dict)
    assert (found["status"], found["opened"]) == ("PURGED", 1)
    assert world.code("private", "open", sender=BOB, payload=PAYLOAD, purpose="x") == "E_ASSERT"

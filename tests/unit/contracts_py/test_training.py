"""Contract `training` alone: who may do what, when; the whole protocol is in tests/models."""

import hashlib

import pytest

from andon.core.codec import Value
from tests.models.federated.ledger import OWNER, Chain, Refused, create, plants, sight

MEMBERS = plants(4)
HERE: dict[str, Value] = {"run": "run", "number": 1, "attempt": 1}
KEYS: dict[str, Value] = {
    "mask_key": b"\x01" * 32,
    "seal_key": b"\x02" * 32,
    "seed_digest": b"\x03" * 32,
}


def opened(mode: str = "full", **changes: Value) -> Chain:
    chain = Chain.make(MEMBERS)
    create(chain, MEMBERS, mode=mode, **changes)
    return chain


def committed(chain: Chain, name: bytes, *, rho: int = 0, attempt: int = 1) -> None:
    blob = chain.publish(name)
    place: dict[str, Value] = {**HERE, "attempt": attempt}
    chain.call(name, "commit", blob=blob, size=20, rho=rho, **place)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"encoding": [16, 1 << 29, 1, 1]}, "below 2\\^31"),
        ({"encoding": [31, 1, 1, 1]}, "encoding"),
        ({"members": [[m, 0, 1] for m in MEMBERS[:2]]}, "3 to 256"),
        ({"members": [[m, 0, 1] for m in reversed(MEMBERS)]}, "ascending"),
        ({"members": [[MEMBERS[0], 0, 1], *([m, 0, 1] for m in MEMBERS[:3])]}, "twice"),
        ({"members": [[m, 0, 2] for m in MEMBERS]}, "weight"),
        ({"members": [[m, 1, 1] for m in MEMBERS]}, "groups"),
        ({"members": [[b"\x99" * 32, 0, 1], *([m, 0, 1] for m in MEMBERS)]}, "organisation"),
        ({"patience": 0}, "positive"),
        ({"state": b"short"}, "32 bytes"),
    ],
)
def test_a_run_that_cannot_work_is_refused_at_creation(
    changes: dict[str, Value], reason: str
) -> None:
    with pytest.raises(Refused, match=reason):
        opened(**changes)


def test_groups_have_at_least_three_members() -> None:
    chain = Chain.make(plants(6))
    with pytest.raises(Refused, match="at least three"):
        create(chain, plants(6), mode="grouped", groups=3)
    create(chain, plants(6), mode="grouped", groups=2)


def test_only_a_modeler_creates_and_only_the_owner_stops() -> None:
    chain = opened()
    with pytest.raises(Refused, match=r"E_ACCESS|role"):
        chain.call(MEMBERS[0], "stop", run="run")
    chain.host.roles[b"\x77" * 32] = ("modeler",)
    with pytest.raises(Refused, match="owner"):
        chain.call(b"\x77" * 32, "stop", run="run")
    chain.call(OWNER, "stop", run="run")
    with pytest.raises(Refused, match="not in this phase"):
        chain.call(MEMBERS[0], "announce", **HERE, **KEYS)


def test_members_announce_once_in_their_phase_before_the_deadline() -> None:
    chain = opened()
    chain.call(MEMBERS[0], "announce", **HERE, **KEYS)
    with pytest.raises(Refused, match="sent already"):
        chain.call(MEMBERS[0], "announce", **HERE, **KEYS)
    with pytest.raises(Refused, match="not a member"):
        chain.call(OWNER, "announce", **HERE, **KEYS)
    with pytest.raises(Refused, match="not in this phase"):
        chain.call(MEMBERS[1], "announce", **{**HERE, "attempt": 2}, **KEYS)
    with pytest.raises(Refused, match="not in this phase"):
        committed(chain, MEMBERS[1])
    chain.height += 11
    with pytest.raises(Refused, match="deadline has passed"):
        chain.call(MEMBERS[1], "announce", **HERE, **KEYS)


def dealt_round() -> Chain:
    """A full-mode round up to the reveal, in which the last member drops after dealing."""
    chain = opened()
    for name in MEMBERS:
        chain.call(name, "announce", **HERE, **KEYS)
    lists: list[Value] = [commitment(k) for k in range(4)]
    for name in MEMBERS:
        chain.call(
            name, "deal", sealed=[b""] * 4, seed_commitments=lists, key_commitments=lists, **HERE
        )
    for name in MEMBERS[:3]:
        committed(chain, name)
    chain.height += 11
    chain.call(MEMBERS[0], "advance", run="run")
    assert sight(chain).progress.phase == "REVEAL"
    return chain


def commitment(holder: int) -> bytes:
    content = b"fl-share:" + bytes([holder]) * 33 + bytes(16)
    return hashlib.sha256(b"andon/contract\0" + content).digest()


def shares(holder: int, kinds: tuple[int, ...]) -> list[Value]:
    return [[d, kind, bytes([holder]) * 33, bytes(16)] for d, kind in enumerate(kinds)]


def test_never_both_shares_of_one_member() -> None:
    chain = dealt_round()
    for kinds in ((0, 0, 0, 0), (1, 0, 0, 1), (1, 1, 1, 1)):
        with pytest.raises(Refused, match="wrong kind"):
            chain.call(MEMBERS[0], "reveal", shares=shares(0, kinds), **HERE)
    chain.call(MEMBERS[0], "reveal", shares=shares(0, (0, 0, 0, 1)), **HERE)


def test_a_wrong_share_suspends_its_holder_and_only_an_admin_reinstates() -> None:
    chain = dealt_round()
    chain.call(MEMBERS[1], "reveal", shares=shares(0, (0, 0, 0, 1)), **HERE)
    assert [e["account"] for e in chain.events("Suspended") if isinstance(e, dict)] == [MEMBERS[1]]
    with pytest.raises(Refused, match="suspended"):
        chain.call(MEMBERS[1], "reveal", shares=shares(1, (0, 0, 0, 1)), **HERE)
    with pytest.raises(Refused):
        chain.call(MEMBERS[2], "reinstate", account=MEMBERS[1])
    chain.call(OWNER, "reinstate", account=MEMBERS[1])
    chain.call(MEMBERS[1], "reveal", shares=shares(1, (0, 0, 0, 1)), **HERE)


def test_validators_suspend_by_more_than_two_thirds() -> None:
    chain = opened()
    for count, key in enumerate(chain.validators()[:3], start=1):
        chain.call(key, "accuse", run="run", account=MEMBERS[0], reason="dealt wrong secrets")
        assert len(chain.events("Suspended")) == (1 if count == 3 else 0)
    with pytest.raises(Refused, match="accuses"):
        chain.call(MEMBERS[1], "accuse", run="run", account=MEMBERS[0], reason="x")


def test_the_privacy_budget_is_kept_and_a_repeated_attempt_costs_nothing_more() -> None:
    chain = opened("plain", rho_budget=150)
    for name in MEMBERS[:2]:
        committed(chain, name, rho=100)
    chain.height += 11
    chain.call(MEMBERS[0], "advance", run="run")
    assert sight(chain).progress.attempt == 2
    committed(chain, MEMBERS[0], rho=100, attempt=2)
    spent = chain.view("privacy", run="run", account=MEMBERS[0])
    assert isinstance(spent, dict)
    assert spent["spent"] == 100
    with pytest.raises(Refused, match="budget is spent"):
        committed(chain, MEMBERS[1], rho=151, attempt=2)


def test_an_update_has_four_bytes_an_element() -> None:
    chain = opened("plain")
    with pytest.raises(Refused, match="four bytes"):
        chain.call(MEMBERS[0], "commit", blob=bytes(32), size=40, rho=0, **HERE)


def test_a_worse_model_is_rolled_back_and_a_better_one_kept() -> None:
    chain = opened("plain", tolerance=5)
    states = []
    for number, score in ((1, 100), (2, 90)):
        place: dict[str, Value] = {**HERE, "number": number}
        for name in MEMBERS:
            chain.call(name, "commit", blob=chain.publish(name), size=20, rho=0, **place)
        state = bytes([number]) * 32
        for key in chain.validators()[:3]:
            chain.call(
                key,
                "attest",
                state=state,
                blob=state,
                score=score,
                flags=[],
                contributions=[],
                **place,
            )
        run = chain.view("status", run="run")
        assert isinstance(run, dict)
        assert isinstance(run["run"], dict)
        states.append(run["run"]["state"])
    assert states == [b"\x01" * 32, b"\x01" * 32]
    kept = [e["kept"] for e in chain.events("Closed") if isinstance(e, dict)]
    assert kept == [True, False]


def test_three_failures_in_a_row_stop_the_run() -> None:
    chain = opened()
    for _ in range(3):
        chain.height += 11
        chain.call(MEMBERS[0], "advance", run="run")
    status = chain.view("status", run="run")
    assert isinstance(status, dict)
    assert isinstance(status["run"], dict)
    assert status["run"]["status"] == "STOPPED"
    with pytest.raises(Refused, match="has ended"):
        chain.call(MEMBERS[0], "advance", run="run")

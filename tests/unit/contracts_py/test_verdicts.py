"""Contract `verdicts`: which updates count as available, and who is blamed if one is not."""

import pytest

from andon.core.codec import Key, Value
from tests.models.federated.ledger import OWNER, Chain, Refused, create, hold, plants, sight

MEMBERS = plants(4)
HERE: dict[str, Value] = {"run": "run", "number": 1, "attempt": 1}


def committed(**conditions: Value) -> Chain:
    """A plain round in which all four have committed and no validator has said anything."""
    chain = Chain.make(MEMBERS)
    chain.is_holding = False
    words: dict[Key, Value] = {**conditions}
    create(chain, MEMBERS, mode="plain", conditions=words)
    for name in MEMBERS:
        commit(chain, name)
    assert sight(chain).progress.phase == "HOLD"
    return chain


def commit(chain: Chain, name: bytes, number: int = 1) -> None:
    place: dict[str, Value] = {**HERE, "number": number}
    chain.call(name, "commit", blob=chain.publish(name), size=20, rho=0, norm=0, **place)


def say(chain: Chain, key: bytes, held: list[bytes], missing: list[bytes]) -> None:
    first: list[Value] = list(held)
    second: list[Value] = list(missing)
    chain.call(key, "hold", held=first, missing=second, **HERE)


def end_of_phase(chain: Chain) -> None:
    chain.height += 11
    chain.call(MEMBERS[0], "advance", run="run")


def record(chain: Chain, account: bytes) -> dict[Key, Value]:
    found = chain.view("record", run="run", account=account)
    assert isinstance(found, dict)
    return found


def frozen(chain: Chain) -> list[bytes]:
    found = chain.view("status", run="run")
    assert isinstance(found, dict)
    current = found["round"]
    assert isinstance(current, dict)
    assert current["phase"] == "AGGREGATE"
    return list(current["frozen"])  # type: ignore[call-overload, no-any-return] # a list of bytes


def test_the_round_goes_on_at_once_when_two_thirds_hold_all_updates() -> None:
    chain = committed()
    for key in chain.validators()[:2]:
        say(chain, key, MEMBERS, [])
        assert sight(chain).progress.phase == "HOLD"
    say(chain, chain.validators()[2], MEMBERS, [])
    assert frozen(chain) == MEMBERS


def test_a_plant_that_commits_and_never_serves_is_left_out_and_pays() -> None:
    chain = committed(reward=5, budget=100)
    silent, others = MEMBERS[3], MEMBERS[:3]
    for key in chain.validators():
        say(chain, key, others, [silent])
    # It may still bring its update until the deadline.
    assert sight(chain).progress.phase == "HOLD"
    end_of_phase(chain)
    assert frozen(chain) == others
    found = record(chain, silent)
    assert (found["suspended"], found["reliability"]) == ("false availability", 500)
    assert found["faults"] == [["run", "false availability", chain.height, 0]]
    assert [record(chain, name)["faults"] for name in others] == [[], [], []]


def test_a_minority_of_validators_can_neither_blame_a_plant_nor_leave_it_out() -> None:
    chain = committed()
    honest, liar = chain.validators()[:3], chain.validators()[3]
    say(chain, liar, [], MEMBERS)
    for key in honest:
        say(chain, key, MEMBERS, [])
    assert frozen(chain) == MEMBERS
    assert [record(chain, name)["faults"] for name in MEMBERS] == [[], [], [], []]


def test_an_update_that_half_of_the_validators_miss_does_not_count_and_blames_nobody() -> None:
    chain = committed()
    for index, key in enumerate(chain.validators()):
        say(chain, key, MEMBERS if index < 2 else MEMBERS[:3], [] if index < 2 else [MEMBERS[3]])
    end_of_phase(chain)
    assert frozen(chain) == MEMBERS[:3]
    assert record(chain, MEMBERS[3])["faults"] == []


def test_an_update_that_comes_late_counts() -> None:
    chain = committed()
    for key in chain.validators():
        say(chain, key, MEMBERS[:3], [MEMBERS[3]])
    for key in chain.validators()[:3]:
        say(chain, key, MEMBERS, [])
    assert frozen(chain) == MEMBERS
    assert record(chain, MEMBERS[3])["faults"] == []


def test_who_is_no_validator_any_more_neither_blames_nor_holds() -> None:
    chain = committed()
    first, second, third, fourth = chain.validators()
    for key in (first, second, third):
        say(chain, key, MEMBERS[:3], [MEMBERS[3]])
    chain.weigh({second: 1, third: 1, fourth: 1})
    say(chain, fourth, MEMBERS[:3], [])
    end_of_phase(chain)
    # Two of the three that are left miss it: not more than two thirds.
    assert frozen(chain) == MEMBERS[:3]
    assert record(chain, MEMBERS[3])["faults"] == []


def test_an_attempt_without_enough_updates_is_repeated_with_fresh_keys() -> None:
    chain = committed()
    for key in chain.validators():
        say(chain, key, MEMBERS[:2], MEMBERS[2:])
    end_of_phase(chain)
    assert chain.events("Frozen") == []
    status = chain.view("status", run="run")
    assert isinstance(status, dict)
    assert isinstance(status["run"], dict)
    # Two of four are suspended: fewer than a cohort are left.
    assert status["run"]["reason"] == "too few updates are available"


def test_only_validators_hold_only_what_was_committed_only_in_its_phase() -> None:
    chain = committed()
    key = chain.validators()[0]
    with pytest.raises(Refused, match="only a validator"):
        say(chain, MEMBERS[0], MEMBERS, [])
    with pytest.raises(Refused, match="committed to no update"):
        say(chain, key, [OWNER], [])
    say(chain, key, MEMBERS, [])
    with pytest.raises(Refused, match="holds the update"):
        say(chain, key, [], MEMBERS[:1])
    chain.height += 11
    with pytest.raises(Refused, match="deadline"):
        say(chain, key, MEMBERS, [])
    chain.call(MEMBERS[0], "advance", run="run")
    with pytest.raises(Refused, match="not collected now"):
        say(chain, key, MEMBERS, [])
    with pytest.raises(Refused, match="only the standard contract"):
        chain.run(OWNER, "training", "held", run="run", number=1)


def test_a_keeper_that_does_not_serve_is_suspended_and_what_it_holds_has_no_weight() -> None:
    chain = committed()
    liar, *honest = chain.validators()
    with pytest.raises(Refused, match="no keeper"):
        accuse(chain, honest[0], liar)
    for key in (liar, *honest[:2]):
        say(chain, key, MEMBERS, [])
    for key in honest:
        assert record(chain, liar)["suspended"] is None
        accuse(chain, key, liar)
    assert record(chain, liar)["suspended"] == "false availability"
    assert record(chain, liar)["reliability"] == 500
    # The next round needs the other three: with the liar there are not enough.
    close(chain)
    for name in MEMBERS:
        commit(chain, name, 2)
    place: dict[str, Value] = {**HERE, "number": 2, "held": list(MEMBERS), "missing": []}
    for key in (liar, *honest[:2]):
        chain.call(key, "hold", **place)
    assert sight_phase(chain) == "HOLD"
    chain.call(honest[2], "hold", **place)
    assert sight_phase(chain) == "AGGREGATE"


def test_a_minority_cannot_blame_an_honest_keeper() -> None:
    chain = committed()
    hold(chain)
    keeper, *others = chain.validators()
    for key in others[:2]:
        accuse(chain, key, keeper)
    assert record(chain, keeper)["faults"] == []


def accuse(chain: Chain, key: bytes, account: bytes) -> None:
    chain.call(key, "accuse", run="run", number=1, account=account, reason="false availability")


def close(chain: Chain) -> None:
    state = b"\x01" * 32
    words: dict[str, Value] = {"state": state, "blob": state, "score": 1, "flags": []}
    for key in chain.validators()[:3]:
        chain.call(key, "attest", **words, left_out=[], contributions=[], **HERE)


def sight_phase(chain: Chain) -> Value:
    found = chain.view("status", run="run")
    assert isinstance(found, dict)
    assert isinstance(found["round"], dict)
    return found["round"]["phase"]


def test_two_different_messages_in_one_place_are_a_fault_and_the_same_twice_is_none() -> None:
    chain = Chain.make(MEMBERS)
    create(chain, MEMBERS, mode="plain")
    commit(chain, MEMBERS[0])
    with pytest.raises(Refused, match="sent already"):
        commit(chain, MEMBERS[0])
    assert record(chain, MEMBERS[0])["faults"] == []
    other = chain.publish(b"another update")
    for _ in range(2):
        chain.call(MEMBERS[0], "commit", blob=other, size=20, rho=0, norm=0, **HERE)
    found = record(chain, MEMBERS[0])
    assert found["suspended"] == "two different messages"
    # It is suspended once for it; the first message stands.
    assert found["reliability"] == 500


def test_a_round_does_not_wait_for_who_was_suspended_but_for_everybody_else() -> None:
    chain = Chain.make(MEMBERS)
    create(chain, MEMBERS, mode="plain")
    commit(chain, MEMBERS[0])
    chain.call(MEMBERS[0], "commit", blob=chain.publish(b"x"), size=20, rho=0, norm=0, **HERE)
    commit(chain, MEMBERS[1])
    commit(chain, MEMBERS[2])
    # Three have committed and three are in good standing, but they are not the same three.
    assert sight(chain).progress.phase == "COMMIT"
    commit(chain, MEMBERS[3])
    assert sight(chain).progress.phase == "AGGREGATE"

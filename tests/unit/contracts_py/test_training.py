"""Contract `training` alone: who may do what, when; the whole protocol is in tests/models."""

import hashlib

import pytest

from andon.core.codec import Key, Value
from contracts_py.engine import Mode
from contracts_py.library import source
from models.federated.plan import STRATEGIES
from models.federated.robust import RULES
from tests.models.federated.ledger import OWNER, Chain, Refused, create, plants, sight

MEMBERS = plants(4)
HERE: dict[str, Value] = {"run": "run", "number": 1, "attempt": 1}
KEYS: dict[str, Value] = {
    "mask_key": b"\x01" * 32,
    "seal_key": b"\x02" * 32,
    "seed_digest": b"\x03" * 32,
}


def opened(mode: str = "full", recipe: dict[Key, Value] | None = None, **changes: Value) -> Chain:
    chain = Chain.make(MEMBERS)
    judged: dict[Key, Value] = {"validation": b"\x05" * 32, **(recipe or {})}
    create(chain, MEMBERS, mode=mode, recipe=judged, **changes)
    return chain


def accuse(
    chain: Chain, key: bytes, account: bytes, reason: str = "dealt wrong secrets", number: int = 1
) -> None:
    chain.call(key, "accuse", run="run", number=number, account=account, reason=reason)


def attested(chain: Chain, key: bytes, number: int = 1, state: bytes = b"\x01" * 32) -> None:
    words: dict[str, Value] = {"state": state, "blob": state, "score": 1, "flags": []}
    chain.call(key, "attest", **words, left_out=[], contributions=[], **{**HERE, "number": number})


def committed(chain: Chain, name: bytes, *, rho: int = 0, attempt: int = 1) -> None:
    blob = chain.publish(name)
    place: dict[str, Value] = {**HERE, "attempt": attempt}
    chain.call(name, "commit", blob=blob, size=20, rho=rho, norm=0, **place)


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


@pytest.mark.parametrize(
    ("mode", "groups", "most"), [("plain", 1, 256), ("grouped", 50, 200), ("full", 1, 90)]
)
def test_a_run_has_no_more_members_than_its_rounds_can_carry(
    mode: str, groups: int, most: int
) -> None:
    names = plants(most + 1)
    chain = Chain.make(names)
    with pytest.raises(Refused, match="3 to 256 members in mode plain"):
        create(chain, names, mode=mode, groups=groups)
    create(chain, names[:most], mode=mode, groups=groups)
    if mode == "grouped":
        with pytest.raises(Refused, match="90 at most"):
            create(chain, names[:182], mode=mode, groups=2, run="large groups")


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
        accuse(chain, key, MEMBERS[0])
        assert len(chain.events("Suspended")) == (1 if count == 3 else 0)
    with pytest.raises(Refused, match="accuses"):
        accuse(chain, MEMBERS[1], MEMBERS[0])


def test_accusations_count_with_the_weights_at_the_count() -> None:
    chain = opened()
    first, second, third, fourth = chain.validators()
    accuse(chain, first, MEMBERS[0])
    accuse(chain, second, MEMBERS[0])
    # The first has left: what it said before has no weight any more.
    chain.weigh({second: 1, third: 1, fourth: 1})
    accuse(chain, third, MEMBERS[0])
    assert chain.events("Suspended") == []
    # The weights of those that spoke grew meanwhile; one of them says so again.
    chain.weigh({second: 4, third: 4, fourth: 1})
    accuse(chain, second, MEMBERS[0])
    assert len(chain.events("Suspended")) == 1


def test_validators_accuse_of_one_thing_in_a_round_and_of_another_in_the_next() -> None:
    chain = opened()
    keys = chain.validators()
    for key in keys[:2]:
        accuse(chain, key, MEMBERS[0])
    with pytest.raises(Refused, match="another accusation"):
        accuse(chain, keys[0], MEMBERS[0], "two different messages")
    # Three have accused it, but not of the same.
    accuse(chain, keys[2], MEMBERS[0], "two different messages")
    assert chain.events("Suspended") == []
    with pytest.raises(Refused, match="no such round"):
        accuse(chain, keys[0], MEMBERS[0], number=2)
    with pytest.raises(Refused, match="not a member"):
        accuse(chain, keys[0], OWNER)
    accuse(chain, keys[3], MEMBERS[0])
    assert len(chain.events("Suspended")) == 1


def test_attestations_count_with_the_weights_at_the_count() -> None:
    chain = opened("plain")
    for name in MEMBERS:
        committed(chain, name)
    first, second, third, fourth = chain.validators()
    attested(chain, first)
    attested(chain, second)
    chain.weigh({second: 1, third: 1, fourth: 1})
    attested(chain, third)
    assert chain.events("Closed") == []
    chain.weigh({second: 4, third: 4, fourth: 1})
    with pytest.raises(Refused, match="attested something else"):
        attested(chain, second, state=b"\x02" * 32)
    attested(chain, second)
    assert len(chain.events("Closed")) == 1


def test_the_privacy_budget_is_kept_and_a_repeated_attempt_costs_nothing_more() -> None:
    chain = opened("plain", rho_budget=150)
    for name in MEMBERS[:2]:
        committed(chain, name, rho=100)
    chain.height += 11
    chain.call(MEMBERS[0], "advance", run="run")
    assert sight(chain).progress.attempt == 2
    committed(chain, MEMBERS[0], rho=100, attempt=2)
    spent = chain.view("record", run="run", account=MEMBERS[0])
    assert isinstance(spent, dict)
    assert spent["spent"] == 100
    with pytest.raises(Refused, match="budget is spent"):
        committed(chain, MEMBERS[1], rho=151, attempt=2)


def test_a_run_with_a_privacy_budget_takes_no_update_without_noise() -> None:
    chain = opened("plain", rho_budget=150)
    with pytest.raises(Refused, match="trained with noise"):
        committed(chain, MEMBERS[0], rho=0)
    committed(chain, MEMBERS[0], rho=1)


def test_an_update_has_four_bytes_an_element() -> None:
    chain = opened("plain")
    with pytest.raises(Refused, match="four bytes"):
        chain.call(MEMBERS[0], "commit", blob=bytes(32), size=40, rho=0, norm=0, **HERE)


def test_a_declared_norm_is_within_the_limit_of_the_encoding() -> None:
    chain = opened("plain")
    for norm in (-1, (1 << 22) + 1):
        with pytest.raises(Refused, match="norm is within"):
            chain.call(MEMBERS[0], "commit", blob=bytes(32), size=20, rho=0, norm=norm, **HERE)
    chain.call(MEMBERS[0], "commit", blob=bytes(32), size=20, rho=0, norm=1 << 22, **HERE)


def test_a_worse_model_is_rolled_back_and_a_better_one_kept() -> None:
    chain = opened("plain", tolerance=5)
    states = []
    for number, score in ((1, 100), (2, 90)):
        place: dict[str, Value] = {**HERE, "number": number}
        for name in MEMBERS:
            chain.call(name, "commit", blob=chain.publish(name), size=20, rho=0, norm=0, **place)
            state = bytes([number]) * 32
        for key in chain.validators()[:3]:
            chain.call(
                key,
                "attest",
                state=state,
                blob=state,
                score=score,
                flags=[],
                left_out=[],
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


def closed(
    chain: Chain, number: int, score: int, names: list[bytes] = MEMBERS, **found: list[Value]
) -> None:
    """One plain round up to its end; members that are not named are passed over."""
    place: dict[str, Value] = {**HERE, "number": number}
    for name in names:
        chain.call(name, "commit", blob=chain.publish(name), size=20, rho=100, norm=0, **place)
    if len(names) < len(MEMBERS):
        chain.height += 11
        chain.call(names[0], "advance", run="run")
    state = bytes([number]) * 32
    words: dict[str, Value] = {"state": state, "blob": state, "score": score}
    lists: dict[str, Value] = {"flags": [], "left_out": [], "contributions": [1, 2, 3, 4], **found}
    for key in chain.validators()[:3]:
        chain.call(key, "attest", **words, **lists, **place)


def run_of(chain: Chain) -> dict[Key, Value]:
    status = chain.view("status", run="run")
    assert isinstance(status, dict)
    run = status["run"]
    assert isinstance(run, dict)
    return run


def record(chain: Chain, name: bytes) -> dict[Key, Value]:
    found = chain.view("record", run="run", account=name)
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    ("conditions", "scores", "reason"),
    [
        ({"target": 50}, [10, 49, 50], "the target score is reached"),
        ({"stale_max": 2}, [10, 9, 10], "no better score for as many rounds as agreed"),
        ({"reward": 5, "budget": 49}, [1, 2], "the budget is spent"),
        ({}, [1, 2, 3, 4, 5], "all rounds are done"),
    ],
)
def test_a_run_ends_by_its_own_rules(
    conditions: dict[Key, Value], scores: list[int], reason: str
) -> None:
    chain = opened("plain", rounds_max=5, conditions=conditions, tolerance=100)
    for number, score in enumerate(scores, start=1):
        assert run_of(chain)["status"] == "RUNNING"
        closed(chain, number, score)
    run = run_of(chain)
    assert (run["status"], run["reason"]) == ("STOPPED", reason)


def test_a_run_ends_when_too_few_members_can_pay_for_privacy() -> None:
    chain = opened("plain", rounds_max=9, rho_budget=250)
    closed(chain, 1, 1)
    assert run_of(chain)["status"] == "RUNNING"
    closed(chain, 2, 2)
    assert run_of(chain)["reason"] == "privacy budgets are spent"


def test_fewer_than_the_agreed_cohort_close_no_round() -> None:
    chain = opened("plain", conditions={"cohort_min": 4})
    for name in MEMBERS[:3]:
        committed(chain, name)
    chain.height += 11
    chain.call(MEMBERS[0], "advance", run="run")
    assert sight(chain).progress.attempt == 2


@pytest.mark.parametrize(
    ("conditions", "reason"),
    [
        ({"cohort_min": 2}, "a cohort"),
        ({"cohort_min": 5}, "a cohort"),
        ({"reward": 5, "budget": 19}, "pays one round"),
        ({"data": b"short"}, "32 bytes"),
        ({"reliability_min": 1001}, "thousandths"),
        ({"routes": 1}, "differential privacy"),
        ({"anything": 1}, "unknown condition"),
    ],
)
def test_conditions_that_cannot_hold_are_refused(conditions: dict[Key, Value], reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        opened(conditions=conditions)


@pytest.mark.parametrize(
    ("mode", "recipe", "reason"),
    [
        ("plain", {"rule": "typo"}, "the rule is one of mean, median"),
        ("plain", {"rule": None}, "the rule is one of"),
        ("plain", {"rule": "trust"}, "a root go together"),
        ("plain", {"root": MEMBERS[0]}, "a root go together"),
        ("plain", {"rule": "trust", "root": OWNER}, "a root is a member"),
        ("plain", {"rule": "trust", "root": MEMBERS[0], "tolerated": 1}, "raise the cohort"),
        ("plain", {"rule": "trimmed", "tolerated": 2}, "raise the cohort"),
        ("plain", {"rule": "trimmed", "tolerated": -1}, "number of rows"),
        ("plain", {"rule": "trimmed", "tolerated": "1"}, "number of rows"),
        ("full", {"rule": "median"}, "one masked sum"),
        ("full", {"tolerated": 1}, "raise the cohort"),
        ("plain", {"contributions": 3}, "true or false"),
        ("plain", {"contributions": True, "validation": None}, "need a validation set"),
        ("plain", {"validation": b"short"}, "a digest of 32 bytes"),
        ("plain", {"anything": 1}, "unknown field of a recipe: anything"),
        ("plain", {"strategy": ["average", 65536]}, "a name and four numbers"),
        ("plain", {"strategy": ["sgd", 65536, 0, 0, 0]}, "the strategy is one of average"),
        ("plain", {"strategy": ["average", "1", 0, 0, 0]}, "a name and four numbers"),
        ("plain", {"strategy": ["average", 0, 0, 0, 0]}, "out of bounds"),
        ("plain", {"strategy": ["momentum", 65536, 65536, 0, 0]}, "out of bounds"),
        ("plain", {"strategy": ["adam", 65536, 1, 1, 0]}, "needs a floor"),
        ("plain", {"strategy": ["scaffold", 65536, 0, 0, 0]}, "scaffold sends"),
    ],
)
def test_a_recipe_that_cannot_work_is_refused_at_creation(
    mode: str, recipe: dict[Key, Value], reason: str
) -> None:
    with pytest.raises(Refused, match=reason):
        opened(mode, recipe=recipe)


@pytest.mark.parametrize(
    "changes",
    [{"tolerance": 1}, {"conditions": {"target": 0}}, {"conditions": {"stale_max": 1}}],
)
def test_what_looks_at_scores_needs_something_to_score_on(changes: dict[str, Value]) -> None:
    with pytest.raises(Refused, match="need a validation set"):
        opened("plain", {"validation": None}, **changes)


def test_weights_count_in_the_mean_and_in_no_other_rule_on_single_updates() -> None:
    rows: list[Value] = [[name, 0, 1 + index] for index, name in enumerate(MEMBERS)]
    changes: dict[str, Value] = {"members": rows, "encoding": [16, 1 << 20, 1 << 22, 4]}
    opened("plain", **changes)
    with pytest.raises(Refused, match="count heads"):
        opened("plain", {"rule": "median"}, **changes)


def test_a_recipe_of_many_rows_or_large_elements_is_refused() -> None:
    names = plants(9)
    chain = Chain.make(names)
    with pytest.raises(Refused, match="at most 8 rows"):
        create(chain, names, mode="plain", recipe={"contributions": True})
    with pytest.raises(Refused, match=r"below 2\^23"):
        create(chain, names, encoding=[16, 1 << 23, 1 << 23, 1])


def test_contract_and_validators_know_the_same_rules_and_strategies() -> None:
    chain = Chain.make(MEMBERS)
    for number, rule in enumerate(RULES):
        recipe: dict[Key, Value] = {"rule": rule}
        if rule == "trust":
            recipe["root"] = MEMBERS[0]
        create(chain, MEMBERS, mode="plain", run=f"rule-{number}", recipe=recipe)
    for name in STRATEGIES:
        recipe = {"strategy": [name, 65536, 1, 1, 1]}
        create(chain, MEMBERS, 6, mode="plain", run=f"strategy-{name}", recipe=recipe)


def test_a_member_that_stays_away_becomes_less_reliable_and_is_owed_nothing() -> None:
    chain = opened("plain", conditions={"reward": 5, "budget": 100})
    chain.call(MEMBERS[3], "join", run="run")
    closed(chain, 1, 1, MEMBERS[:3])
    assert record(chain, MEMBERS[0])["owed"] == 5
    away = record(chain, MEMBERS[3])
    assert (away["owed"], away["reliability"]) == (0, 980)
    with pytest.raises(Refused, match="less reliable"):
        create(chain, MEMBERS, run="next", conditions={"reliability_min": 1000})


def test_who_was_listed_without_its_consent_loses_nothing_and_is_waited_for_once() -> None:
    chain = opened("plain")
    # The deadline of the first round has to pass; the second goes on with those that took part.
    closed(chain, 1, 1, MEMBERS[:3])
    assert record(chain, MEMBERS[3])["reliability"] == 1000
    place: dict[str, Value] = {**HERE, "number": 2}
    for name in MEMBERS[:3]:
        chain.call(name, "commit", blob=chain.publish(name), size=20, rho=0, norm=0, **place)
    status = chain.view("status", run="run")
    assert isinstance(status, dict)
    assert isinstance(status["round"], dict)
    assert (status["round"]["phase"], status["round"]["attempt"]) == ("AGGREGATE", 1)


def test_a_member_that_leaves_is_not_waited_for_and_may_come_back() -> None:
    chain = opened("plain")
    chain.call(MEMBERS[3], "leave", run="run")
    with pytest.raises(Refused, match="it has left"):
        committed(chain, MEMBERS[3])
    for name in MEMBERS[:3]:
        committed(chain, name)
    assert sight(chain).progress.phase != "COMMIT"
    chain.call(MEMBERS[3], "join", run="run")
    said = [e["takes_part"] for e in chain.events("Agreed") if isinstance(e, dict)]
    assert said == [False, True, True, True, True]
    with pytest.raises(Refused, match="not a member"):
        chain.call(OWNER, "join", run="run")


def test_an_unusual_update_is_paid_and_one_that_could_not_be_used_is_not() -> None:
    chain = opened("plain", conditions={"reward": 5, "budget": 100})
    closed(chain, 1, 1, flags=[MEMBERS[0]], left_out=[MEMBERS[1]])
    assert [record(chain, name)["owed"] for name in MEMBERS] == [5, 0, 5, 5]
    assert [e["account"] for e in chain.events("Flagged") if isinstance(e, dict)] == [MEMBERS[0]]
    assert [e["account"] for e in chain.events("LeftOut") if isinstance(e, dict)] == [MEMBERS[1]]


def test_a_proved_fault_costs_what_is_owed_and_half_of_the_reliability() -> None:
    chain = opened("plain", conditions={"reward": 5, "budget": 100})
    closed(chain, 1, 1)
    for key in chain.validators():
        accuse(chain, key, MEMBERS[0])
    found = record(chain, MEMBERS[0])
    assert (found["owed"], found["reliability"]) == (0, 500)
    # Once, although a fourth validator said so too.
    assert found["faults"] == [["run", "dealt wrong secrets", chain.height, 5]]
    with pytest.raises(Refused, match="nothing is owed"):
        chain.call(OWNER, "pay", run="run", account=MEMBERS[0])
    with pytest.raises(Refused, match="only the owner"):
        chain.call(MEMBERS[1], "pay", run="run", account=MEMBERS[1])
    with pytest.raises(Refused, match="suspended"):
        create(chain, MEMBERS, run="next")


def test_the_owner_pays_in_the_token_of_the_run() -> None:
    chain = opened("plain", conditions={"reward": 5, "budget": 100, "token": "quota"})
    chain.host.sources["quota"] = source("token")
    chain.host.roles[OWNER] = ("modeler", "issuer")
    chain.run(OWNER, "quota", "issue", target=OWNER, amount=20)
    closed(chain, 1, 1)
    assert chain.call(OWNER, "pay", run="run", account=MEMBERS[2]) == 5
    assert chain.run(OWNER, "quota", "balance_of", account=MEMBERS[2]) == 5
    assert record(chain, MEMBERS[2])["owed"] == 0


def test_only_the_contracts_of_a_run_move_it() -> None:
    chain = opened("plain")
    books: dict[str, Value] = {"members": MEMBERS, "run": "run"}
    for contract, method, words in (
        ("training", "noted", {"run": "run", "number": 1, "field": "committed"}),
        ("conduct", "credit", {**books, "contributions": [9]}),
        ("conduct", "fault", {"run": "run", "account": MEMBERS[0], "reason": "none"}),
        ("conduct", "charge", {"run": "run", "number": 1, "rho": 0, "budget": 0}),
    ):
        with pytest.raises(Refused, match="only the standard contract"):
            chain.run(OWNER, contract, method, **words)


def test_a_package_leads_to_the_run_and_each_round_that_made_it() -> None:
    data = b"\x0d" * 32
    chain = opened("plain", conditions={"data": data}, tolerance=5)
    closed(chain, 1, 100)
    closed(chain, 2, 90)
    model = b"\x0a" * 32
    entry: dict[str, Value] = {
        "name": "rul", "manifest_digest": bytes(32), "blob": bytes(32), "size": 1, "input_bytes": 1,
        "outputs": 1, "scale_num": 1, "scale_den": 1, "gas": 1, "kind": "exact",
    }  # fmt: skip
    chain.run(OWNER, "models", "setup", Mode.INIT, allow_unsigned=True)
    for identity, origin, reason in (
        (b"\x0b" * 32, {"run": "other", "data": data}, "does not name this run"),
        (b"\x0c" * 32, {"run": "run", "data": bytes(32)}, "other data"),
    ):
        words: dict[Key, Value] = {**origin}
        chain.run(OWNER, "models", "propose", model_id=identity, origin=words, **entry)
        with pytest.raises(Refused, match=reason):
            chain.call(OWNER, "adopt", run="run", model_id=identity)
    made: dict[Key, Value] = {"run": "run", "data": data}
    chain.run(OWNER, "models", "propose", model_id=model, origin=made, **entry)
    chain.call(OWNER, "adopt", run="run", model_id=model)
    found = chain.view("lineage", model_id=model, after=0, count=10)
    assert isinstance(found, dict)
    assert (found["run"], found["data"]) == ("run", data)
    rows = found["rounds"]
    assert isinstance(rows, list)
    assert [row[:4] for row in rows if isinstance(row, list)] == [
        [1, b"\x01" * 32, 100, True],
        [2, b"\x02" * 32, 90, False],
    ]


def masked_up_to_commits(chain: Chain, names: list[bytes], size: int, number: int = 1) -> None:
    """Keys, dealings and commitments of members in groups of `size`."""
    place: dict[str, Value] = {**HERE, "number": number}
    for name in names:
        chain.call(name, "announce", **place, **KEYS)
    lists: list[Value] = [commitment(k) for k in range(size)]
    words: dict[str, Value] = {"sealed": [b""] * size, "seed_commitments": lists}
    for name in names:
        chain.call(name, "deal", key_commitments=lists, **words, **place)


def test_who_did_its_part_is_not_away_when_another_of_its_group_drops() -> None:
    names = plants(9)
    chain = Chain.make(names)
    create(chain, names, mode="grouped", groups=3)
    masked_up_to_commits(chain, names, 3)
    # The groups are by turns: without the first, its group of three is too small.
    for name in names[1:]:
        committed(chain, name)
    chain.height += 11
    chain.call(names[1], "advance", run="run")
    seen = sight(chain).progress
    assert (seen.phase, len(seen.frozen)) == ("REVEAL", 6)
    for name in names:
        if name in seen.frozen:
            chain.call(name, "reveal", shares=[], **HERE)
    chain.height += 11
    chain.call(names[1], "advance", run="run")
    for key in chain.validators()[:3]:
        attested(chain, key)
    found = [record(chain, name)["reliability"] for name in names]
    assert found == [980] + [1000] * 8


def test_a_counted_update_gives_trust_back_and_one_left_out_does_not() -> None:
    chain = opened("plain")
    for key in chain.validators()[:3]:
        accuse(chain, key, MEMBERS[0])
        accuse(chain, key, MEMBERS[1])
    for name in MEMBERS[:2]:
        chain.call(OWNER, "reinstate", account=name)
    closed(chain, 1, 1, left_out=[MEMBERS[1]])
    assert [record(chain, name)["reliability"] for name in MEMBERS] == [510, 500, 1000, 1000]


def test_another_update_of_a_round_in_the_open_is_paid_for_again() -> None:
    chain = opened("plain", rho_budget=250)
    for attempt in (1, 2):
        place: dict[str, Value] = {**HERE, "attempt": attempt}
        for name in MEMBERS[:2]:
            content = b"journal lost" + bytes([attempt]) if name == MEMBERS[0] else b"kept"
            words: dict[str, Value] = {"blob": chain.publish(content), "size": 20, "rho": 100}
            chain.call(name, "commit", norm=0, **words, **place)
        chain.height += 11
        chain.call(MEMBERS[0], "advance", run="run")
    assert [record(chain, name)["spent"] for name in MEMBERS[:2]] == [200, 100]
    place = {**HERE, "attempt": 3}
    other = chain.publish(b"a third")
    with pytest.raises(Refused, match="budget is spent"):
        chain.call(MEMBERS[0], "commit", blob=other, size=20, rho=100, norm=0, **place)


@pytest.mark.parametrize(("count", "is_benched"), [(4, True), (3, False)])
def test_who_alone_is_left_out_of_a_masked_sum_sits_the_next_round_out(
    count: int, *, is_benched: bool
) -> None:
    names = plants(count)
    chain = Chain.make(names)
    create(chain, names)
    masked_up_to_commits(chain, names, count)
    for name in names:
        committed(chain, name)
    for name in names:
        chain.call(name, "reveal", shares=[], **HERE)
    words: dict[str, Value] = {"state": bytes(32), "blob": bytes(32), "score": 0, "flags": []}
    for key in chain.validators()[:3]:
        chain.call(key, "attest", left_out=[names[0]], contributions=[], **words, **HERE)
    place: dict[str, Value] = {**HERE, "number": 2}
    if is_benched:
        with pytest.raises(Refused, match="sits this round out"):
            chain.call(names[0], "announce", **place, **KEYS)
        for name in names[1:]:
            chain.call(name, "announce", **place, **KEYS)
        # Nobody waits for it.
        status = chain.view("status", run="run")
        assert isinstance(status, dict)
        assert isinstance(status["round"], dict)
        assert status["round"]["phase"] == "DEAL"
    else:
        chain.call(names[0], "announce", **place, **KEYS)

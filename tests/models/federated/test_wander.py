"""Models that wander (FedDC) on the real contracts: routes, takes, drops, averages, refusals."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from andon.core.codec import Key, Value
from models.federated.plan import parse_sent
from models.federated.plant import Send, Wait
from models.federated.service import Watcher
from models.federated.wander import giver_to, taker_of
from tests.models.federated.ledger import Chain, Refused, attest, create, plants, sight
from tests.models.federated.test_plant import Site, sites
from tests.models.federated.test_service import ChainLedger

ROUTED: dict[Key, Value] = {"routes": 1}


def wandering(count: int = 4, **changes: Value) -> Chain:
    chain = Chain.make(plants(count))
    terms: dict[str, Value] = {"conditions": ROUTED, "rho_budget": 1_000_000, **changes}
    create(chain, plants(count), rounds_max=4, **terms)
    return chain


def step(chain: Chain, members: list[Site]) -> list[str]:
    found = []
    for site in members:
        action = site.act(chain)
        assert isinstance(action, Send), action
        found.append(action.method)
    return found


def late(chain: Chain, who: Site) -> None:
    chain.height += 11
    chain.call(who.name, "advance", run="run")


def test_models_wander_once_and_the_average_is_that_of_what_was_trained_on_them(
    tmp_path: Path,
) -> None:
    members = sites(4, tmp_path)
    chain = wandering()
    for method in ("announce", "give", "take"):
        before = sight(chain)
        assert step(chain, members) == [method] * 4
        if method == "announce":
            seen = sight(chain)
            order = chain.view("order", run="run", number=1, attempt=1)
            assert order == [
                [site.name, taker_of(seen.plan, seen.progress, seen.sent, site.name)]
                for site in members
            ]
    seen = before
    # Plant k trained k/4 + 1/8; whoever took it trains its own k/4 + 2/8 on top.
    start = {s.name: k * 0.25 + 0.125 for k, s in enumerate(members)}
    took = {s.name: start[giver_to(seen.plan, seen.progress, seen.sent, s.name)] for s in members}
    assert all(took[s.name] != start[s.name] for s in members)
    for method in ("announce", "deal", "commit", "reveal"):
        assert step(chain, members) == [method] * 4
        if method == "commit":
            held = [
                np.frombuffer(s.plant._journal.load("run", 2, 1).update, "<i4") for s in members
            ]  # type: ignore[union-attr] # there is an entry
            for k, site in enumerate(members):
                assert held[k][0] / 2**16 == took[site.name] + k * 0.25 + 0.25
    result = attest(chain)
    mean = np.mean(list(took.values())) + np.mean([k * 0.25 + 0.25 for k in range(4)])
    assert result.state.model.tolist() == [int(mean * 2**24)] * 5
    assert sight(chain).progress.number == 3
    spent = chain.view("record", run="run", account=members[0].name)
    assert isinstance(spent, dict)
    assert spent["spent"] == 200


def test_who_takes_nothing_goes_on_with_its_own_model(tmp_path: Path) -> None:
    members = sites(4, tmp_path)
    chain = wandering()
    step(chain, members)
    # The third gives nothing; somebody waits in vain for it.
    step(chain, [members[0], members[1], members[3]])
    late(chain, members[0])
    seen = sight(chain)
    assert seen.progress.phase == "TAKE"
    poor = taker_of(seen.plan, seen.progress, seen.sent, members[2].name)
    # It looks first: keys, and so routes, are random, and the last one to take ends the phase.
    for site in sorted(members, key=lambda found: found.name != poor):
        action = site.act(chain)
        assert isinstance(action, Wait if site.name == poor else Send)
    after = sight(chain).progress
    assert (after.number, after.phase) == (2, "KEYS")


def test_a_blob_that_is_not_the_committed_one_is_not_taken(tmp_path: Path) -> None:
    members = sites(4, tmp_path)
    chain = wandering()
    for _ in range(2):
        step(chain, members)
    seen = sight(chain)
    parcel = chain.view("parcel", run="run", number=1, attempt=1, giver=members[0].name)
    assert isinstance(parcel, dict)
    blob = parcel["blob"]
    assert isinstance(blob, bytes)
    for damaged in (b"", bytes(36), None):
        if damaged is None:
            del chain.blobs[blob]
        else:
            chain.blobs[blob] = damaged
        taker = taker_of(seen.plan, seen.progress, seen.sent, members[0].name)
        site = next(s for s in members if s.name == taker)
        action = site.act(chain)
        assert isinstance(action, Wait)
        assert "not usable" in action.reason


def test_a_plant_killed_in_a_route_round_says_the_same_again(tmp_path: Path) -> None:
    members = sites(4, tmp_path)
    chain = wandering()
    for _ in range(3):
        for site in members:
            lost = site.plant.next_action(sight(chain, taker=site.name))
            site.kill()
            assert site.plant.next_action(sight(chain, taker=site.name)) == lost
            site.act(chain)
    assert [site.trained for site in members] == [1, 1, 1, 1]
    assert sight(chain).progress.number == 2


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"rho_budget": 0}, "need differential privacy"),
        ({"rho_budget": 2_000_000}, "need differential privacy"),
        ({"rounds_max": 3}, "the last round averages"),
        ({"conditions": {"routes": 65}}, "at most 64"),
    ],
)
def test_models_wander_only_under_a_privacy_budget(changes: dict[str, Value], reason: str) -> None:
    members = plants(4)
    chain = Chain.make(members)
    terms: dict[str, Value] = {"conditions": ROUTED, "rho_budget": 1_000_000, "rounds_max": 4}
    with pytest.raises(Refused, match=reason):
        create(chain, members, **{**terms, **changes})


def test_a_model_without_noise_or_for_nobody_is_refused(tmp_path: Path) -> None:
    members = sites(4, tmp_path)
    chain = wandering()
    step(chain, members[:3])
    late(chain, members[0])
    here: dict[str, Value] = {"run": "run", "number": 1, "attempt": 1}
    parcel: dict[str, Value] = {**here, "blob": bytes(32), "model": bytes(32), "size": 20}
    with pytest.raises(Refused, match="with noise"):
        chain.call(members[0].name, "give", **parcel, rho=0)
    with pytest.raises(Refused, match="budget is spent"):
        chain.call(members[0].name, "give", **parcel, rho=1_000_001)
    with pytest.raises(Refused, match="announced no keys"):
        chain.call(members[3].name, "give", **parcel, rho=1)
    with pytest.raises(Refused, match="not in this phase"):
        chain.call(members[0].name, "take", **here)


async def test_the_declared_bound_reaches_over_the_rounds_in_which_models_wander(
    tmp_path: Path,
) -> None:
    members = sites(6, tmp_path)
    chain = wandering(6, mode="grouped", groups=2)
    for _ in range(3 + 4):
        step(chain, members)
    attest(chain)
    watcher = Watcher(ChainLedger(chain, members[0].name), "run")
    plan = await watcher.plan()
    third, limit = await watcher.progress(3), plan.encoding.norm_limit
    assert await watcher.bound(plan, third) == limit
    declared = sorted(
        parse_sent(chain.view("sent", run="run", number=2, attempt=1, account=s.name)).norm
        for s in members
    )
    found = await watcher.bound(plan, replace(third, number=4))
    assert found == declared[2] < limit

"""Plants, the contract and the validators' recomputation together, on the real engine."""

from dataclasses import replace
from math import isqrt
from pathlib import Path

import numpy as np
import pytest

from andon.core.codec import Value
from andon.core.errors import Code, Corrupt, InvalidInput, Misuse, Unavailable
from models.federated.journal import Entry, Journal, open_journal
from models.federated.plant import Action, Done, Plant, Send, Sight, Wait
from models.federated.rounds import recompute
from models.federated.trained import Floats, Trained
from tests.models.federated.ledger import (
    Chain,
    Refused,
    act,
    attest,
    create,
    material_of,
    plants,
    sight,
)


class Site:
    """A plant with its own folder that can be killed and started again."""

    def __init__(self, name: bytes, value: float, folder: Path) -> None:
        self.name = name
        self.folder = folder / name.hex()[:8]
        self.value = value
        self.trained = 0
        self.rho = 100
        self.plant = self._start()

    def _start(self) -> Plant:
        return Plant(self.name, Journal(self.folder), self._train)

    def kill(self) -> None:
        self.plant = self._start()

    def _train(self, model: Floats, number: int) -> Trained:
        self.trained += 1
        # Not repeatable on purpose: a restarted plant must not train anew.
        noise = self.trained * 0.125
        return Trained(update=np.full(len(model), self.value + noise, np.float32), rho=self.rho)

    def act(self, chain: Chain) -> Action:
        return act(chain, self.name, self.plant)


def sites(count: int, folder: Path) -> list[Site]:
    return [Site(name, k * 0.25, folder) for k, name in enumerate(plants(count))]


def expected(values: list[float]) -> float:
    return float(np.mean(values))


def test_a_round_of_four_plants_gives_the_exact_mean(tmp_path: Path) -> None:
    members = sites(4, tmp_path)
    chain = Chain.make(plants(4))
    create(chain, plants(4))
    for method in ("announce", "deal", "commit", "reveal"):
        for site in members:
            action = site.act(chain)
            assert isinstance(action, Send)
            assert action.method == method
    assert sight(chain).progress.phase == "AGGREGATE"
    result = attest(chain)
    mean = expected([k * 0.25 + 0.125 for k in range(4)])
    assert result.state.model.tolist() == [int(mean * 2**24)] * 5
    after = sight(chain)
    assert (after.progress.number, after.progress.phase) == (2, "KEYS")
    assert after.progress.base == result.state_digest


@pytest.mark.parametrize("phase", ["announce", "deal", "commit", "reveal"])
def test_a_plant_that_drops_at_any_phase_does_not_hold_the_round_up(
    tmp_path: Path, phase: str
) -> None:
    members = sites(4, tmp_path)
    chain = Chain.make(plants(4))
    create(chain, plants(4))
    gone = False
    for method in ("announce", "deal", "commit", "reveal"):
        gone = gone or method == phase
        before = sight(chain).progress.phase
        for site in members[: 3 if gone else 4]:
            action = site.act(chain)
            assert isinstance(action, Send)
            assert action.method == method
        if sight(chain).progress.phase == before:
            with pytest.raises(Refused, match="deadline has not passed"):
                chain.call(members[0].name, "advance", run="run")
            chain.height += 11
            chain.call(members[0].name, "advance", run="run")
    assert sight(chain).progress.phase == "AGGREGATE"
    survivors = 4 if phase == "reveal" else 3
    result = attest(chain)
    mean = expected([k * 0.25 + 0.125 for k in range(survivors)])
    assert result.state.model[0] == int(mean * 2**24)


@pytest.mark.parametrize("victim", range(4))
def test_plants_killed_after_every_action_give_the_same_aggregate(
    tmp_path: Path, victim: int
) -> None:
    members = sites(4, tmp_path)
    chain = Chain.make(plants(4))
    create(chain, plants(4))
    for _ in range(4):
        for index, site in enumerate(members):
            if index == victim:
                # Killed after it decided and before it sent, then again after it sent.
                lost = site.plant.next_action(sight(chain))
                site.kill()
                again = site.plant.next_action(sight(chain))
                assert lost == again
                site.kill()
            site.act(chain)
            if index == victim:
                site.kill()
                if sight(chain).progress.phase != "AGGREGATE" and index < 3:
                    assert isinstance(site.plant.next_action(sight(chain)), Wait)
    result = attest(chain)
    mean = expected([k * 0.25 + 0.125 for k in range(4)])
    assert result.state.model.tolist() == [int(mean * 2**24)] * 5
    assert members[victim].trained == 1


def test_a_lost_journal_means_sitting_out_and_says_so(tmp_path: Path) -> None:
    members = sites(4, tmp_path)
    chain = Chain.make(plants(4))
    create(chain, plants(4))
    for site in members:
        site.act(chain)
    for path in members[1].folder.iterdir():
        path.unlink()
    action = members[1].plant.next_action(sight(chain))
    assert isinstance(action, Wait)
    assert "journal" in action.reason


def test_an_attempt_that_fails_before_the_reveal_is_repeated_with_fresh_keys(
    tmp_path: Path,
) -> None:
    members = sites(4, tmp_path)
    chain = Chain.make(plants(4))
    create(chain, plants(4))
    for site in members:
        site.act(chain)
    first = sight(chain).sent[members[0].name].announcement
    for site in members:
        site.act(chain)
    for site in members[:2]:
        site.act(chain)
    chain.height += 11
    chain.call(members[0].name, "advance", run="run")
    again = sight(chain).progress
    assert (again.number, again.attempt, again.phase) == (1, 2, "KEYS")
    for _ in range(4):
        for site in members:
            site.act(chain)
    assert sight(chain).sent[members[0].name].announcement != first
    assert [site.trained for site in members] == [1, 1, 1, 1]
    attest(chain)
    assert sight(chain).progress.number == 2


def test_an_attempt_that_fails_after_the_reveal_began_is_never_repeated(tmp_path: Path) -> None:
    members = sites(4, tmp_path)
    chain = Chain.make(plants(4))
    create(chain, plants(4))
    for _ in range(3):
        for site in members:
            site.act(chain)
    members[0].act(chain)
    chain.height += 11
    chain.call(members[0].name, "advance", run="run")
    after = sight(chain).progress
    assert (after.number, after.attempt, after.phase) == (2, 1, "KEYS")
    old = chain.view("round_at", run="run", number=1)
    assert isinstance(old, dict)
    assert old["phase"] == "ABORTED"
    assert old["reason"] == "too few members in REVEAL"


def test_grouped_mode_keeps_a_poisoned_group_from_the_model(tmp_path: Path) -> None:
    members = sites(9, tmp_path)
    members[0].value = 15.0  # 60 times what the others send
    chain = Chain.make(plants(9))
    create(chain, plants(9), mode="grouped", groups=3, recipe={"rule": "median"})
    for _ in range(4):
        for site in members:
            site.act(chain)
    result = attest(chain)
    honest = [expected([(k + 3 * j) * 0.25 + 0.125 for j in range(3)]) for k in (1, 2)]
    assert result.state.model[0] / 2**24 <= max(honest) + 1e-6
    assert members[0].name in result.flagged
    flagged = {e["account"] for e in chain.events("Flagged") if isinstance(e, dict)}
    assert members[0].name in flagged


def test_plain_mode_needs_no_keys_and_admits_single_updates_to_the_rule(tmp_path: Path) -> None:
    members = sites(5, tmp_path)
    members[4].value = -12.0
    chain = Chain.make(plants(5))
    create(
        chain,
        plants(5),
        mode="plain",
        recipe={
            "rule": "trimmed",
            "tolerated": 1,
            "contributions": True,
            "validation": bytes(32),
        },
    )
    for site in members:
        site.act(chain)
    assert sight(chain).progress.phase == "AGGREGATE"
    target = np.full(5, 1 << 22)
    result = attest(chain, lambda model: -int(np.abs(model - target).sum() >> 16))
    assert result.flagged == (members[4].name,)
    assert result.contributions[4] < min(result.contributions[:4])


def test_updates_are_shortened_to_what_most_declared_and_a_longer_sum_is_left_out(
    tmp_path: Path,
) -> None:
    members = sites(9, tmp_path)
    for site in members:
        site.value = 1.0
    chain = Chain.make(plants(9))
    create(chain, plants(9), mode="grouped", groups=3, recipe={"rule": "trimmed", "tolerated": 1})
    for _ in range(4):
        for site in members:
            site.act(chain)
    assert attest(chain).flagged == ()
    # Every plant declared 1.125 in each of five coordinates, in units of 2^-16.
    assert sight(chain).bound == isqrt(5 * (65536 * 9 // 8) ** 2)
    liar = members[4]
    liar.value = -7.0
    before = sight(chain).base.model
    for method in ("announce", "deal", "commit", "reveal"):
        for site in members:
            if site is liar and method == "commit":
                # It shortens nothing: three times the bound backward, as its sum then tells.
                seen = replace(sight(chain), bound=1 << 22)
                action = site.plant.next_action(seen)
                assert isinstance(action, Send)
                chain.publish(action.blob)
                chain.call(site.name, action.method, **action.arguments)
            else:
                site.act(chain)
    result = attest(chain)
    assert set(result.left_out) == {members[k].name for k in (1, 4, 7)}
    # 1.25 was shortened to 1.125 by the honest; the two whole sums move the model.
    moved = (result.state.model - before) / 2**24
    assert np.abs(moved - 1.125).max() < 1e-3


def test_a_blob_out_of_bounds_is_left_out(tmp_path: Path) -> None:
    members = sites(4, tmp_path)
    chain = Chain.make(plants(4))
    create(chain, plants(4), mode="plain")
    for site in members[:3]:
        site.act(chain)
    blob = np.full(5, 2**30, np.int32).tobytes()
    identity = chain.publish(blob)
    chain.call(
        members[3].name,
        "commit",
        run="run",
        number=1,
        attempt=1,
        blob=identity,
        size=20,
        rho=0,
        norm=0,
    )
    result = attest(chain)
    assert (result.flagged, result.left_out) == ((), (members[3].name,))


def test_recomputation_refuses_another_base_and_a_missing_blob_costs_the_group(
    tmp_path: Path,
) -> None:
    members = sites(4, tmp_path)
    chain = Chain.make(plants(4))
    create(chain, plants(4))
    for _ in range(4):
        for site in members:
            site.act(chain)
    seen = sight(chain)
    good = material_of(chain)
    empty = recompute(replace(good, blobs={}), seen.base)
    assert empty.left_out == tuple(plants(4))
    assert empty.state_digest == seen.progress.base
    first = recompute(good, seen.base)
    with pytest.raises(InvalidInput, match="not the state"):
        recompute(good, first.state)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_training_that_diverged_is_the_plants_own_fault_at_once(
    tmp_path: Path, value: float
) -> None:
    chain = Chain.make(plants(4))
    create(chain, plants(4), mode="plain")
    with pytest.raises(Misuse, match="NaN or infinity"):
        Site(plants(4)[0], value, tmp_path).act(chain)


def test_what_training_itself_refuses_is_not_taken_for_the_ledgers_answer(tmp_path: Path) -> None:
    chain = Chain.make(plants(4))
    create(chain, plants(4), mode="plain")

    def train(model: Floats, number: int) -> Trained:
        raise InvalidInput(Code.BAD_REQUEST, f"round {number}, {len(model)} weights: no data")

    with pytest.raises(Misuse, match="no data"):
        act(chain, plants(4)[0], Plant(plants(4)[0], Journal(tmp_path), train))


def test_validators_that_disagree_do_not_close_the_round(tmp_path: Path) -> None:
    members = sites(4, tmp_path)
    chain = Chain.make(plants(4))
    create(chain, plants(4), mode="plain")
    for site in members:
        site.act(chain)
    attest(chain, validators=2)
    assert sight(chain).progress.phase == "AGGREGATE"
    liar = chain.validators()[2]
    lists = {"flags": [], "left_out": [], "contributions": []}
    arguments = {"run": "run", "number": 1, "attempt": 1, **lists}
    chain.call(liar, "attest", state=bytes(32), blob=bytes(32), score=0, **arguments)  # type: ignore[arg-type] # literals
    assert sight(chain).progress.phase == "AGGREGATE"
    with pytest.raises(Refused, match="something else"):
        chain.call(liar, "attest", state=bytes(32), blob=bytes(32), score=1, **arguments)  # type: ignore[arg-type] # literals
    with pytest.raises(Refused, match="only a validator"):
        chain.call(members[0].name, "attest", state=bytes(32), blob=bytes(32), score=0, **arguments)  # type: ignore[arg-type] # literals


def test_a_plant_without_noise_is_stopped_before_it_sends_to_a_run_with_a_budget(
    tmp_path: Path,
) -> None:
    members = sites(3, tmp_path)
    chain = Chain.make(plants(3))
    create(chain, plants(3), mode="plain", rho_budget=100)
    members[0].rho = 0
    with pytest.raises(Misuse, match="without noise"):
        members[0].act(chain)


def test_a_left_out_update_need_not_be_outvoted_too(tmp_path: Path) -> None:
    members = sites(3, tmp_path)
    chain = Chain.make(plants(3))
    create(chain, plants(3), mode="plain", recipe={"rule": "trimmed", "tolerated": 1})
    for site in members[:2]:
        site.act(chain)
    blob = chain.publish(np.full(5, 2**30, np.int32).tobytes())
    place: dict[str, Value] = {"run": "run", "number": 1, "attempt": 1}
    chain.call(members[2].name, "commit", blob=blob, size=20, rho=0, norm=0, **place)
    result = attest(chain)
    assert result.left_out == (members[2].name,)
    assert result.state.model.tolist() == [int(expected([0.125, 0.375]) * 2**24)] * 5


def test_without_the_update_of_the_root_the_model_stays(tmp_path: Path) -> None:
    members = sites(4, tmp_path)
    chain = Chain.make(plants(4))
    create(chain, plants(4), mode="plain", recipe={"rule": "trust", "root": members[3].name})
    for site in members[:3]:
        site.act(chain)
    chain.height += 11
    chain.call(members[0].name, "advance", run="run")
    result = attest(chain)
    assert result.state.model.tolist() == [0] * 5
    assert result.left_out == ()


def test_the_journal_refuses_to_rewrite_and_notices_damage(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    entry = Entry("run", 1, 1, b"\x01" * 32, b"abcd", 5, ())
    journal.save(entry)
    assert journal.load("run", 1, 1) == entry
    for changed in (
        Entry("run", 1, 1, b"\x02" * 32, b"abcd", 5, ()),
        Entry("run", 1, 1, b"\x01" * 32, b"other", 5, ()),
    ):
        with pytest.raises(Misuse):
            journal.save(changed)
    fixed = Entry("run", 1, 1, b"\x01" * 32, b"abcd", 5, (b"a",))
    journal.save(fixed)
    with pytest.raises(Misuse):
        journal.save(Entry("run", 1, 1, b"\x01" * 32, b"abcd", 5, (b"b",)))
    path = next(tmp_path.glob("*.journal"))
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(Corrupt):
        journal.load("run", 1, 1)


def test_a_second_process_on_one_journal_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    refused = pytest.raises(Unavailable, match="another process")
    with open_journal(folder), refused, open_journal(folder):
        pass
    with open_journal(folder) as journal:
        assert journal.load("run", 1, 1) is None


def test_nothing_secret_is_left_on_disk_once_the_run_has_ended(tmp_path: Path) -> None:
    members = sites(3, tmp_path)
    chain = Chain.make(plants(3))
    create(chain, plants(3), rounds_max=1)
    for _ in range(4):
        for site in members:
            site.act(chain)
    attest(chain)
    assert [bool(list(site.folder.glob("*.journal"))) for site in members] == [True] * 3
    for site in members:
        site.kill()
        assert isinstance(site.act(chain), Done)
        assert list(site.folder.iterdir()) == []


def test_a_stranger_and_an_ended_run_are_told_so(tmp_path: Path) -> None:
    members = sites(3, tmp_path)
    chain = Chain.make(plants(3))
    create(chain, plants(3))
    stranger = Site(b"\x01" * 32, 0.0, tmp_path)
    action = stranger.plant.next_action(sight(chain))
    assert isinstance(action, Done)
    chain.call(b"\xee" * 32, "stop", run="run")
    action = members[0].plant.next_action(sight(chain))
    assert action == Done("the run has ended")


def acted(members: list[Site], phases: int) -> Chain:
    """A chain whose run has so many phases behind it."""
    chain = Chain.make(plants(len(members)))
    create(chain, plants(len(members)))
    for _ in range(phases):
        for site in members:
            site.act(chain)
    return chain


def place_of(seen: Sight) -> dict[str, Value]:
    return {"run": "run", "number": seen.progress.number, "attempt": seen.progress.attempt}


def test_a_last_validator_cannot_move_a_contribution_among_the_flags(tmp_path: Path) -> None:
    chain = acted(sites(4, tmp_path), 4)
    seen = sight(chain)
    words: dict[str, Value] = {
        **place_of(seen),
        "state": bytes(32),
        "blob": seen.progress.base_blob,
        "score": 5,
        "left_out": [],
    }
    first, second, third, fourth = chain.validators()
    for key in (first, second):
        chain.call(key, "attest", **words, flags=[], contributions=[12, 34])
    # Joined without their counts, 12 and the account b"\x12" were the same words.
    with pytest.raises(Refused, match="an account has 32 bytes"):
        chain.call(third, "attest", **words, flags=[b"\x12"], contributions=[34])
    account = b"\x12" * 32
    chain.call(third, "attest", **words, flags=[account], contributions=[34])
    assert sight(chain).progress.phase == "AGGREGATE"
    chain.call(fourth, "attest", **words, flags=[], contributions=[12, 34])
    assert sight(chain).progress.number == 2
    assert chain.events("Flagged") == []


def test_nobody_reveals_more_shares_than_there_are_members(tmp_path: Path) -> None:
    members = sites(4, tmp_path)
    chain = acted(members, 3)
    place = place_of(sight(chain))
    share: Value = [0, 0, bytes(32), bytes(32)]
    with pytest.raises(Refused, match="at most one share of each member"):
        chain.call(members[0].name, "reveal", **place, shares=[share] * 5)

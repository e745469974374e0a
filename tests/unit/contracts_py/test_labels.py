"""Labels on the engine of the node: quorum, reliability, rewards, versions."""

from __future__ import annotations

import random

import pytest

from andon.core.codec import Value
from contracts_py.library import source
from tests.unit.contracts_py.plants import BUYER, INSPECTORS, MOTORS, PARTS, STEEL, members, table
from tests.unit.contracts_py.world import World

MODELER = b"M" * 32
STEEL_EYE, PARTS_EYE, MOTORS_EYE = INSPECTORS[STEEL], INSPECTORS[PARTS], INSPECTORS[MOTORS]
BLOBS: dict[str, bytes] = {org: org[:1].encode() * 32 for org in ("steel", "parts", "motors")}


def lab(surety: int = 900) -> World:
    world = members().put("token", source("token"), title="quota").put("labels", source("labels"))
    world.host.roles[MODELER] = ("modeler", "issuer")
    world.host.organisations[MODELER] = "steel"
    world.value("token", "issue", sender=MODELER, target=MODELER, amount=100)
    world.value(
        "labels", "open", sender=MODELER, dataset="scratches", model="eye",
        classes=["fine", "bad"], surety=surety, reward=3,
    )  # fmt: skip
    return world


def sample(number: int) -> bytes:
    return bytes([number]) * 32


def send_out(world: World, number: int = 1) -> None:
    args: dict[str, Value] = {"sample": sample(number)}
    world.value("labels", "enqueue", sender=STEEL, model="eye", reason="UNSURE", **args)
    world.value("labels", "seal", sender=STEEL, dataset="scratches", sealed={**BLOBS}, **args)


def answer(world: World, who: bytes, label: str, number: int = 1) -> Value:
    return world.value(
        "labels", "answer", sender=who, dataset="scratches", sample=sample(number), label=label
    )


def reliability(world: World, who: bytes) -> list[int]:
    found = world.value("labels", "reliability", dataset="scratches", account=who)
    assert isinstance(found, list)
    return [number for number in found if isinstance(number, int)]


def test_two_organisations_that_agree_label_a_sample() -> None:
    world = lab()
    send_out(world)
    assert answer(world, STEEL_EYE, "bad") == "OUT"
    assert answer(world, PARTS_EYE, "bad") == "LABELLED"
    found = table(world.value("labels", "sample", dataset="scratches", digest=sample(1)))
    # Two unknown inspectors, each right three times of four: 9 to 1.
    assert (found["label"], found["surety"]) == ("bad", 900)


def test_one_organisation_alone_never_labels() -> None:
    world = lab(surety=501)
    send_out(world)
    for number in range(3):
        other = bytes([200 + number]) * 32
        world.host.roles[other] = ("inspector",)
        world.host.organisations[other] = "steel"
        assert answer(world, other, "bad") == "OUT"


def test_disagreement_waits_for_a_third_opinion() -> None:
    world = lab(surety=700)
    send_out(world)
    answer(world, STEEL_EYE, "bad")
    assert answer(world, PARTS_EYE, "fine") == "OUT"
    assert answer(world, MOTORS_EYE, "bad") == "LABELLED"
    rewards = [
        world.value("labels", "debt", dataset="scratches", account=who)
        for who in (STEEL_EYE, PARTS_EYE, MOTORS_EYE)
    ]
    assert rewards == [3, 0, 3]


def test_a_bad_inspector_loses_weight_and_two_good_ones_gain_it() -> None:
    world = lab(surety=700)
    dice = random.Random(4)
    truth = {number: dice.choice(["fine", "bad"]) for number in range(1, 41)}
    for number, label in truth.items():
        send_out(world, number)
        wrong = {"fine": "bad", "bad": "fine"}[label]
        answer(world, MOTORS_EYE, wrong if dice.random() < 0.5 else label, number)
        for who in (STEEL_EYE, PARTS_EYE):
            found = table(
                world.value("labels", "sample", dataset="scratches", digest=sample(number))
            )
            if found["status"] == "OUT":
                answer(world, who, label, number)
    assert min(reliability(world, STEEL_EYE)) > max(reliability(world, MOTORS_EYE)) + 100


def test_an_inspector_with_a_record_outweighs_one_without() -> None:
    world = lab(surety=750)
    for number in range(1, 31):
        send_out(world, number)
        for who in (STEEL_EYE, PARTS_EYE):
            answer(world, who, "bad" if number % 2 else "fine", number)
    send_out(world, 99)
    answer(world, STEEL_EYE, "fine", 99)
    assert answer(world, MOTORS_EYE, "bad", 99) == "LABELLED"
    found = table(world.value("labels", "sample", dataset="scratches", digest=sample(99)))
    assert found["label"] == "fine"


def test_seven_answers_without_surety_are_a_dispute() -> None:
    world = lab(surety=999)
    send_out(world)
    status: Value = "OUT"
    for number in range(7):
        who = bytes([100 + number]) * 32
        world.host.roles[who] = ("inspector",)
        world.host.organisations[who] = ("steel", "parts")[number % 2]
        status = answer(world, who, ("bad", "fine")[number % 2])
    assert status == "DISPUTED"


def test_inspectors_are_paid_once_from_the_owners_units() -> None:
    world = lab()
    send_out(world)
    answer(world, STEEL_EYE, "bad")
    answer(world, PARTS_EYE, "bad")
    args: dict[str, Value] = {"dataset": "scratches", "account": PARTS_EYE}
    assert world.code("labels", "pay", sender=STEEL_EYE, **args) == "E_ASSERT"
    assert world.value("labels", "pay", sender=MODELER, **args) == 3
    assert world.value("token", "balance_of", account=PARTS_EYE) == 3
    assert world.value("token", "balance_of", account=MODELER) == 97
    assert world.code("labels", "pay", sender=MODELER, **args) == "E_ASSERT"


def test_a_version_digest_depends_on_every_label() -> None:
    digests = []
    for label in ("bad", "fine"):
        world = lab()
        send_out(world)
        answer(world, STEEL_EYE, label)
        answer(world, PARTS_EYE, label)
        digest = world.value("labels", "cut", sender=MODELER, dataset="scratches")
        kept = table(world.value("labels", "version", dataset="scratches", number=1))
        assert (kept["digest"], kept["count"]) == (digest, 1)
        digests.append(digest)
    assert digests[0] != digests[1]


def test_a_sample_is_queued_once_and_sealed_by_its_organisation_to_two() -> None:
    world = lab()
    args: dict[str, Value] = {"sample": sample(1)}
    for _ in range(2):
        world.value("labels", "enqueue", sender=STEEL, model="eye", reason="UNSURE", **args)
    pending = world.value("labels", "pending", dataset="scratches", after=0, count=9)
    assert pending == [[1, sample(1), "QUEUED"]]
    one: dict[str, Value] = {"dataset": "scratches", "sealed": {"steel": sample(2)}, **args}
    assert world.code("labels", "seal", sender=STEEL, **one) == "E_ASSERT"
    two: dict[str, Value] = {"dataset": "scratches", "sealed": {**BLOBS}, **args}
    assert world.code("labels", "seal", sender=BUYER, **two) == "E_ASSERT"
    world.value("labels", "seal", sender=STEEL, **two)
    outside = INSPECTORS[BUYER]
    given: dict[str, Value] = {"dataset": "scratches", "label": "bad", **args}
    assert world.code("labels", "answer", sender=outside, **given) == "E_ASSERT"
    world.value("labels", "answer", sender=STEEL_EYE, **given)
    assert world.code("labels", "answer", sender=STEEL_EYE, **given) == "E_ASSERT"


@pytest.mark.parametrize(
    "wrong", [{"classes": ["one"]}, {"surety": 500}, {"surety": 1000}, {"reward": -1}]
)
def test_impossible_datasets_are_refused(wrong: dict[str, Value]) -> None:
    args: dict[str, Value] = {
        "dataset": "d", "model": "m", "classes": ["a", "b"], "surety": 900, "reward": 1,
    }  # fmt: skip
    assert lab().code("labels", "open", sender=MODELER, **{**args, **wrong}) == "E_ASSERT"

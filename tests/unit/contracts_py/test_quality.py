"""Quality and stages on the engine of the node: quarantine, gates, suspicion, certificates."""

from __future__ import annotations

import pytest

from andon.core.codec import Dec, Key, Value
from contracts_py.engine import Prediction
from contracts_py.library import source
from tests.unit.contracts_py.plants import (
    BUYER,
    COIL,
    GEAR,
    INSPECTORS,
    MOTOR,
    MOTORS,
    PARTS,
    network,
    produce,
    table,
)
from tests.unit.contracts_py.world import World

UNIT = 10**18
CLASSES: list[Value] = ["fine", "scratch", "crack"]
POLICY: dict[Key, Value] = {"fine": "ACCEPT", "scratch": "HOLD", "crack": "REJECT"}
FINE, SCRATCH, CRACK, UNSURE = b"\x50\x01\x02", b"\x01\x50\x02", b"\x01\x02\x50", b"\x50\x4f\x01"
STAGES: list[Value] = [
    {"name": "turning", "limits": {"bore": [9_900, 10_100]}, "charts": {"bore": "bore"}},
    {"name": "grinding", "limits": {"bore": [9_990, 10_010], "face": [0, 50]}, "charts": {}},
]


def works() -> World:
    world = network()
    world.host.models["eye"] = lambda image: Prediction(tuple(image[:3]), 1, 100, 100)
    world.put(
        "quality", source("quality"),
        model="eye", classes=CLASSES, policy=POLICY, margin=Dec(UNIT // 20),
    )  # fmt: skip
    world.put("spc", source("spc")).put("stages", source("stages"))
    world.value(
        "spc", "define", sender=PARTS, chart="bore", kind="CUSUM", size=1, learn=4,
        observers=["stages"],
    )  # fmt: skip
    world.value("stages", "define", sender=PARTS, route="gears", stages=STAGES)
    return world


def inspect(world: World, image: bytes, lot: str = GEAR) -> dict[Key, Value]:
    return table(world.value("quality", "inspect", sender=PARTS, lot=lot, image=image))


def lot(world: World, name: str = GEAR) -> dict[Key, Value]:
    return table(world.value("quality", "lot", name=name))


def measure(world: World, stage: str, lot: str = GEAR, **values: Value) -> dict[Key, Value]:
    given: dict[Key, Value] = {**values}
    return table(
        world.value(
            "stages", "measure", sender=PARTS, lot=lot, route="gears", stage=stage, values=given
        )
    )


def certify(world: World, route: str = "") -> Value:
    return world.value("quality", "certify", sender=INSPECTORS[PARTS], lot=GEAR, route=route)


@pytest.mark.parametrize(
    ("image", "defect", "verdict"),
    [
        (FINE, "fine", "ACCEPT"),
        (SCRATCH, "scratch", "HOLD"),
        (CRACK, "crack", "REJECT"),
        (UNSURE, "fine", "HOLD"),
    ],
)
def test_the_policy_turns_defects_into_verdicts(image: bytes, defect: str, verdict: str) -> None:
    found = inspect(works(), image)
    assert (found["defect"], found["verdict"]) == (defect, verdict)


def test_an_inspector_overrides_and_both_verdicts_stay() -> None:
    world = works()
    inspect(world, SCRATCH)
    args: dict[str, Value] = {"inspection": 1, "verdict": "ACCEPT", "reason": "dust"}
    assert world.code("quality", "override", sender=PARTS, **args) == "E_ACCESS"
    assert world.code("quality", "override", sender=INSPECTORS[BUYER], **args) == "E_ASSERT"
    world.value("quality", "override", sender=INSPECTORS[PARTS], **args)
    kept = table(world.value("quality", "inspection", number=1))
    assert (kept["verdict"], table(kept["override"])["verdict"]) == ("HOLD", "ACCEPT")
    assert lot(world)["counts"] == {"ACCEPT": 1, "HOLD": 0, "REJECT": 0}
    assert world.code("quality", "override", sender=INSPECTORS[PARTS], **args) == "E_ASSERT"


def test_two_parties_release_a_lot() -> None:
    world = works()
    inspect(world, CRACK)
    assert lot(world)["status"] == "QUARANTINED"
    args: dict[str, Value] = {"lot": GEAR}
    assert world.code("quality", "release", sender=INSPECTORS[BUYER], **args) == "E_ASSERT"
    world.value("quality", "release", sender=INSPECTORS[PARTS], **args)
    assert lot(world)["status"] == "QUARANTINED"
    assert world.code("quality", "release", sender=INSPECTORS[PARTS], **args) == "E_ASSERT"
    world.value("quality", "release", sender=INSPECTORS[BUYER], **args)
    assert (lot(world)["status"], lot(world)["releases"]) == ("RELEASED", ["parts", "buyer"])


def test_a_new_rejection_takes_the_release_back_and_revokes_the_certificate() -> None:
    world = works()
    inspect(world, FINE)
    certify(world)
    inspect(world, CRACK)
    assert lot(world)["status"] == "QUARANTINED"
    paper = table(world.value("quality", "certificate", lot=GEAR))
    assert paper["revoked"] == "rejected: crack"
    args: dict[str, Value] = {"lot": GEAR}
    assert world.code("quality", "certify", sender=INSPECTORS[PARTS], **args) == "E_ASSERT"
    world.value("quality", "scrap", sender=INSPECTORS[PARTS], **args)
    assert world.code("quality", "release", sender=INSPECTORS[PARTS], **args) == "E_ASSERT"


def test_a_certificate_needs_accepted_images_and_all_stages() -> None:
    world = works()
    args: dict[str, Value] = {"lot": GEAR, "route": "gears"}
    inspect(world, FINE)
    assert world.code("quality", "certify", sender=INSPECTORS[PARTS], **args) == "E_ASSERT"
    assert measure(world, "turning", bore=10_000)["verdict"] == "PASS"
    assert world.code("quality", "certify", sender=INSPECTORS[PARTS], **args) == "E_ASSERT"
    assert measure(world, "grinding", bore=10_001, face=10)["verdict"] == "PASS"
    certify(world, "gears")
    paper = table(world.value("quality", "certificate", lot=GEAR))
    assert paper["stages"] == ["turning", "grinding"]
    assert (paper["maker"], paper["inspector"]) == ("parts", INSPECTORS[PARTS])


def test_the_gate_of_a_stage_is_closed_until_the_one_before_is_passed() -> None:
    world = works()
    args: dict[str, Value] = {"lot": GEAR, "route": "gears", "stage": "grinding"}
    args["values"] = {"bore": 10_000, "face": 1}
    assert world.code("stages", "measure", sender=PARTS, **args) == "E_ASSERT"
    assert world.code("stages", "measure", sender=MOTORS, **args) == "E_ASSERT"


def test_a_failed_stage_stops_the_lot_until_it_is_reworked() -> None:
    world = works()
    measure(world, "turning", bore=10_000)
    failed = measure(world, "grinding", bore=10_050, face=1)
    assert (failed["verdict"], failed["reasons"]) == ("FAIL", ["bore out of limits"])
    assert lot(world)["status"] == "QUARANTINED"
    args: dict[str, Value] = {"lot": GEAR, "route": "gears", "stage": "grinding"}
    args["values"] = {"bore": 10_000, "face": 1}
    assert world.code("stages", "measure", sender=PARTS, **args) == "E_ASSERT"
    world.value("stages", "clear", sender=INSPECTORS[PARTS], lot=GEAR)
    assert measure(world, "grinding", bore=10_000, face=1)["verdict"] == "PASS"
    assert world.value("stages", "passed", lot=GEAR, route="gears") == ["turning", "grinding"]


def test_a_chart_out_of_control_holds_the_stage_for_an_inspector() -> None:
    world = works()
    for number, bore in enumerate((10_000, 10_004, 9_998, 10_002)):
        measure(world, "turning", lot=f"{GEAR}{number}", bore=bore)
    held = measure(world, "turning", bore=10_060)
    assert (held["verdict"], held["reasons"]) == ("HOLD", ["bore CUSUM_HIGH"])
    args: dict[str, Value] = {"lot": GEAR, "route": "gears", "reason": "tool was changed"}
    assert world.code("stages", "pass_held", sender=INSPECTORS[BUYER], **args) == "E_ASSERT"
    world.value("stages", "pass_held", sender=INSPECTORS[PARTS], **args)
    assert measure(world, "grinding", bore=10_000, face=1)["verdict"] == "PASS"


def test_suspicion_follows_the_genealogy_also_into_what_is_made_later() -> None:
    world = works()
    produce(world)
    names = world.value("stages", "suspect", sender=INSPECTORS[PARTS], lot=GEAR, reason="burr")
    assert isinstance(names, list)
    assert names[:2] == [GEAR, MOTOR]
    assert COIL not in names
    assert len(str(world.value("stages", "suspicion", lot=MOTOR))) > 0
    late: dict[Key, Value] = {
        "kind": "TransformationEvent", "time_ms": 10**7, "inputs": [GEAR], "outputs": ["x/late"],
    }  # fmt: skip
    world.value("supply", "capture", sender=MOTORS, event=late)
    found = world.value("stages", "suspicion", lot="x/late")
    assert isinstance(found, list)
    assert [table(row)["reason"] for row in found] == ["burr"]
    assert world.code("stages", "clear", sender=INSPECTORS[BUYER], lot=GEAR) == "E_ASSERT"
    world.value("stages", "clear", sender=INSPECTORS[PARTS], lot=GEAR)
    assert world.value("stages", "suspicion", lot="x/late") == []


def test_strangers_do_not_stop_lots() -> None:
    world = works()
    inspect(world, FINE)
    args: dict[str, Value] = {"lot": GEAR, "reason": "spite"}
    assert world.code("quality", "quarantine", sender=BUYER, **args) == "E_ASSERT"
    assert world.code("quality", "inspect", sender=BUYER, lot=GEAR, image=CRACK) == "E_ASSERT"
    world.value("quality", "quarantine", sender=PARTS, **args)
    assert lot(world)["status"] == "QUARANTINED"

"""Maintenance as a service and drift, on the engine of the node."""

from __future__ import annotations

import pytest

from andon.core.codec import Dec, Key, Value
from contracts_py.engine import Mode, Prediction
from contracts_py.library import source
from tests.unit.contracts_py.plants import (
    ADMINS,
    BUYER,
    MOTORS,
    PARTS,
    STEEL,
    members,
    table,
)
from tests.unit.contracts_py.world import World

UNIT = 10**18
PATH = "steel/duisburg/rolling/line-1/stand-3"
MODELER = b"M" * 32
WORN, FINE, UNSURE = b"\x05", b"\x64", b"\x1f"


def service(**changes: Value) -> World:
    """Steel's machine, kept by motors; buyer is told. Deployed by an admin of steel."""
    world = members()
    world.host.models["rul"] = lambda window: Prediction((window[0],), 1, 1, 100)
    world.host.models["class"] = lambda window: Prediction(tuple(window), 1, 100, 100)
    world.host.models["odd"] = lambda window: Prediction((window[0],), 1, 10, 100)
    world.put("scores", source("scores"))
    world.host.sources["maintenance"] = source("maintenance")
    outcome = world.run("maintenance", "", mode=Mode.INIT, sender=ADMINS[STEEL], model="rul")
    assert outcome.ok, outcome.failure
    if changes:
        world.value("maintenance", "configure", sender=ADMINS[STEEL], changes={**changes})
    world.value(
        "maintenance", "register", sender=STEEL, machine="m1", path=PATH, maintainer="motors",
        subscribers=["buyer"], part="bearing",
    )  # fmt: skip
    return world


def assess(world: World, window: bytes, sender: bytes = STEEL) -> dict[Key, Value]:
    return table(world.value("maintenance", "assess", sender=sender, machine="m1", window=window))


def named(world: World, event: str) -> list[Value]:
    return [fields for name, fields in world.events() if name == event]


def test_a_machine_has_a_path_an_owner_and_people_who_are_told() -> None:
    world = service()
    assert table(world.value("maintenance", "profile", machine="m1"))["path"] == PATH
    assert assess(world, WORN)["state"] == "WORN"
    assert named(world, "Notified") == [{"org": "buyer", "machine": "m1", "order": 1}]


@pytest.mark.parametrize("path", ["a/b/c/d", "a/b/c/d/e/f", "a//c/d/e", "", "a/b/c/d/" + "e" * 256])
def test_a_path_has_the_five_levels_of_isa_95(path: str) -> None:
    args: dict[str, Value] = {"machine": "m2", "path": path, "maintainer": "", "subscribers": []}
    assert service().code("maintenance", "register", sender=STEEL, **args) == "E_ASSERT"


def test_strangers_neither_assess_nor_take_over_a_machine() -> None:
    world = service()
    args: dict[str, Value] = {"machine": "m1", "window": WORN}
    assert world.code("maintenance", "assess", sender=PARTS, **args) == "E_ASSERT"
    assert assess(world, FINE, sender=MOTORS)["state"] == "HEALTHY"
    taken: dict[str, Value] = {"machine": "m1", "path": PATH, "maintainer": "", "subscribers": []}
    assert world.code("maintenance", "register", sender=PARTS, **taken) == "E_ASSERT"
    assert world.code(
        "maintenance", "assess_many", sender=PARTS, machines=["m1"], windows=FINE
    ) == ("E_ASSERT")


def test_the_outcome_of_an_order_scores_model_and_maintainer() -> None:
    world = service()
    for failed in (True, False):
        assess(world, WORN)
        world.height += 3
        number = table(world.value("maintenance", "status", machine="m1"))["order"]
        args: dict[str, Value] = {"order": number}
        assert world.code("maintenance", "acknowledge", sender=BUYER, **args) == "E_ASSERT"
        world.value("maintenance", "acknowledge", sender=MOTORS, **args)
        world.height += 4
        world.value("maintenance", "close", sender=MOTORS, **args, failed=failed, cause="race")
    assert world.value("maintenance", "score", kind="model", name="rul") == {
        "hits": 1, "false_alarms": 1,
    }  # fmt: skip
    assert world.value("maintenance", "score", kind="maintainer", name="motors") == {
        "orders": 2, "blocks_to_acknowledge": 6, "closed": 2, "blocks_to_close": 14,
    }  # fmt: skip


def test_a_failure_without_an_alert_is_a_miss_and_opens_an_order() -> None:
    world = service()
    assess(world, FINE)
    world.value("maintenance", "report_failure", sender=STEEL, machine="m1", cause="shaft")
    assert world.value("maintenance", "score", kind="model", name="rul") == {"misses": 1}
    assert table(world.value("maintenance", "status", machine="m1"))["state"] == "FAILED"
    world.value("maintenance", "report_failure", sender=STEEL, machine="m1", cause="again")
    assert world.value("maintenance", "score", kind="maintainer", name="motors") == {
        "failed_while_open": 1,
    }  # fmt: skip


def test_class_and_anomaly_come_with_margins() -> None:
    world = service(
        class_model="class", classes=["bearing", "belt"], class_margin=Dec(UNIT // 10),
        anomaly_model="odd", anomaly_limit=Dec(5 * UNIT), anomaly_margin=Dec(UNIT),
    )  # fmt: skip
    for windows, failure, verdict in (
        ((b"\x50\x10", b"\x63"), "bearing", "ABOVE"),
        ((b"\x10\x50", b"\x0a"), "belt", "BELOW"),
        ((b"\x50\x48", b"\x37"), "UNDECIDED", "UNDECIDED"),
    ):
        found = table(
            world.value(
                "maintenance", "examine", sender=STEEL, machine="m1", window=FINE,
                class_window=windows[0], anomaly_window=windows[1],
            )
        )  # fmt: skip
        assert (found["failure"], found["anomaly_verdict"]) == (failure, verdict)


def test_options_are_checked_and_belong_to_the_deployer() -> None:
    world = service()
    for changes in ({"limit": Dec(0)}, {"nothing": 1}, {"org": "x"}, {"class_model": 5}):
        args: dict[str, Value] = {"changes": dict(changes)}
        assert world.code("maintenance", "configure", sender=ADMINS[STEEL], **args) == "E_ASSERT"
    args = {"changes": {"limit": Dec(UNIT)}}
    assert world.code("maintenance", "configure", sender=ADMINS[PARTS], **args) == "E_ASSERT"


def test_broken_neighbours_never_stop_a_prediction() -> None:
    world = service(parts="nowhere", drift="nowhere", labels="nowhere")
    assert assess(world, WORN)["state"] == "WORN"
    assert table(world.value("maintenance", "work_order", number=1))["reservation"] == 0


def drifting() -> World:
    world = service(drift="drift")
    world.put("drift", source("drift"))
    world.host.roles[MODELER] = ("modeler",)
    world.host.organisations[MODELER] = "steel"
    world.value("drift", "define", sender=MODELER, **stream())
    return world


def stream() -> dict[str, Value]:
    return {
        "stream": "rul", "edges": [40, 80], "reference": [10, 30, 60], "reference_sum": 7000,
        "size": 10, "threshold": 9_210, "observers": ["maintenance", "steel"],
    }  # fmt: skip


def test_a_changed_population_asks_for_retraining_until_it_is_answered() -> None:
    world = drifting()
    for window in (b"\x64",) * 6 + (b"\x3c",) * 3 + (b"\x0a",):
        assess(world, window)
    same = table(world.value("drift", "status", stream="rul"))
    assert (same["statistic"], same["asked"], same["windows"]) == (0, 0, 1)
    for _ in range(10):
        assess(world, b"\x0a")
    moved = table(world.value("drift", "status", stream="rul"))
    # All ten fall into the first bin: chi-square of (10, 30, 60) against (10, 0, 0) is 49.5.
    assert moved["statistic"] == 49_500
    assert moved["mean_shift"] == -60_000
    assert world.value("drift", "is_asked", stream="rul") is True
    assert len(named(world, "RetrainingAsked")) == 1
    answer: dict[str, Value] = {"stream": "rul", "reference": [9, 1, 0], "reference_sum": 150}
    assert world.code("drift", "answer", sender=STEEL, **answer) == "E_ACCESS"
    world.value("drift", "answer", sender=MODELER, **answer)
    assert world.value("drift", "is_asked", stream="rul") is False
    for _ in range(10):
        assess(world, b"\x0a")
    assert world.value("drift", "is_asked", stream="rul") is False


def test_unsure_and_drifting_predictions_wait_for_a_label_until_drift_is_answered() -> None:
    world = drifting()
    world.put("labels", source("labels"))
    world.value("maintenance", "configure", sender=ADMINS[STEEL], changes={"labels": "labels"})
    world.value(
        "labels", "open", sender=MODELER,
        dataset="wear", model="rul", classes=["FINE", "WORN"], surety=800, reward=0,
    )  # fmt: skip

    def reasons() -> list[Value]:
        return [table(fields)["reason"] for fields in named(world, "Queued")]

    assess(world, b"\x64")
    assert reasons() == []
    assess(world, UNSURE)
    assess(world, UNSURE)
    assert reasons() == ["UNSURE"]
    for _ in range(7):
        assess(world, b"\x63")
    assert table(world.value("drift", "status", stream="rul"))["windows"] == 1
    for _ in range(10):
        assess(world, b"\x0a")
    assert world.value("drift", "is_asked", stream="rul") is True
    asked = reasons()
    assert asked[-1] == "DRIFT"
    assess(world, b"\x62")
    assert reasons() == [*asked, "DRIFT"]
    world.value(
        "drift", "answer", sender=MODELER, stream="rul", reference=[9, 1, 0], reference_sum=150
    )
    assess(world, b"\x61")
    assert reasons() == [*asked, "DRIFT"]


def test_only_observers_feed_a_stream() -> None:
    world = drifting()
    world.value("drift", "observe", sender=STEEL, stream="rul", number=5)
    assert world.code("drift", "observe", sender=PARTS, stream="rul", number=5) == "E_ASSERT"
    assert world.code("drift", "observe", sender=STEEL, stream="rul", number=10**13) == "E_ASSERT"


@pytest.mark.parametrize(
    "wrong",
    [
        {"edges": [80, 40]},
        {"reference": [1, 2]},
        {"reference": [0, 0, 0]},
        {"reference": [5, -1, 5]},
        {"threshold": 0},
        {"size": 0},
        {"stream": ""},
    ],
)
def test_impossible_streams_are_refused(wrong: dict[str, Value]) -> None:
    world = drifting()
    args = {**stream(), "stream": "other", **wrong}
    assert world.code("drift", "define", sender=MODELER, **args) == "E_ASSERT"

"""The contract that counts windows: a number is taken once, totals add up."""

from andon.core.codec import Value
from contracts_py.library import source
from tests.unit.contracts_py.world import ALICE, BOB, World


def world() -> World:
    made = World()
    made.host.roles[ALICE] = made.host.roles[BOB] = ("operator",)
    return made.put("telemetry", source("telemetry"))


def args(sequence: int, **changes: Value) -> dict[str, Value]:
    base: dict[str, Value] = {
        "machine": "m", "sequence": sequence, "start_ms": 0, "end_ms": 10, "count": 5, "late": 1,
        "bad": 2, "digest": bytes(32),
    }  # fmt: skip
    return base | changes


def test_a_window_is_recorded_once_and_totals_add_up() -> None:
    made = world()
    made.value("telemetry", "record", **args(1))
    assert made.code("telemetry", "record", **args(1)) == "E_ASSERT"
    made.value("telemetry", "record", **args(4, digest=b"d" * 32))
    assert made.code("telemetry", "record", **args(3)) == "E_ASSERT"
    line = made.value("telemetry", "line", gateway=ALICE, machine="m")
    assert isinstance(line, dict)
    assert (line["windows"], line["count"], line["late"], line["bad"]) == (2, 10, 2, 4)
    assert (line["sequence"], line["digest"]) == (4, b"d" * 32)


def test_gateways_number_their_windows_apart() -> None:
    made = world()
    made.value("telemetry", "record", **args(9))
    made.value("telemetry", "record", sender=BOB, **args(1))
    assert made.value("telemetry", "line", gateway=BOB, machine="x") is None


def test_counts_that_cannot_be_are_refused() -> None:
    made = world()
    for changes in ({"late": 4}, {"end_ms": -1}, {"digest": b""}, {"machine": ""}, {"bad": -1}):
        assert made.code("telemetry", "record", **args(1, **changes)) == "E_ASSERT"
    made.host.roles[BOB] = ()
    assert made.code("telemetry", "record", sender=BOB, **args(1)) == "E_ACCESS"

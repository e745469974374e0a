"""A table that nobody here has seen: trained, certified, scored on unseen rows, reported."""

from __future__ import annotations

import csv
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from andon.core.errors import Code, InvalidInput
from models import commands
from models.__main__ import main
from models.data import degradation
from models.data.tables import read_table
from models.recipes.own_data import (
    Request,
    chosen_cap,
    examples_of,
    identifiers,
    input_columns,
)


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("own") / "machines.csv"
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["machine", "cycle", "constant", *degradation.SENSORS])
        for machine in degradation.fleet(10, seed=3):
            for cycle, row in enumerate(machine.sensors[:60]):
                writer.writerow([machine.name, cycle, 7, *np.round(row, 3)])
    return path


def request(path: Path, task: str, **changes: object) -> Request:
    fields: dict[str, object] = {
        "csv": path, "task": task, "name": "own", "group": "machine", "time": "cycle",
    }  # fmt: skip
    return Request(**{**fields, **changes})  # type: ignore[arg-type] # test fields


def test_inputs_leave_out_group_time_target_and_constants(machines: Path) -> None:
    table = read_table(machines)
    names = input_columns(table, request(machines, "regress", target="speed"))
    assert "constant" not in names
    assert {"machine", "cycle", "speed"}.isdisjoint(names)
    assert len(names) == 7


def test_whole_machines_are_held_out_and_life_counts_down(machines: Path) -> None:
    asked = request(machines, "rul", window=20, ignore=("constant",))
    table = read_table(machines)
    examples = examples_of(table, input_columns(table, asked), asked)
    assert examples.readings.shape == (10 * 41, 20, 8)
    assert set(examples.groups[examples.is_test]).isdisjoint(examples.groups[~examples.is_test])
    assert examples.targets[examples.groups == 0].tolist() == list(range(40, -1, -1))


def test_a_forecast_holds_out_the_end_of_each_series(machines: Path) -> None:
    asked = request(machines, "forecast", target="speed", window=10)
    table = read_table(machines)
    examples = examples_of(table, input_columns(table, asked), asked)
    assert examples.readings.shape[2] == 1
    assert 0.2 < examples.is_test.mean() < 0.4


def _series(path: Path, groups: int, rows: int) -> Path:
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["part", "month", "note", "demand"])
        for part in range(groups):
            for row in range(rows):
                writer.writerow([f"P{part}", row, f"order {part}-{row}", (part * row) % 5])
    return path


def test_windows_of_short_series_are_short(tmp_path: Path) -> None:
    path = _series(tmp_path / "parts.csv", groups=20, rows=36)
    asked = request(path, "forecast", target="demand", group="part", time="month")
    examples = examples_of(read_table(path), ("demand",), asked)
    assert examples.readings.shape[1:] == (12, 1)
    assert 0 < examples.is_test.mean() < 1
    assert "of 12 rows" in examples.convention
    with pytest.raises(InvalidInput, match="nothing to train on") as refused:
        examples_of(read_table(path), ("demand",), request(
            path, "forecast", target="demand", group="part", time="month", window=30,
        ))  # fmt: skip
    assert "--window" in refused.value.hint


def test_a_text_of_its_own_in_each_row_is_no_input(tmp_path: Path) -> None:
    path = _series(tmp_path / "parts.csv", groups=8, rows=10)
    asked = request(path, "regress", target="demand", group="", time="")
    table = read_table(path)
    assert identifiers(table, asked) == ("note",)
    assert input_columns(table, asked) == ("part", "month")


@pytest.mark.parametrize(
    ("task", "changes", "word"),
    [
        ("rul", {"cap": -1.0}, "--cap"),
        ("regress", {"target": "speed", "cap": 9.0}, "--cap"),
        ("regress", {"target": ""}, "--target"),
        ("classify", {"target": "speed"}, "classes"),
        ("rul", {"group": ""}, "--group"),
        ("rul", {"window": 60}, "--window"),
        ("regress", {"target": "nothing"}, "nothing"),
    ],
)
def test_what_is_missing_is_said(
    machines: Path, task: str, changes: dict[str, object], word: str
) -> None:
    asked = request(machines, task, **changes)
    table = read_table(machines)
    with pytest.raises(InvalidInput) as caught:
        examples_of(table, input_columns(table, asked), asked)
    assert caught.value.code is Code.BAD_DATASET
    assert word in str(caught.value)


@pytest.mark.parametrize(
    ("median_life", "cap"), [(60.0, 125.0), (206.0, 125.0), (18_300.0, 11_000.0), (2.5, 1.5)]
)
def test_the_cap_is_125_for_counts_of_cycles_and_six_tenths_of_other_lives(
    median_life: float, cap: float
) -> None:
    assert chosen_cap(median_life)[0] == cap


def test_life_left_is_capped_as_asked_and_the_convention_says_so(machines: Path) -> None:
    asked = request(machines, "rul", window=20, ignore=("constant",), cap=25.0)
    table = read_table(machines)
    examples = examples_of(table, input_columns(table, asked), asked)
    assert examples.targets[examples.groups == 0].tolist() == [25.0] * 16 + list(range(24, -1, -1))
    assert examples.cap == 25
    assert "capped at 25 (as asked)" in examples.convention


def test_lives_in_hours_are_capped_by_the_machines_that_train(tmp_path: Path) -> None:
    path = tmp_path / "hours.csv"
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["machine", "cycle", "heat", "hours_left"])
        for machine in range(12):
            for row in range(30):
                writer.writerow([f"M{machine}", row, row % 7, 500 * (29 - row)])
    asked = request(path, "rul", target="hours_left", window=10)
    examples = examples_of(read_table(path), ("heat",), asked)
    assert examples.cap == 8700  # six tenths of 500 hours times 29 rows
    assert "six tenths of the median life 14500" in examples.convention


def test_unusual_rows_are_seen_in_windows_where_time_orders_them(machines: Path) -> None:
    table = read_table(machines)
    columns = input_columns(table, request(machines, "anomaly"))
    examples = examples_of(table, columns, request(machines, "anomaly", window=8))
    assert examples.readings.shape == (10 * 53, 8, 8)
    assert "windows of 8 rows" in examples.convention
    assert set(examples.groups[examples.is_test]).isdisjoint(examples.groups[~examples.is_test])
    rows = examples_of(table, columns, request(machines, "anomaly", window=1))
    assert rows.readings.shape == (600, 8)


class Tags(HTMLParser):
    """Collects tags and refuses scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert tag != "script"
        assert not any(value and value.startswith("http") for _, value in attrs)


def test_an_anomaly_model_is_trained_saved_verified_and_reported(
    machines: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = ["train", "--csv", str(machines), "--task", "anomaly", "--group", "machine"]
    arguments += ["--time", "cycle", "--window", "6"]
    assert main([*arguments, "--name", "own-anomaly", "--out", str(out)]) == 0
    assert "test examples above it" in capsys.readouterr().out
    parser = Tags()
    parser.feed((out / "report.html").read_text("utf-8"))
    assert {"svg", "table", "pre"} <= set(parser.tags)
    assert main(["verify", str(out), "--backend", "numpy"]) == 0
    manifest = commands.open_package(out).manifest
    assert (manifest.task, manifest.input_shape) == ("anomaly", (6, 8))


def test_mistakes_end_with_status_2_and_a_hint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(tmp_path)]) == 2
    assert main(["train", "--csv", str(tmp_path / "no.csv"), "--out", str(tmp_path)]) == 2
    assert "Hint" in capsys.readouterr().err


def test_show_prints_manifest_certificate_and_card(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "models/packages/rul-demo"]) == 0
    shown = capsys.readouterr().out
    assert "multiply-adds" in shown
    assert "# Remaining useful life" in shown

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from andon.core.errors import Code, InvalidInput
from andon.gateway.config import ReplayTable
from andon.gateway.replay import replay

ROWS = {"time_ms": [100, 200, 300], "machine": ["m1", "m1", "m2"], "temp": [1.5, None, 3.0]}


def messages(folder: Path, name: str, notes: dict[str, bytes] | None = None) -> list[object]:
    found = replay(ReplayTable(path=name), folder, 2, notes or {}, lambda: 9)
    return [json.loads(arrival.payload) for arrival in found]


def test_parquet_and_csv_give_the_same_messages(tmp_path: Path) -> None:
    pq.write_table(pa.table(ROWS), tmp_path / "a.parquet")
    (tmp_path / "a.csv").write_text("time_ms,machine,temp\n100,m1,1.5\n200,m1,\n300,m2,3.0\n")
    expected = [
        {"machine": "m1", "time_ms": 100, "values": {"temp": 1.5}},
        {"machine": "m1", "time_ms": 200, "values": {"temp": None}},
        {"machine": "m2", "time_ms": 300, "values": {"temp": 3.0}},
    ]
    assert messages(tmp_path, "a.parquet") == messages(tmp_path, "a.csv") == expected


def test_a_replay_goes_on_behind_the_row_that_was_written(tmp_path: Path) -> None:
    pq.write_table(pa.table(ROWS), tmp_path / "a.parquet")
    arrivals = list(replay(ReplayTable(path="a.parquet"), tmp_path, 2, {}, lambda: 9))
    notes = dict([arrivals[1].note])  # type: ignore[list-item]
    assert messages(tmp_path, "a.parquet", notes) == messages(tmp_path, "a.parquet")[2:]


@pytest.mark.parametrize("name", ["absent.csv", "absent.parquet"])
def test_a_file_that_is_not_there_is_a_typed_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput) as found:
        messages(tmp_path, name)
    assert found.value.code is Code.BAD_DATASET


def test_a_row_without_a_time_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("time_ms,machine,temp\n100,m1,1\nsoon,m1,2\n")
    with pytest.raises(InvalidInput) as found:
        messages(tmp_path, "a.csv")
    assert found.value.code is Code.BAD_DATASET
    assert "row 1" in found.value.message

"""The C-MAPSS reader: plain or .xz text, windows, padding, labels and typed refusals."""

from __future__ import annotations

import lzma
from pathlib import Path

import numpy as np
import pytest

from andon.core.errors import Code, InvalidInput
from models.data import cmapss


def text(lives: dict[int, int]) -> str:
    def row(unit: int, cycle: int) -> str:
        sensors = [str(unit * 100 + cycle + s) for s in range(21)]
        return " ".join([str(unit), str(cycle), "0.1", "0.2", "100", *sensors])

    rows = [row(unit, cycle) for unit, life in lives.items() for cycle in range(1, life + 1)]
    return "  \n".join(rows) + "\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train_FD001.txt").write_text(text({1: 40, 2: 31}))
    with lzma.open(tmp_path / "test_FD001.txt.xz", "wt") as stream:
        stream.write(text({1: 35, 2: 12}))
    (tmp_path / "RUL_FD001.txt").write_text("112\n 98\n")
    return tmp_path


def test_training_engines_end_in_failure(folder: Path) -> None:
    engines = cmapss.read_engines(folder, "FD001", "train")
    assert [(e.number, e.cycles, e.remaining) for e in engines] == [(1, 40, 0), (2, 31, 0)]
    assert engines[0].sensors.shape == (40, 14)
    assert engines[0].sensors[0, 0] == 102  # sensor 2 of unit 1 at cycle 1
    assert engines[0].settings[0].tolist() == [0.1, 0.2, 100.0]


def test_every_full_window_has_its_remaining_life(folder: Path) -> None:
    windows = cmapss.all_windows(cmapss.read_engines(folder, "FD001", "train"))
    assert windows.sensors.shape == (11 + 2, 30, 14)
    mine = windows.engine == 1
    assert windows.rul[mine].tolist() == list(range(11))
    assert windows.cycle[mine].tolist() == list(range(40, 29, -1))


def test_a_short_test_engine_is_padded_in_front_with_its_first_reading(folder: Path) -> None:
    last = cmapss.last_windows(cmapss.read_engines(folder, "FD001", "test"))
    assert last.rul.tolist() == [112, 98]
    short = last.sensors[1]
    assert (short[:19] == short[18]).all()
    assert short[-1, 0] == 200 + 12 + 1


def test_the_digest_is_of_the_text_not_of_its_compression(folder: Path, tmp_path: Path) -> None:
    before = cmapss.data_digest(folder, "FD001")
    with lzma.open(folder / "test_FD001.txt.xz") as stream:
        (folder / "test_FD001.txt").write_bytes(stream.read())
    (folder / "test_FD001.txt.xz").unlink()
    assert cmapss.data_digest(folder, "FD001") == before


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("RUL_FD001.txt", "112\n"),
        ("RUL_FD001.txt", "112\nabc\n"),
        ("test_FD001.txt", "1 2 3\n"),
        ("test_FD001.txt", ""),
        ("test_FD001.txt", text({1: 3, 2: 3}).replace("100", "nan", 1)),
    ],
)
def test_files_that_are_not_cmapss_are_refused(folder: Path, name: str, content: str) -> None:
    (folder / name).write_text(content)
    with pytest.raises(InvalidInput) as caught:
        cmapss.read_engines(folder, "FD001", "test")
    assert caught.value.code is Code.BAD_DATASET


def test_a_missing_file_says_where_to_point(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        cmapss.read_engines(tmp_path, "FD001", "train")
    assert "DATA" in caught.value.hint


def test_the_score_punishes_late_predictions_more() -> None:
    truth = np.array([50.0])
    late = cmapss.nasa_score(truth + 10, truth)
    early = cmapss.nasa_score(truth - 10, truth)
    assert late == pytest.approx(np.e - 1)
    assert early == pytest.approx(np.exp(10 / 13) - 1)
    assert cmapss.rmse(np.array([3.0, 5.0]), np.array([0.0, 1.0])) == pytest.approx(12.5**0.5)

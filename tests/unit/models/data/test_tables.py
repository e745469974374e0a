"""CSV tables: numbers, coded texts, missing cells, and refusals that name the line."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from andon.core.errors import Code, InvalidInput
from models.data.tables import read_table

TEXT = "a,b,kind\n1,2.5,low\n,NA,high\n-3,1e3,low\n"


def write(folder: Path, text: str, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def test_numbers_texts_and_missing_cells(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, TEXT))
    assert table.columns == ("a", "b", "kind")
    np.testing.assert_array_equal(table.column("a"), [1.0, np.nan, -3.0])
    np.testing.assert_array_equal(table.column("b"), [2.5, np.nan, 1000.0])
    assert table.column("kind").tolist() == [1.0, 0.0, 1.0]
    assert table.codes == {"kind": ("high", "low")}


def test_a_compressed_table_with_a_byte_order_mark_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"\xef\xbb\xbf" + TEXT.encode()))
    assert read_table(path).columns == ("a", "b", "kind")


def test_time_stamps_of_shuffled_rows_sort_as_time(tmp_path: Path) -> None:
    stamps = ["2019-03-06 11:40", "2019-03-06 10:52", "2019-03-06 14:47", "2019-03-06 10:52"]
    text = "at\n" + "\n".join(stamps) + "\n"
    assert read_table(write(tmp_path, text)).column("at").tolist() == [1.0, 0.0, 2.0, 0.0]


def test_columns_are_selected_in_the_order_asked(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, TEXT))
    assert table.select(("b", "a"))[0].tolist() == [2.5, 1.0]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "header"),
        ("a,a\n1,2\n", "header"),
        ("a,b\n", "0 rows"),
        ("a,b\n1,2\n3\n", "line 3"),
    ],
)
def test_ill_formed_tables_are_refused(tmp_path: Path, text: str, word: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_table(write(tmp_path, text))
    assert caught.value.code is Code.BAD_DATASET
    assert word in caught.value.message


def test_bytes_that_are_not_text_and_missing_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_bytes(b"a\n\xff\xfe\n")
    (tmp_path / "c.csv.gz").write_bytes(b"not gzip")
    for name in ("b.csv", "c.csv.gz", "none.csv"):
        with pytest.raises(InvalidInput) as caught:
            read_table(tmp_path / name)
        assert caught.value.code is Code.BAD_DATASET


def test_an_unknown_column_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_table(write(tmp_path, TEXT)).column("c")
    assert "a, b, kind" in caught.value.hint


def test_semicolons_and_decimal_commas_of_spreadsheets_are_read(tmp_path: Path) -> None:
    path = tmp_path / "export.csv"
    path.write_text("zeit;druck;teil\n1;3,14;a,b\n2;;c\n3;-2;a,b\n")
    table = read_table(path)
    assert table.columns == ("zeit", "druck", "teil")
    np.testing.assert_array_equal(table.column("druck"), [3.14, np.nan, -2])
    assert table.codes == {"teil": ("a,b", "c")}

"""The house rules find what they are for."""

from pathlib import Path

import pytest

from scripts import tidy


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tidy, "ROOT", tmp_path)
    for package in tidy.PACKAGES:
        (tmp_path / package).mkdir(parents=True)
    return tmp_path


def write(tree: Path, name: str, text: str) -> list[str]:
    path = tree / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return list(tidy.check_file(path))


def body(lines: int) -> str:
    return "def long() -> None:\n" + '    """Say nothing."""\n' + "    pass\n" * lines


def test_file_of_400_lines_is_allowed_and_401_is_not(tree: Path) -> None:
    assert write(tree, "node/a.py", "x = 1\n" * 400) == []
    assert write(tree, "node/a.py", "x = 1\n" * 401) == [
        "node/a.py:1: file has 401 lines, at most 400"
    ]


def test_a_standard_contract_of_200_lines_is_allowed_and_201_is_not(tree: Path) -> None:
    folder = tree / tidy.LIBRARY
    folder.mkdir(parents=True)
    (folder / "short.py").write_text("x = 1\n" * 200, encoding="utf-8")
    assert list(tidy.check_library()) == []
    (folder / "long.py").write_text("x = 1\n" * 201, encoding="utf-8")
    assert list(tidy.check_library()) == [
        "contracts_py/library/long.py:1: contract has 201 lines, at most 200"
    ]


def test_function_body_is_counted_without_its_docstring(tree: Path) -> None:
    assert write(tree, "node/a.py", body(60)) == []
    assert write(tree, "node/a.py", body(61)) == ["node/a.py:1: long has 61 lines, at most 60"]


def test_function_of_a_docstring_alone_is_fine(tree: Path) -> None:
    assert write(tree, "node/a.py", body(0)) == []


def test_todo_needs_an_issue_number(tree: Path) -> None:
    assert write(tree, "node/a.py", "x = 1  # TODO(#12) later\n") == []
    assert write(tree, "node/a.py", "x = 1  # TO" + "DO later\n") == [
        "node/a.py:1: a TODO carries an issue number, TODO(#n)"
    ]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("for x in {1, 2}:\n    pass\n", "iteration over a set in a pure layer"),
        ("y = [x for x in set([1])]\n", "iteration over a set in a pure layer"),
        ("x = 0.5\n", "float in a pure layer"),
        ("async def f() -> None:\n    pass\n", "async in a pure layer"),
    ],
)
def test_impure_code_is_refused_in_pure_layers_alone(tree: Path, text: str, rule: str) -> None:
    assert [item.split(": ", 1)[1] for item in write(tree, "consensus/a.py", text)] == [rule]
    assert write(tree, "node/a.py", text) == []


def test_run_over_a_tree_prints_and_counts(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tree, "andon/core/good.py", "x = 1\n")
    assert tidy.main() == 0
    write(tree, "andon/core/bad.py", "x = 1.5\n")
    assert tidy.main() == 1
    assert "andon/core/bad.py:1: float in a pure layer" in capsys.readouterr().out

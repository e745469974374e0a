import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from andon.cli.main import cli
from andon.cli.scaffold import MACHINES, project_files
from andon.core.errors import InvalidInput
from andon.gateway.config import read_config
from contracts_py.engine import Engine
from models.data.tables import read_table
from models.recipes.own_data import Request, input_columns

ROOT = Path(__file__).resolve().parents[4]


def test_a_new_project_passes_its_own_tests(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["new", "press_line", "--in", str(tmp_path)])
    assert result.exit_code == 0, result.output
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"],
        cwd=tmp_path / "press_line",
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout


def test_the_contract_of_a_new_project_is_accepted() -> None:
    source = project_files("line")["contracts/line.py"].encode()
    assert Engine().check(source) is not None


def test_the_gateway_says_how_it_is_used(tmp_path: Path) -> None:
    path = tmp_path / "gateway.py"
    path.write_text(project_files("line")["gateway.py"])
    done = subprocess.run(
        [sys.executable, str(path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "URL KEY MACHINE" in done.stderr


def test_the_gateway_of_a_new_project_calls_its_contract(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(project_files("line")["gateway.toml"])
    (stream,) = read_config(path).streams
    assert stream.call is not None
    assert (stream.call.contract, stream.call.method) == ("line", "report")
    assert set(stream.call.arguments) == {"machine", "window"}


def test_an_existing_folder_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "line").mkdir()
    result = CliRunner().invoke(cli, ["new", "line", "--in", str(tmp_path)])
    assert result.exit_code != 0
    assert list((tmp_path / "line").iterdir()) == []


@pytest.mark.parametrize("name", ["", "Line", "1line", "../up", "a" * 33, "with-dash"])
def test_names_that_no_contract_can_have_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput):
        project_files(name)


def test_the_example_table_of_a_new_project_can_be_trained_on(tmp_path: Path) -> None:
    path = tmp_path / "readings.csv"
    path.write_text(project_files("line")["readings.csv"])
    request = Request(csv=path, task="rul", name="line", group="machine", time="cycle")
    table = read_table(path)
    assert input_columns(table, request) == ("temperature", "vibration", "pressure")
    assert len(table.codes["machine"]) == MACHINES

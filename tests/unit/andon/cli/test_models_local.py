"""`andon models train` and `verify` reach the checkout's own command; committees have verbs."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from andon.cli.models import models_command
from andon.core.errors import Misuse

ROOT = Path(__file__).resolve().parents[4]


def test_a_package_is_verified_by_the_interpreter(capsys: pytest.CaptureFixture[str]) -> None:
    path = str(ROOT / "models" / "packages" / "rul-demo")
    result = CliRunner().invoke(models_command, ["verify", path, "--backend", "numpy"])
    assert result.exit_code == 0, result.output
    assert "golden vectors and edge inputs agree" in result.output


def test_a_table_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    arguments = ["train", "--csv", str(tmp_path / "no.csv"), "--task", "regress", "--target", "y"]
    result = CliRunner().invoke(models_command, [*arguments, "--out", str(tmp_path / "out")])
    assert result.exit_code != 0
    assert not (tmp_path / "out").exists()


def test_an_installation_without_models_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("andon.cli.models_local.ENGINE", "models.nowhere")
    result = CliRunner().invoke(models_command, ["train"])
    assert isinstance(result.exception, Misuse)
    assert "checkout" in result.exception.hint


@pytest.mark.parametrize("verb", ["appoint", "ask", "publish", "list", "show", "alias"])
def test_every_verb_explains_itself(verb: str) -> None:
    result = CliRunner().invoke(models_command, [verb, "--help"])
    assert result.exit_code == 0
    assert "Usage" in result.output


def test_a_tolerance_below_ten_units_is_refused_before_anything_is_sent() -> None:
    result = CliRunner().invoke(models_command, ["appoint", "wear", "--tolerance", "9"])
    assert result.exit_code == 2

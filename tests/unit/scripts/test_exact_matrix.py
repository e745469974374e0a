"""The matrix of flags: one setting in this process, one in its own, and a flag nobody knows."""

from __future__ import annotations

import pytest

from models.environment import prepare_environment
from scripts import exact_matrix


def test_one_setting_compares_graphs_of_all_plans_and_packages_of_all_batches() -> None:
    prepare_environment("cpu")
    found = exact_matrix.compare("cpu", 1, 5, (1,))
    assert found.wrong == ()
    assert (found.graphs, found.packages) == (2, 2)
    assert found.rows > 2 * 10


@pytest.mark.slow
def test_a_setting_runs_in_a_process_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--graphs", "1", "--batch", "1", "--threads", "2", "--only", "sse4.2"]
    assert exact_matrix.main(arguments) == 0
    printed = capsys.readouterr().out
    assert "0 wrong" in printed
    assert "1 distinct outputs" in printed


def test_a_setting_that_does_not_exist_is_refused() -> None:
    with pytest.raises(SystemExit):
        exact_matrix.main(["--only", "steam"])

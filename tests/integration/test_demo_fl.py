"""`make demo-fl` as a user runs it: masked rounds, a killed plant, a poisoner, an active model."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.test_demo import free_port

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def test_the_federated_demo_survives_a_drop_flags_the_poisoner_and_predicts(
    tmp_path: Path,
) -> None:
    command = ["-m", "scripts.demo_fl", "--home", str(tmp_path / "net"), "--port", str(free_port())]
    done = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, check=False, timeout=300
    )
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    assert re.search(r"round 3: RMSE +[0-9.]+  updates 3/4", text), text
    assert text.count("flagged plant 3") >= 4, text
    spent = [float(found) for found in re.findall(r"epsilon spent ([0-9.]+)", text)]
    assert spent == sorted(spent)
    assert 7.5 < spent[-1] <= 8.0
    worth = [int(value) for value in re.findall(r"plant \d ([+-]\d+)", text)]
    assert len(worth) == 4
    assert worth[2] == min(worth) < 0 < max(worth)
    first, *rest = (float(found) for found in re.findall(r"RMSE +([0-9.]+)", text))
    assert rest[5] < first / 3
    assert "certified, attested and active" in text

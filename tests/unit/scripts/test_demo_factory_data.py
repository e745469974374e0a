import os
from pathlib import Path

import numpy as np
import pytest

from models.data import cmapss
from scripts import demo_factory_data as demo

ENGINES_OF_FD001 = 100
DATA = Path(os.environ.get("ANDON_DATA", "../shared/data")).resolve()


def made_folder(folder: Path) -> Path:
    """Files of the shape of FD001: three test engines, the last one short."""
    rows = [(1, 170), (2, 180), (3, 40)]
    lines = [
        " ".join([str(unit), str(cycle), *["1.0"] * 24])
        for unit, count in rows
        for cycle in range(1, count + 1)
    ]
    (folder / "test_FD001.txt").write_text("\n".join(lines) + "\n")
    (folder / "RUL_FD001.txt").write_text("90\n12\n3\n")
    return folder


def test_the_engine_is_the_worn_one_of_the_test_part_that_ran_long_enough(tmp_path: Path) -> None:
    run = demo._engine(made_folder(tmp_path))
    assert (run.machine, run.left) == ("engine-002", 12)
    assert run.rows.shape == (demo.CYCLES, len(run.columns))


@pytest.mark.skipif(
    not (DATA / "cmapss").is_dir(), reason="needs the data sets; name their folder in ANDON_DATA"
)
def test_real_data_has_a_worn_engine_images_demand_and_a_bad_lot() -> None:
    found = demo.real(DATA)
    engines = cmapss.read_engines(DATA / "cmapss", "FD001", "test")
    assert len(engines) == ENGINES_OF_FD001
    assert found.run.left == 7
    assert len(found.demand) == demo.HISTORY + 3
    assert np.bincount(found.eye.first[1]).tolist() == [demo.FIRST_LABELS] * 6
    assert abs(found.measures[-1][0] - 10_000) > 30
    assert all(abs(bore - 10_000) <= 30 for bore, _ in found.measures[:-1])

"""The hot paths take no more instructions than when their counts were stored."""

import pytest

from scripts.bench.kept_fast import GROWTH_MAX, VERSION, instructions, jobs, stored

COUNTS = {name: instructions(job) for name, job in jobs().items()}


@pytest.mark.parametrize("name", sorted(COUNTS))
def test_a_hot_path_has_not_grown(name: str) -> None:
    kept = stored()[VERSION][name]
    assert COUNTS[name] <= GROWTH_MAX * kept, (
        f"{name} takes {COUNTS[name]} instructions, {kept} are stored: make it fast again, or "
        "store the new count with --rewrite and say why"
    )


def test_more_work_is_more_instructions() -> None:
    def work(turns: int) -> int:
        return sum(index * index for index in range(turns))

    few, many = instructions(lambda: work(10)), instructions(lambda: work(100))
    assert few == instructions(lambda: work(10))
    assert many > 5 * few

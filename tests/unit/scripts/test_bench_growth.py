"""The fit of growth, and what counts as worse than theory."""

from pathlib import Path

import pytest

from scripts.bench.series import Series, plot


def series(*points: tuple[int, float], theory: float = 0) -> Series:
    return Series("a thing", "ms", theory, "because", points)


@pytest.mark.parametrize(
    ("points", "exponent"),
    [
        (((10, 5.0), (100, 5.0), (1000, 5.0)), 0.0),
        (((10, 1.0), (100, 10.0), (1000, 100.0)), 1.0),
        (((10, 1.0), (100, 100.0)), 2.0),
    ],
)
def test_the_exponent_is_the_slope_in_logarithms(
    points: tuple[tuple[int, float], ...], exponent: float
) -> None:
    assert series(*points).exponent == pytest.approx(exponent)


def test_growth_beyond_theory_is_marked() -> None:
    linear = ((10, 1.0), (100, 10.0))
    assert series(*linear).is_worse
    assert not series(*linear, theory=1).is_worse


def test_every_series_is_drawn(tmp_path: Path) -> None:
    found = [series((10, 1.0), (100, 2.0)) for _ in range(4)]
    plot(found, tmp_path / "growth.svg")
    assert (tmp_path / "growth.svg").stat().st_size > 1000


def test_a_series_is_read_back_as_it_was_kept() -> None:
    found = series((10, 1.0), (100, 2.5), theory=1)
    assert Series.from_json(found.as_json()) == found

from pathlib import Path

import pytest

from andon.core.errors import InvalidInput
from andon.core.model import validate_window
from scripts.demo_data import MACHINES, cmapss_feed, generated_feed, metrics


def test_generated_windows_fit_the_shipped_model_and_go_towards_failure() -> None:
    feed = generated_feed(steps=4)
    assert [len(readings) for readings in feed.rounds] == [MACHINES] * 4
    for reading in feed.readings():
        validate_window(feed.package.manifest, reading.window)
    for first, last in zip(feed.rounds[0], feed.rounds[-1], strict=True):
        assert first.machine == last.machine
        assert first.truth > last.truth


def test_the_feed_is_the_same_every_time() -> None:
    assert generated_feed(steps=2).rounds == generated_feed(steps=2).rounds


def test_metrics_are_zero_only_for_perfect_predictions() -> None:
    assert metrics([10.0, 20.0], [10.0, 20.0]) == (0.0, 0.0)
    rmse, late = metrics([20.0], [10.0])
    assert rmse == 10.0
    assert late > metrics([0.0], [10.0])[1]  # late predictions cost more than early ones


def test_a_folder_without_the_data_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        cmapss_feed(tmp_path)

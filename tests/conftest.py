"""Which tests run beside which: networks of real processes never run beside each other.

`make test` uses two workers. One takes the networks, which mostly wait for each other's votes, the
other all else, a file at a time, since fixtures of a module are dear.
"""

from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
NETWORKS = (HERE / "integration", HERE / "e2e")


def _group(path: Path) -> str:
    if any(path.is_relative_to(folder) for folder in NETWORKS):
        return "networks"
    return path.relative_to(HERE).with_suffix("").as_posix().replace("/", ".")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Name the group of each test; the longest comes first, so that no worker is left with it."""
    items.sort(key=lambda item: _group(item.path) != "networks")
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item.path)))

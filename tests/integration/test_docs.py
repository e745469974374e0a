"""What the documents tell a reader to type works, and prints what they say."""

from __future__ import annotations

import pytest

from scripts import check_docs

pytestmark = [pytest.mark.integration, pytest.mark.slow]

PAGES = [
    path.relative_to(check_docs.ROOT).as_posix()
    for path in check_docs.page_paths(check_docs.ROOT)
    if any(block.is_runnable for block in check_docs.read_page(path).blocks)
]


def test_the_tutorials_can_be_run() -> None:
    assert {"docs/tutorial.md", "docs/tutorial-federated.md"} <= set(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_every_block_of_a_page_runs_and_prints_what_the_page_says(name: str) -> None:
    page = check_docs.read_page(check_docs.ROOT / name)
    for block in page.blocks:
        if block.is_runnable:
            assert list(check_docs.run_block(page, block)) == []

"""The pytest plugin of `andon contract test`: `pytest -p node.testing.contracts.plugin`."""

from __future__ import annotations

import pytest

from node.testing.contracts.world import Contracts


@pytest.fixture
def contracts() -> Contracts:
    """An empty world; see `node.testing.contracts.Contracts`."""
    return Contracts()

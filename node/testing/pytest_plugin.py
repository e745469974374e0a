"""A pytest plugin: `-p node.testing.pytest_plugin`, or `pytest_plugins` in the root `conftest.py`.

async def test_one_of_four_may_die(open_net):
async with open_net(validators=4, seed=1) as net:
await net.kill("node-1")
await net.wait_height(10, 60, ["node-2", "node-3", "node-4"])
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from node.testing.local_net import LocalNet, NetPlan
from node.testing.log_secrets import leaked_secrets

OpenNet = Callable[..., AbstractAsyncContextManager[LocalNet]]


@pytest.fixture
def open_net(tmp_path: Path) -> OpenNet:
    """Open a network under the test's folder; logs stay there when the test fails."""

    @asynccontextmanager
    async def opened(**options: Any) -> AsyncIterator[LocalNet]:  # noqa: ANN401 - fields of NetPlan
        async with LocalNet(NetPlan(home=tmp_path / "net", **options)) as net:
            yield net
        assert leaked_secrets(tmp_path / "net") == []

    return opened

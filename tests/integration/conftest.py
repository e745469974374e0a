"""Real processes on loopback: one network a module, since starting one takes seconds."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from node.testing.local_net import LocalNet, NetPlan
from node.testing.log_secrets import leaked_secrets

OpenNet = Callable[..., AbstractAsyncContextManager[LocalNet]]


@pytest.fixture
def open_net(tmp_path: Path) -> OpenNet:
    """Open a network under the test's folder; logs stay there when the test fails."""

    @asynccontextmanager
    async def opened(**options: object) -> AsyncIterator[LocalNet]:
        async with LocalNet(NetPlan(home=tmp_path / "net", **options)) as net:
            yield net
        assert leaked_secrets(tmp_path / "net") == []

    return opened

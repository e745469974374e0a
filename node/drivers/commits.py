"""Commits that run behind the work above them, one at a time and in order."""

from __future__ import annotations

import asyncio
from typing import Protocol

from andon.core.block import Header
from andon.core.certificate import Certificate
from andon.core.errors import Unavailable


class Committing(Protocol):
    """The chain."""

    async def commit(self, identity: bytes, *certificates: Certificate) -> Header:
        """Make a block and its ancestors durable. Raises Unavailable."""


class Commits:
    """Commits one behind another, each while the blocks above it are checked already (S7)."""

    def __init__(self, group: asyncio.TaskGroup, chain: Committing) -> None:
        self._group = group
        self._chain = chain
        self._running: asyncio.Task[Unavailable | None] | None = None

    async def begin(self, certificates: list[Certificate]) -> None:
        """Start one once the last has ended. Raises Unavailable as `settle`."""
        await self.settle()
        self._running = self._group.create_task(self._commit(certificates))

    async def settle(self) -> None:
        """Wait until what was begun is durable. Raises Unavailable if it cannot be committed."""
        running, self._running = self._running, None
        failure = None if running is None else await running
        if failure is not None:
            raise failure

    async def _commit(self, certificates: list[Certificate]) -> Unavailable | None:
        try:
            await self._chain.commit(certificates[-1].vote.block, *certificates)
        except Unavailable as error:
            return error  # Not raised here: it ends a round, not the node.
        return None

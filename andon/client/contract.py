"""A contract as an object: `evaluate` reads, `submit` writes (Fabric Gateway's vocabulary)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from andon.client.async_client import AsyncClient
from andon.client.results import Outcome
from andon.client.sync import Client
from andon.core.codec import Key, Value
from andon.core.state_key import ABSENT, Absent


@dataclass(frozen=True, slots=True)
class AsyncContract:
    """One deployed contract behind an `AsyncClient`."""

    client: AsyncClient
    name: str

    async def evaluate(self, method: str, /, **args: Value) -> Value:
        """Run a view."""
        return await self.client.call(self.name, method, args)

    async def submit(self, method: str, /, **args: Value) -> Outcome:
        """Submit a call, wait until it is final, require success."""
        return await self.client.send(self.name, method, **args)

    async def state(self, variable: str, key: Key | Literal[Absent.ABSENT] = ABSENT) -> Value:
        """Read a variable with proof."""
        return await self.client.state(self.name, variable, key)


@dataclass(frozen=True, slots=True)
class Contract:
    """One deployed contract behind a blocking `Client`."""

    client: Client
    name: str

    def evaluate(self, method: str, /, **args: Value) -> Value:
        """Run a view."""
        return self.client.call(self.name, method, args)

    def submit(self, method: str, /, **args: Value) -> Outcome:
        """Submit a call, wait until it is final, require success."""
        return self.client.send(self.name, method, **args)

    def state(self, variable: str, key: Key | Literal[Absent.ABSENT] = ABSENT) -> Value:
        """Read a variable with proof."""
        return self.client.state(self.name, variable, key)

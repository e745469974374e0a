"""Clients that submit signed transactions during the faults and note what they were promised.

A transaction counts as acknowledged when a node said that it is final. One whose answer was lost
may or may not be in the chain; it was attempted, and that is all.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from andon.client import AsyncClient
from andon.client.results import Submission
from andon.core.codec import Value, encode_value
from andon.core.errors import AndonError
from andon.core.genesis import genesis_from_json
from andon.core.transaction import Call, make_call
from node.testing.chaos.checkers import Acknowledged
from node.testing.chaos.log import EventLog
from node.testing.local_net import LocalNet

SUBMIT_MS = 4_000
REQUEST_MS = 2_000
PAUSE_S = 0.05
CONTRACT = "counter"
SOURCE = '''"""Counts."""
total = Var(int, default=0)

@export(role="operator")
def add(amount: int) -> int:
    total.set(total.get() + amount)
    return total.get()
'''

MakeCall = Callable[[int], Call]


def add_one(_: int) -> Call:
    """The plain call of the load."""
    return make_call(CONTRACT, "add", {"amount": 1})


@dataclass(slots=True)
class Load:
    """What the clients did; `acknowledged` is what the chain must keep."""

    net: LocalNet
    log: EventLog
    seed: int
    acknowledged: list[Acknowledged] = field(default_factory=list)
    attempted: set[bytes] = field(default_factory=set)
    refused: dict[str, int] = field(default_factory=dict)

    async def deploy(self) -> None:
        """Put the counter on the chain. Raises AndonError."""
        async with self.net.client(account="org-1-deployer") as client:
            args: dict[str, Value] = {"name": CONTRACT, "source": SOURCE, "args": {}}
            submission = await client.submit(
                make_call("contracts", "deploy", args), on_hash=self.attempted.add
            )
            submission.require()

    async def run(self, number: int, make: MakeCall = add_one) -> None:
        """Be client `number` until cancelled: one transaction after another, from any node."""
        draw = random.Random(f"client {self.seed} {number}")  # noqa: S311 - no secret
        names = self.net.names
        async with self.client(draw.sample(names, len(names)), self._account(number)) as client:
            count = 0
            while True:
                count += 1
                await self._submit(client, number, make(count))
                await asyncio.sleep(PAUSE_S * draw.random())

    async def submit_once(self, name: str, timeout_ms: int) -> bool:
        """Submit one transaction through one node; tell whether it became final in time."""
        async with self.client([name], self._account(0)) as client:
            before = len(self.acknowledged)
            await self._submit(client, 0, add_one(0), timeout_ms)
            return len(self.acknowledged) > before

    def client(self, names: list[str], account: str) -> AsyncClient:
        """A client of these nodes, in this order, that does not wait for one that hangs."""
        return AsyncClient(
            [self.net.node(name).rpc for name in names],
            genesis=genesis_from_json((self.net.plan.home / "genesis.json").read_bytes()),
            key=self.net.key(account),
            timeout_ms=REQUEST_MS,
        )

    def _account(self, number: int) -> str:
        return f"org-{number % self.net.plan.validators + 1}-operator"

    async def _submit(
        self, client: AsyncClient, number: int, call: Call, timeout_ms: int = SUBMIT_MS
    ) -> None:
        try:
            submission = await client.submit(
                call, timeout_ms=timeout_ms, on_hash=self.attempted.add
            )
        except AndonError as error:
            self.refused[error.code.name] = self.refused.get(error.code.name, 0) + 1
            self.log.write("transaction.refused", client=number, code=error.code.name)
            return
        self.note(submission, self._account(number))

    def note(self, submission: Submission, account: str) -> None:
        """Keep what a node said of a final transaction; the chain has to say the same."""
        if submission.outcome is None or submission.height is None:
            return
        outcome = submission.outcome
        self.acknowledged.append(
            Acknowledged(
                id=submission.hash,
                height=submission.height,
                ok=outcome.ok,
                results=tuple(encode_value(result) for result in outcome.results),
            )
        )
        self.log.write(
            "transaction.acknowledged",
            account=account,
            id=submission.hash.hex(),
            height=submission.height,
            ok=outcome.ok,
        )

"""The hands of the factory demo: keys of four organisations, calls, deployments, governance."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from andon.client.async_client import AsyncClient
from andon.client.models import Models
from andon.client.results import Outcome
from andon.client.wallet import load_key_file
from andon.core.codec import Dec, Key, Value
from andon.core.json_value import dec_to_text
from andon.core.keys import PrivateKey
from andon.core.transaction import Call, make_call
from models.package import Package
from scripts.cluster import ROOT, Cluster
from scripts.demo_view import View

ACTIVE_TIMEOUT_S = 90.0
SUBMIT_TIMEOUT_MS = 60_000
GAS_LIMIT = 100_000_000
CALLS_MAX = 60
STEEL, GEARS, MOTORS, BUYER = "org-1", "org-2", "org-3", "org-4"
TITLES = {STEEL: "steel mill", GEARS: "gear works", MOTORS: "motor works", BUYER: "customer"}


@dataclass(slots=True)
class Plant:
    """One network and everybody's keys. Every call is a signed transaction."""

    cluster: Cluster
    client: AsyncClient
    view: View
    keys: dict[tuple[str, str], PrivateKey] = field(default_factory=dict)
    transactions: int = 0

    def key(self, org: str, role: str) -> PrivateKey:
        """The key of an organisation's role."""
        if (org, role) not in self.keys:
            network = self.cluster.network
            entry = network.account(f"{org}-{role}")
            self.keys[org, role] = load_key_file(network.home / entry.key_file)
        return self.keys[org, role]

    async def send(self, org: str, role: str, *calls: Call) -> Outcome:
        """One transaction, final and successful."""
        submission = await self.client.submit(
            calls, key=self.key(org, role), timeout_ms=SUBMIT_TIMEOUT_MS, gas_limit=GAS_LIMIT
        )
        self.transactions += 1
        return submission.require()

    async def do(self, org: str, role: str, target: str, /, **args: Value) -> Value:
        """One call of `contract.method`; gives its result."""
        contract, method = target.split(".")
        return (await self.send(org, role, make_call(contract, method, args))).results[0]

    async def many(self, org: str, role: str, calls: Sequence[Call]) -> None:
        """Calls in as few transactions as the limits allow."""
        for start in range(0, len(calls), CALLS_MAX):
            await self.send(org, role, *calls[start : start + CALLS_MAX])

    async def ask(self, target: str, /, **args: Value) -> Value:
        """A view."""
        contract, method = target.split(".")
        return await self.client.call(contract, method, args)

    async def deploy(self, name: str, args: dict[Key, Value] | None = None) -> None:
        """Deploy a standard contract."""
        source = (ROOT / "contracts_py" / "library" / f"{name}.py").read_text(encoding="utf-8")
        await self.do(
            GEARS, "deployer", "contracts.deploy", name=name, source=source, args=args or {}
        )

    async def activate(self, package: Package, alias: str) -> str:
        """Publish a model, wait until the validators have voted it active, name it."""
        registry = Models(self.client, self.key(GEARS, "modeler"))
        identity = await registry.publish(package.to_blob(), package.manifest)
        await registry.wait_active(identity, ACTIVE_TIMEOUT_S)
        await registry.set_alias(alias, identity)
        return identity.hex()[:16]

    async def admit(self) -> None:
        """Organisations vote inspectors in, and a role for whoever issues quota tokens."""
        changes: list[dict[Key, Value]] = []
        for org in TITLES:
            key = PrivateKey(secrets.token_bytes(32))
            self.keys[org, "inspector"] = key
            changes.append({"account": key.public, "org": org, "roles": ["inspector"]})
        issuer: dict[Key, Value] = {
            "account": self.key(GEARS, "modeler").public,
            "org": GEARS,
            "roles": ["modeler", "issuer"],
        }
        kinds = [("add_member", change) for change in changes] + [("set_roles", issuer)]
        numbers = []
        for kind, change in kinds:
            args: dict[str, Value] = {"kind": kind, "arguments": change}
            numbers.append(await self.do(STEEL, "admin", "identity.propose", **args))
        for org in (GEARS, MOTORS):
            approvals = [make_call("identity", "approve", {"proposal": n}) for n in numbers]
            await self.send(org, "admin", *approvals)


def table(value: Value) -> dict[Key, Value]:
    """A result that is a dict."""
    assert isinstance(value, dict), "the contract gives a dict"
    return value


def rows(value: Value) -> list[Value]:
    """A result that is a list."""
    assert isinstance(value, list), "the contract gives a list"
    return value


def text(value: Value) -> str:
    """A value for people: decimals with two places."""
    if isinstance(value, Dec):
        return f"{float(dec_to_text(value)):.2f}"
    if isinstance(value, dict):
        return ", ".join(f"{name!s} {text(one)}" for name, one in value.items())
    return value.hex() if isinstance(value, bytes) else str(value)

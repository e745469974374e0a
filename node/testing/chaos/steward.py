"""Carry out a run's acts as organisations do: proposals and votes, packages and aliases.

Everything is pursued until the proved state shows it, whatever a node answers in between: an
answer that was lost says nothing. What was tried and not heard of may become final late, on the
other side of a partition; so each transaction expires soon, and an act has ended only when none of
its transactions can be taken in any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from andon.client import AsyncClient
from andon.client.models import ACTIVE, Models, manifest_of_blob
from andon.core.codec import Key, Value
from andon.core.errors import AndonError, Code, Unavailable
from andon.core.model import ModelManifest, model_id
from andon.core.transaction import Call, make_call, sign_transaction
from node.checkout import CHECKOUT
from node.testing.chaos.acts import SERVES, Act, Deed, packages_after, weights_after
from node.testing.chaos.load import Load

NOTICE_BLOCKS = 25
"""From a proposal to the new set, and from a transaction to its expiry."""
ACT_S = 120.0
"""An act that no later fault disturbs must be final so soon; starting workers compile models."""
RETRY_S = 0.3
SUBMIT_MS = 4_000
IDENTITY = "identity"
MODELS = "models"
PACKAGES_FOLDER = CHECKOUT / "models" / "packages"


@dataclass(frozen=True, slots=True)
class Package:
    """A shipped model package."""

    blob: bytes
    manifest: ModelManifest

    @property
    def identity(self) -> bytes:
        """The model's id."""
        return model_id(self.manifest)


def load_package(name: str) -> Package:
    """Read a package of this checkout."""
    blob = (PACKAGES_FOLDER / name / "package.blob").read_bytes()
    return Package(blob, manifest_of_blob(blob))


@dataclass(slots=True)
class Steward:
    """Decides; `done` are the acts that are final."""

    load: Load
    """Knows the network, and keeps what clients were promised."""
    done: tuple[Act, ...] = ()
    quiet_from: int = 0
    """From this height on nothing of the acts so far can be taken in any more."""

    @property
    def validators(self) -> tuple[str, ...]:
        """Nodes that have a validator's key."""
        nodes = self.load.net.manifest.nodes
        return tuple(node.name for node in nodes if node.validator_key)

    @property
    def members(self) -> list[str]:
        """Nodes that validate, in the network's order."""
        weights = weights_after(self.validators, self.done)
        return [name for name in self.validators if name in weights]

    @property
    def taking_part(self) -> list[str]:
        """Members and observers: all that follow the chain."""
        members = self.members
        nodes = self.load.net.manifest.nodes
        return [node.name for node in nodes if not node.validator_key or node.name in members]

    def has_done(self, acts: tuple[Act, ...]) -> bool:
        """Tell whether all these acts are final."""
        return set(acts) <= set(self.done)

    @property
    def serving(self) -> str:
        """Name of the package that the alias names; empty for none."""
        return (packages_after(self.done) or ("",))[-1]

    async def run(self, acts: tuple[Act, ...]) -> None:
        """Do the acts at their times, each after the one before.

        Raises:
            Unavailable: CONFIRMATION_TIMEOUT names the act that did not come about.
        """
        clock = asyncio.get_running_loop().time
        began_s = clock()
        for act in acts:
            await asyncio.sleep(max(0.0, began_s + act.at_ms / 1000 - clock()))
            await self.do(act)

    async def do(self, act: Act) -> None:
        """Pursue one act until it is final. Raises as `run`."""
        named = {"deed": act.deed.value, "node": act.node, "package": act.package}
        self.load.log.write("act.begun", **named)
        # A node that was voted out, or is about to be, proves what was true when it left.
        asked = [name for name in self.members if name != act.node]
        async with self.load.client(asked, "org-1-modeler") as client:
            match act.deed:
                case Deed.REMOVE | Deed.RETURN | Deed.WEIGH:
                    await self._change(act, client)
                case Deed.ACTIVATE:
                    package = await asyncio.to_thread(load_package, act.package)
                    await self._activate(act, client, package)
                    await self._name(act, client, package, "set_alias")
                case Deed.ROLL_BACK:
                    former = packages_after((*self.done, act))[-1]
                    package = await asyncio.to_thread(load_package, former)
                    await self._name(act, client, package, "roll_back")
        self.done = (*self.done, act)
        self.load.log.write("act.ended", **named)

    # -- validators -----------------------------------------------------------------------

    async def _change(self, act: Act, client: AsyncClient) -> None:
        weights = weights_after(self.validators, (*self.done, act))
        wanted = self._entries(weights)

        async def rules() -> bool:
            return await client.state(IDENTITY, "validators") == wanted

        async def decide() -> None:
            pending = await client.state(IDENTITY, "next")
            if not (isinstance(pending, dict) and pending.get("validators") == wanted):
                await self._propose(client, wanted)

        await self._pursue(act, client, rules, decide)

    def _entries(self, weights: dict[str, int]) -> list[Value]:
        """The set as the identity contract keeps it, by key."""
        entries: list[tuple[bytes, dict[Key, Value]]] = []
        for node in self.load.net.manifest.nodes:
            if node.name in weights:
                key = bytes.fromhex(node.validator_key)
                entry: dict[Key, Value] = {
                    "key": key,
                    "weight": weights[node.name],
                    "org": node.organisation,
                    "address": node.peer,
                    "node_key": bytes.fromhex(node.node_key),
                }
                entries.append((key, entry))
        return [entry for _, entry in sorted(entries, key=lambda item: item[0])]

    async def _propose(self, client: AsyncClient, wanted: list[Value]) -> None:
        height = await self.load.net.height() + NOTICE_BLOCKS
        arguments: dict[str, Value] = {
            "kind": "set_validators",
            "arguments": {"height": height, "validators": wanted},
        }
        count = len(self.validators) // 2 + 1
        proposal = await self._send(client, 1, make_call(IDENTITY, "propose", arguments))
        for organisation in range(2, count + 1):
            call = make_call(IDENTITY, "approve", {"proposal": proposal})
            await self._send(client, organisation, call)

    # -- models ---------------------------------------------------------------------------

    async def _activate(self, act: Act, client: AsyncClient, package: Package) -> None:
        registry = Models(client, self.load.net.key("org-1-modeler"))

        async def status() -> Value:
            found = await client.state(MODELS, "packages", package.identity)
            return found.get("status") if isinstance(found, dict) else None

        async def is_active() -> bool:
            return await status() == ACTIVE

        async def publish() -> None:
            if await status() is None:
                await registry.publish(package.blob, package.manifest)

        await self._pursue(act, client, is_active, publish)

    async def _name(self, act: Act, client: AsyncClient, package: Package, method: str) -> None:
        args: dict[str, Value] = {"alias": SERVES}
        if method == "set_alias":
            args["model_id"] = package.identity

        async def is_named() -> bool:
            return await client.state(MODELS, "aliases", SERVES) == package.identity

        async def name() -> None:
            await self._send(client, 0, make_call(MODELS, method, args))

        await self._pursue(act, client, is_named, name)

    # -- common ---------------------------------------------------------------------------

    async def _send(self, client: AsyncClient, organisation: int, call: Call) -> Value:
        """Submit for an admin of an organisation, or for the modeler (0); the first result."""
        account = f"org-{organisation}-admin" if organisation else "org-1-modeler"
        key = self.load.net.key(account)
        expires = await self.load.net.height() + NOTICE_BLOCKS
        self.quiet_from = max(self.quiet_from, expires + 1)
        body = await client.build(call, sender=key.public, expires_height=expires)
        raw = sign_transaction(body, key)
        submission = await client.submit_raw(
            raw, timeout_ms=SUBMIT_MS, on_hash=self.load.attempted.add
        )
        self.load.note(submission, account)
        return submission.require().results[0]

    async def _pursue(
        self,
        act: Act,
        client: AsyncClient,
        is_done: Callable[[], Awaitable[bool]],
        attempt: Callable[[], Awaitable[None]],
    ) -> None:
        """Try again until the state shows it for good; answers that fail are noted."""
        clock = asyncio.get_running_loop().time
        deadline_s, last = clock() + ACT_S, ""
        while clock() < deadline_s:
            try:
                height = int((await client.status()).height)
                if not await is_done():
                    await attempt()
                elif height >= self.quiet_from:
                    return
            except AndonError as error:
                last = f"{error.code.name}: {error.message}"[:200]
                self.load.log.write("act.hindered", deed=act.deed.value, reason=last)
            await asyncio.sleep(RETRY_S)
        raise Unavailable(
            Code.CONFIRMATION_TIMEOUT, f"'{act}' did not come about in {ACT_S:.0f} s; last: {last}"
        )

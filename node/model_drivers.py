"""What a node does for models: bring packages to the worker, attest with the validator's key."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from andon.core.attestation import COMMITTEES, CONTRACT
from andon.core.keys import SEED_BYTES, PrivateKey
from node.attestation_journal import AttestationJournal
from node.drivers.attestations import AttestationDriver
from node.drivers.attestations import Ports as AttestationPorts
from node.drivers.blob_fetch import find_blob
from node.drivers.models import MODELS, ModelsDriver
from node.drivers.models import Ports as ModelPorts
from node.envelopes import Envelopes
from node.home import Opened
from node.net.fetch import Fetcher
from node.own_calls import OwnCalls
from node.queries import Queries
from node.workers.supervisor import Supervisor

ATTESTING = frozenset((COMMITTEES, CONTRACT))


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDrivers:
    """`attestations` is None where we have no vote."""

    models: ModelsDriver
    attestations: AttestationDriver | None

    async def run(self) -> None:
        """Run both until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.models.run())
            if self.attestations is not None:
                group.create_task(self.attestations.run())

    def notice(self, touched: AbstractSet[str]) -> None:
        """A block is final that has events of these contracts: deadlines have come nearer."""
        attestations = self.attestations
        if attestations is not None and (attestations.is_engaged or touched & ATTESTING):
            attestations.notice()
        if MODELS in touched:
            self.models.notice()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelParts:
    """The parts of a node that its model drivers work with."""

    opened: Opened
    queries: Queries
    envelopes: Envelopes
    worker: Supervisor
    fetcher: Fetcher
    peers: Callable[[], list[bytes]]
    height: Callable[[], int]
    own_calls: OwnCalls | None


def make_model_drivers(parts: ModelParts) -> ModelDrivers:
    """Make both drivers; nothing runs yet."""
    opened, own_calls, signer = parts.opened, parts.own_calls, parts.opened.signer
    models = ModelsDriver(
        ModelPorts(
            store=opened.blobs,
            state=parts.queries,
            worker=parts.worker,
            source=parts.fetcher,
            peers=parts.peers,
            attest=None if own_calls is None else own_calls.send,
            validator_key=b"" if signer is None else signer.public_key,
        )
    )
    if own_calls is None or signer is None:
        return ModelDrivers(models=models, attestations=None)
    attestations = AttestationDriver(
        AttestationPorts(
            chain_id=opened.genesis.chain_id,
            validator_key=signer.public_key,
            state=parts.queries,
            worker=parts.worker,
            journal=AttestationJournal(opened.home.data / "attestations"),
            blob=lambda identity: _find_input(parts, identity),
            sealing_seed=sealing_seed(opened.node_key),
            height=parts.height,
            send=own_calls.send,
        )
    )
    return ModelDrivers(models=models, attestations=attestations)


async def _find_input(parts: ModelParts, identity: bytes) -> bytes:
    """Give an envelope that we keep for its owner, or else one that lies open as a blob."""
    found = await parts.envelopes.find(identity)
    if found is not None:
        return found
    return await find_blob(parts.opened.blobs, parts.fetcher, parts.peers, identity)


def sealing_seed(node_key: PrivateKey) -> bytes:
    """The node's X25519 secret for sealed inputs: derived, so that there is no file to lose.

    It comes from the node's key and not from the validator's, which may lie in a signer that only
    signs.
    """
    made = hashlib.blake2b(key=node_key.seed, person=b"andon sealing", digest_size=SEED_BYTES)
    return made.digest()

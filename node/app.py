"""Joins the parts of one node and runs them until a signal: the only place that knows them all."""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets

import aiohttp
import structlog

from andon.core.block import Header
from andon.core.certificate import SignedVote
from andon.core.errors import Code, InvalidInput
from andon.core.wire import BlockWanted, Message, Status, Transactions, TransactionsWanted
from andon.core.worker import READY
from consensus.ledger.directory import IDENTITY
from node.checkout import CHECKOUT
from node.client_blobs import ClientBlobs
from node.config import ADOPT, NO_BACKEND, observer_keys, override_addresses
from node.drivers.block_tree import Committed
from node.drivers.certified import CertifiedChain
from node.drivers.consensus import ConsensusDriver
from node.drivers.consensus_ports import Hooks
from node.drivers.contract_engine import ContractEngine
from node.drivers.execution import ExecutionDriver
from node.drivers.horizon import Horizon
from node.drivers.past_views import PastViews
from node.drivers.predictions import PredictionCache, PredictionService
from node.drivers.scrubber import Folder
from node.drivers.sync import SyncDriver
from node.envelopes import Copies, Envelopes
from node.explorer import Explorer
from node.facade import Wait
from node.finality import FinalityTracker
from node.gossip import Gossip
from node.home import BLOBS, Opened
from node.mempool import Mempool, MempoolLimits, Verifier
from node.metrics import Metrics
from node.mismatch import MismatchLog, explain_mismatch
from node.model_drivers import ModelParts, make_model_drivers
from node.net.fetch import Fetcher
from node.net.limits import PENALTY_INVALID
from node.net.network import Network
from node.net.peers import Peer, PeerTable
from node.own_calls import make_own_calls
from node.private import PrivatePayloads, wall_ms
from node.probes import Probes, Watched
from node.queries import Queries, StoredShelf
from node.registry import REGISTRY_KEYS, peers_of
from node.rpc.epcis import Epcis
from node.rpc.server import RpcServer
from node.rpc.settings import rpc_settings
from node.service import NodeService, Parts
from node.storage import BlobQuota, PortableFiles
from node.upkeep import Upkeep, UpkeepPorts
from node.wiring import network_settings
from node.workers.supervisor import Supervisor, worker_settings

STATUS_EVERY_S = 1.0
LINKING_S = 3.0
LINKING_POLL_S = 0.02

log = structlog.get_logger()


class Node:
    """One node: everything wired, nothing running until `run`."""

    def __init__(self, opened: Opened, client: aiohttp.ClientSession) -> None:
        self._opened = opened
        self._jitter = random.Random(secrets.randbits(64))  # noqa: S311 - spreads retries only
        self._stop = asyncio.Event()
        self._has_base = asyncio.Event()
        self._registry: tuple[bytes | None, ...] = ()
        self._group: asyncio.TaskGroup | None = None
        self.metrics = Metrics()
        self.mismatches = MismatchLog(self.metrics.mismatches.inc)
        self.worker = self._make_worker()
        self._build_chain()
        self._build_network(client)
        self._build_voting()
        self._build_helpers()
        self._build_faces()
        self.execution.subscribe(self._on_commit)

    # -- wiring ---------------------------------------------------------------------------

    def _make_worker(self) -> Supervisor:
        settings = worker_settings(self._opened.home.path, CHECKOUT, self._opened.config)
        return Supervisor(settings, self._jitter)

    def _build_chain(self) -> None:
        opened, config = self._opened, self._opened.config
        predicts = config.worker_backend != NO_BACKEND
        cache = PredictionCache(config.prediction_cache_max)
        predictions = PredictionService(self.worker if predicts else None, cache)
        self.past = PastViews(opened.store, ContractEngine(), predictions)
        self.verifier = Verifier()
        self.execution = ExecutionDriver(
            genesis=opened.genesis,
            engine=ContractEngine(),
            store=opened.store,
            predictions=predictions,
            verifier=self.verifier,
            observe=self.metrics.observe_phase,
            horizon=Horizon(config.halt_at_height, range(1, config.protocol_max + 1)),
        )
        self.files = PortableFiles(opened.home.snapshots)
        limits = MempoolLimits(
            count_max=config.mempool_count_max, bytes_max=config.mempool_bytes_max
        )
        self.mempool = Mempool(
            self.execution.admission,
            self.verifier,
            limits,
            observe=self.metrics.observe_phase,
            on_refused=self.metrics.count_refused,
        )
        self.execution.attach(self.mempool)
        self.queries = Queries(opened.store, self.execution.queries)
        self.envelopes = Envelopes(
            opened.home.data / "private", opened.node_key.public, self.queries
        )
        self.finality = FinalityTracker(self.metrics.latency.observe)

    def _build_network(self, client: aiohttp.ClientSession) -> None:
        opened, config = self._opened, self._opened.config
        self.table = PeerTable(
            opened.node_key.public, override_addresses(config), observer_keys(config)
        )
        self.shelf = StoredShelf(self.execution.queries, opened.blobs, self.files, self.envelopes)
        self.network = Network(
            network_settings(opened),
            self.table,
            self.shelf,
            receive=self._receive,
            linked=lambda peer: self.network.send(peer.validator_key, self._status()),
            unlinked=lambda node_key: self.sync.forget(node_key),  # noqa: PLW0108 - made below
            jitter=self._jitter,
        )
        self.fetcher = Fetcher(self.network, client)
        self.copies = Copies(self.envelopes, self.fetcher, self.network.linked_keys)
        self.gossip = Gossip(self.mempool, self.network, self.network.punish, lambda: self.sync.lag)

    def _build_voting(self) -> None:
        opened = self._opened
        self.sync = SyncDriver(
            opened.genesis.chain_id,
            CertifiedChain(self.execution, lambda vote: self.consensus.advance(vote)),  # noqa: PLW0108
            self.fetcher,
            adopts=opened.config.sync_verify == ADOPT,
            punish=self.network.punish,
            sync_started=lambda: self.consensus.sync_started(),  # noqa: PLW0108 - made below
            sync_ended=self._sync_ended,
            validator_of=self.table.validator_of,
        )
        self.consensus = ConsensusDriver(
            chain_id=opened.genesis.chain_id,
            key=opened.validator_public,
            chain=self.execution,
            pool=self.mempool,
            transport=self.network,
            store=opened.votes,
            signer=opened.signer,
            clock_ms=lambda: wall_ms() + opened.config.clock_skew_ms,
            hooks=Hooks(
                on_evidence=self._on_evidence,
                on_refused=self._on_refused,
                on_behind=self.sync.hurry,
                brings_to=lambda: self.sync.brings_to,
                may_vote=lambda: self.worker.state == READY,
                punish=self._punish_validator,
                on_vote_refused=self.metrics.votes_refused.inc,
            ),
        )

    def _build_helpers(self) -> None:
        opened = self._opened
        self.own_calls = make_own_calls(
            opened.genesis.chain_id,
            opened.signer,
            height=lambda: self.execution.head().height,
            submit=lambda raw: self.service.submit(raw, Wait.ACCEPTED, 0),
        )
        self.upkeep = Upkeep(
            UpkeepPorts(
                opened=opened,
                files=self.files,
                execution=self.execution,
                source=self.fetcher,
                count_scrubbed=self.metrics.count_scrubbed,
                folders=(Folder("envelope", self.envelopes.store, self.copies.mend),),
                peers=self.network.linked_keys,
                punish=self.network.punish,
                advance=self.consensus.advance,
                replaced=self._chain_replaced,
            )
        )
        self.models = make_model_drivers(
            ModelParts(
                opened=opened,
                queries=self.queries,
                envelopes=self.envelopes,
                worker=self.worker,
                fetcher=self.fetcher,
                peers=self.network.linked_keys,
                height=lambda: self.execution.head().height,
                own_calls=self.own_calls,
            )
        )

    def _build_faces(self) -> None:
        opened, config = self._opened, self._opened.config
        watched = Watched(
            data=opened.home.data,
            validator_key=opened.validator_public,
            execution=self.execution,
            sync=self.sync,
            network=self.network,
            worker=self.worker,
            store_used_ratio=opened.store.used_ratio,
            store_reader_lag=opened.store.reader_lag,
            needs_worker=opened.signer is not None and config.worker_backend != NO_BACKEND,
            damage=self.upkeep.scrubber.trouble,
            is_halted=lambda: self.consensus.status().is_halted,
        )
        self.probes = Probes(watched, self.metrics)
        quota = BlobQuota(opened.home.data / BLOBS, config.blobs_mib * 1024 * 1024)
        self.client_blobs = ClientBlobs(opened.blobs, quota)
        parts = Parts(
            genesis=opened.genesis,
            node_key=opened.node_key.public,
            validator_key=opened.validator_public,
            execution=self.execution,
            queries=self.queries,
            past=self.past,
            mempool=self.mempool,
            gossip=self.gossip,
            finality=self.finality,
            blobs=self.client_blobs,
            worker=self.worker,
            network=self.network,
            table=self.table,
            sync=self.sync,
            mismatches=self.mismatches,
            slot=self.consensus.slot,
            gathered=self.consensus.gathered,
        )
        self.service = NodeService(parts, self.probes.metrics_text, self.probes.health)
        private = PrivatePayloads(self.service, self.envelopes, opened.node_key, self.copies)
        self.rpc = RpcServer(
            self.service,
            rpc_settings(config),
            extensions=[Explorer(self.service), Epcis(self.service, opened.home.data), private],
        )

    def close(self) -> None:
        """Stop the threads; the home stays open for whoever opened it."""
        self.past.close()
        self.client_blobs.close()
        self.shelf.close()
        self.execution.close()
        self.verifier.close()

    # -- running --------------------------------------------------------------------------

    def stop(self) -> None:
        """End `run` soon; safe in a signal handler."""
        self._stop.set()

    async def run(self) -> None:
        """Run until `stop`, or until a part fails."""
        listening = asyncio.Event()
        self._refresh_peers()
        async with asyncio.TaskGroup() as group:
            self._group = group
            tasks = [
                group.create_task(part, name=name)
                for name, part in (
                    ("network", self.network.run(listening)),
                    ("execution", self.execution.run()),
                    ("gossip", self.gossip.run()),
                    ("sync", self._sync()),
                    ("models", self.models.run()),
                    ("upkeep", self.upkeep.run()),
                    ("consensus", self._vote_when_linked()),
                    ("probes", self.probes.run()),
                    ("status", self._tell_status()),
                )
            ]
            await listening.wait()
            async with self.rpc:
                self.probes.has_started = True
                # Importing JAX takes seconds of CPU; the first block does not need it.
                tasks.append(group.create_task(self.worker.run(), name="worker"))
                log.info("node.started", height=self.execution.head().height, rpc=self.rpc.url)
                await self._stop.wait()
                log.info("node.stopping", height=self.execution.head().height)
            for task in tasks:
                task.cancel()

    async def _vote_when_linked(self) -> None:
        """Take part once a quorum can hear it: a proposal to nobody costs a skip timeout."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINKING_S):
                while not self.probes.has_quorum():  # noqa: ASYNC110 - a few times, once
                    await asyncio.sleep(LINKING_POLL_S)
        # A chain that a snapshot will replace must not grow meanwhile.
        await self._has_base.wait()
        await self.consensus.run()

    async def _tell_status(self) -> None:
        while True:
            self.network.broadcast(self._status())
            await asyncio.sleep(STATUS_EVERY_S)

    def _status(self) -> Status:
        header = self.execution.head()
        return Status(
            height=header.height,
            epoch=self.execution.epoch(),
            slot=self.consensus.slot(),
            head=self.execution.head_hash(),
        )

    # -- events of the parts --------------------------------------------------------------

    def _receive(self, peer: Peer, message: Message) -> None:
        if peer.is_observer and not isinstance(
            message, Transactions | TransactionsWanted | BlockWanted
        ):
            return  # what an observer says about the chain counts for nothing
        match message:
            case Transactions():
                self.gossip.receive(peer.node_key, message)
            case TransactionsWanted():
                self.gossip.answer(peer.validator_key, message)
            case Status():
                self.sync.note_status(peer.node_key, message)
            case _:
                self.consensus.receive(peer.validator_key, message)

    async def _sync(self) -> None:
        await self.upkeep.sync_state()
        self._has_base.set()
        await self.sync.run()

    def _chain_replaced(self) -> None:
        self._refresh_peers()
        self.models.models.notice()
        self._sync_ended()

    def _sync_ended(self) -> None:
        if (final := self.execution.final_block(self.execution.head().height)) is not None:
            self.consensus.synced_to(final.block.header, final.certificate)

    def _on_evidence(self, first: SignedVote, second: SignedVote) -> None:
        """Two votes that no honest validator signs: accuse their signer on chain."""
        self.metrics.count_byzantine(self.execution.validators(first.vote.epoch), first)
        log.warning("validator.equivocated", validator=first.validator, slot=first.vote.slot)
        if self._group is not None and self.own_calls is not None:
            self._group.create_task(self.own_calls.accuse(first, second))

    def _on_refused(self, block: bytes, error: InvalidInput) -> None:
        if error.code is Code.PREDICTION_MISMATCH:
            self.mismatches.record(error)
            if self._group is not None:
                self._group.create_task(explain_mismatch(self.worker, error))
        else:
            log.warning("block.invalid", block=block.hex()[:16], reason=str(error)[:300])

    def _punish_validator(self, validator_key: bytes, reason: str) -> None:
        peer = self.table.by_validator(validator_key)
        if peer is not None:
            self.network.punish(peer.node_key, PENALTY_INVALID, reason)

    def _on_commit(self, header: Header, committed: Committed) -> None:
        self.mismatches.settle(committed.predictions)
        self.metrics.observe_block(header, committed.transactions, len(committed.predictions))
        log.info(
            "block.committed",
            height=header.height,
            slot=header.slot,
            transactions=len(committed.transactions),
            predictions=len(committed.predictions),
        )
        touched = {event.contract for item in committed.receipts for event in item.events}
        self.models.notice(touched)
        if header.closes_epoch or IDENTITY in touched:
            self._refresh_peers()

    def _refresh_peers(self) -> None:
        registry = tuple(self.queries.value_now(key) for key in REGISTRY_KEYS)
        if registry != self._registry:
            self._registry = registry
            self.network.update_peers(peers_of(*registry))

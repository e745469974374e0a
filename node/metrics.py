"""What Prometheus reads: CometBFT's names and labels where the meaning is the same, ours elsewhere.

Counters and histograms are updated as things happen; gauges are set from one snapshot when
somebody scrapes, so an unwatched node pays nothing. Labels are bounded by the registry of
validators and models, never by machines, lots or transactions.
Source: ecosystem reference 2.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Summary,
    disable_created_metrics,
    generate_latest,
)

from andon.core.block import Header
from andon.core.certificate import Certificate, SignedVote, ValidatorSet
from andon.core.errors import Code
from node.facade import Health, NodeStatus
from node.net.link import Counters
from node.tracing import Tracing

disable_created_metrics()  # type: ignore[no-untyped-call] # they double the exposition and tell nothing here

_INTERVALS_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 3.0, 6.0, 15.0, 60.0)
LAGS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0, 5.0)
_LATENCIES_S = (0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.2, 2.0, 5.0, 15.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All that gauges show, gathered at scrape time."""

    status: NodeStatus
    ready: Health
    traffic: dict[bytes, Counters]
    pending_bytes: dict[bytes, int]
    store_used_ratio: float
    store_reader_lag: int
    worker_restarts: int
    validators: ValidatorSet
    """The set of the current epoch."""
    certificate: Certificate | None
    """Of the last final block; None at genesis."""
    certifiers: ValidatorSet
    """The set that signed it."""


class Metrics:
    """The node's own registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._gauges: dict[str, Gauge] = {}
        self._last: Header | None = None
        self._transactions = 0
        self._byzantine: set[bytes] = set()
        self.predictions = self._counter(
            "andon_predictions_committed", "Predictions in final blocks"
        )
        self.mismatches = self._counter(
            "andon_prediction_mismatches", "Blocks refused because our own output differs"
        )
        self.votes_refused = self._counter(
            "andon_votes_refused", "Votes that our own signer refused or could not sign"
        )
        self._refused = Counter(
            "cometbft_mempool_failed_txs",
            "Transactions refused at admission, by code",
            ("code",),
            registry=self.registry,
        )
        self._scrubbed = Counter(
            "andon_scrub_values",
            "Stored values looked at in search of rot, by outcome: read, damaged, repaired",
            ("outcome",),
            registry=self.registry,
        )
        self.interval = self._histogram(
            "cometbft_consensus_block_interval_seconds",
            "Header time between final blocks",
            _INTERVALS_S,
        )
        self.latency = self._histogram(
            "andon_transaction_final_seconds",
            "From admission at this node to finality",
            _LATENCIES_S,
        )
        self.lag = self._histogram(
            "andon_event_loop_lag_seconds",
            "How late the event loop comes to a task that is due",
            LAGS_S,
        )
        self.tracing: Tracing | None = None
        self._phase_children: dict[str, Summary] = {}
        self._phases = Summary(
            "andon_phase_seconds",
            "Seconds in the phases of the node's work, by phase",
            ("phase",),
            registry=self.registry,
        )
        self._build_by_node()

    def _build_by_node(self) -> None:
        """What has a label for each peer, validator or criterion."""
        self._counted: dict[tuple[str, bytes], int] = {}
        self._received = self._by_peer("cometbft_p2p_peer_receive_bytes", "Bytes received, by peer")
        self._sent = self._by_peer("cometbft_p2p_peer_send_bytes", "Bytes sent, by peer")
        self._pending = Gauge(
            "cometbft_p2p_peer_pending_send_bytes",
            "Bytes waiting to be sent, by peer",
            ("peer_id",),
            registry=self.registry,
        )
        self._last_signed = Gauge(
            "cometbft_consensus_validator_last_signed_height",
            "Last scraped head whose certificate has this validator's vote",
            ("validator_address",),
            registry=self.registry,
        )
        self._ready = Gauge(
            "andon_node_ready", "1 if a criterion holds", ("check",), registry=self.registry
        )

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(name, text, registry=self.registry)

    def _by_peer(self, name: str, text: str) -> Counter:
        return Counter(name, text, ("peer_id",), registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, text, buckets=buckets, registry=self.registry)

    def observe_phase(self, phase: str, seconds: float) -> None:
        """Count one phase of `node.phases`; safe in any thread."""
        child = self._phase_children.get(phase)
        if child is None:
            child = self._phase_children[phase] = self._phases.labels(phase)
        child.observe(seconds)
        if self.tracing is not None:
            self.tracing.observe(phase, seconds)

    def count_scrubbed(self, outcome: str, number: int) -> None:
        """Count values that the scrubber read, found damaged or repaired."""
        self._scrubbed.labels(outcome).inc(number)

    def count_refused(self, code: Code) -> None:
        """Count a transaction that was not admitted."""
        self._refused.labels(code.name).inc()

    def count_byzantine(self, validators: ValidatorSet, vote: SignedVote) -> None:
        """Note the signer of a vote that contradicts another of its votes; once for each."""
        self._byzantine.add(validators.validators[vote.validator].key)

    def observe_block(
        self, header: Header, transactions: Sequence[bytes], predictions: int
    ) -> None:
        """Count a final block."""
        if self.tracing is not None:
            self.tracing.committed(header)
        self._transactions += len(transactions)
        self.predictions.inc(predictions)
        last, self._last = self._last, header
        if last is not None:
            self.interval.observe(max(0, header.time_ms - last.time_ms) / 1000)
            if last.epoch == header.epoch:
                skipped = header.slot - last.slot - 1
                self._set("cometbft_consensus_rounds", "Slots skipped before the block", skipped)
        size = sum(map(len, transactions))
        for name, text, value in (
            ("cometbft_consensus_total_txs", "Transactions in final blocks", self._transactions),
            ("cometbft_consensus_num_txs", "Transactions in the last block", len(transactions)),
            ("cometbft_consensus_block_size_bytes", "Transactions of the last block", size),
        ):
            self._set(name, text, value)
        self._set("andon_block_gas_used", "Gas of the last block", header.gas_used)

    def render(self, snapshot: Snapshot) -> bytes:
        """Set the gauges and write the exposition format."""
        status = snapshot.status
        linked = [peer for peer in status.peers if peer.connected]
        self._set_validators(snapshot)
        values: dict[str, tuple[str, float]] = {
            "cometbft_consensus_height": ("Height of the last final block", status.height),
            "cometbft_consensus_latest_block_height": ("The same", status.height),
            "cometbft_blocksync_syncing": ("1 while catching up", int(status.is_syncing)),
            "cometbft_p2p_peers": ("Linked peers", len(linked)),
            "cometbft_mempool_size": ("Transactions waiting", status.mempool_count),
            "cometbft_mempool_size_bytes": ("Bytes waiting", status.mempool_bytes),
            "andon_consensus_epoch": ("Current epoch", status.epoch),
            "andon_consensus_slot": ("Current slot", status.slot),
            "andon_models_loaded": ("Models the worker holds", status.models_loaded),
            "andon_worker_ready": ("1 if the worker answers", int(status.worker_state == "ready")),
            "andon_worker_restarts": ("Restarts of the worker", snapshot.worker_restarts),
            "andon_store_map_used_ratio": ("Used part of the map", snapshot.store_used_ratio),
            "andon_store_reader_lag_commits": (
                "Commits since the oldest open read began, whose pages stay taken",
                snapshot.store_reader_lag,
            ),
        }
        for name, (text, value) in values.items():
            self._set(name, text, value)
        for key, counters in snapshot.traffic.items():
            self._advance(self._received, "receive", key, counters.bytes_in)
            self._advance(self._sent, "send", key, counters.bytes_out)
        for key, pending in snapshot.pending_bytes.items():
            self._pending.labels(key.hex()[:16]).set(pending)
        for check in snapshot.ready.checks:
            self._ready.labels(check.name).set(int(check.is_ok))
        text_form: bytes = generate_latest(self.registry)
        return text_form

    def _set_validators(self, snapshot: Snapshot) -> None:
        """Who is there, who did not sign the last block, who did wrong."""
        members, missing = snapshot.validators.validators, []
        if snapshot.certificate is not None:
            signed = {signer.validator for signer in snapshot.certificate.signers}
            certifiers = snapshot.certifiers.validators
            missing = [item for index, item in enumerate(certifiers) if index not in signed]
            for index, item in enumerate(certifiers):
                if index in signed:
                    name = item.key.hex()[:16]
                    self._last_signed.labels(name).set(snapshot.status.height)
        wrong = [item for item in members if item.key in self._byzantine]
        for name, text, found in (
            ("cometbft_consensus_validators", "Validators of the epoch", members),
            (
                "cometbft_consensus_missing_validators",
                "Validators without a vote in the last certificate",
                missing,
            ),
            (
                "cometbft_consensus_byzantine_validators",
                "Validators of whose wrongdoing there is proof",
                wrong,
            ),
        ):
            self._set(name, text, len(found))
            self._set(f"{name}_power", f"{text}: weight", sum(item.weight for item in found))

    def _advance(self, counter: Counter, way: str, key: bytes, total: int) -> None:
        """Bring a counter to a total that the network keeps."""
        counter.labels(key.hex()[:16]).inc(total - self._counted.get((way, key), 0))
        self._counted[way, key] = total

    def _set(self, name: str, text: str, value: float) -> None:
        gauge = self._gauges.get(name)
        if gauge is None:
            gauge = self._gauges[name] = Gauge(name, text, registry=self.registry)
        gauge.set(value)

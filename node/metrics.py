"""What Prometheus reads: CometBFT's names where the meaning is the same, ours elsewhere.

Counters and histograms are updated as things happen; gauges are set from one snapshot when
somebody scrapes, so an unwatched node pays nothing. Labels are bounded by the registry of
validators and models, never by machines, lots or transactions.
Source: ecosystem reference 2.5.
"""

from __future__ import annotations

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
    worker_restarts: int


class Metrics:
    """The node's own registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._gauges: dict[str, Gauge] = {}
        self._last_time_ms: int | None = None
        self.transactions = self._counter(
            "cometbft_consensus_total_txs", "Transactions in final blocks"
        )
        self.predictions = self._counter(
            "andon_predictions_committed", "Predictions in final blocks"
        )
        self.mismatches = self._counter(
            "andon_prediction_mismatches", "Blocks refused because our own output differs"
        )
        self.refused = Counter(
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
        self._received = self._by_peer(
            "cometbft_p2p_message_receive_bytes", "Bytes received, by peer"
        )
        self._sent = self._by_peer("cometbft_p2p_message_send_bytes", "Bytes sent, by peer")
        self._pending = self._by_peer(
            "cometbft_p2p_peer_pending_send_bytes", "Bytes waiting to be sent, by peer"
        )
        self._ready = Gauge(
            "andon_node_ready", "1 if a criterion holds", ("check",), registry=self.registry
        )

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(name, text, registry=self.registry)

    def _by_peer(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, ("peer",), registry=self.registry)

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

    def observe_block(self, header: Header, transactions: int, predictions: int) -> None:
        """Count a final block."""
        if self.tracing is not None:
            self.tracing.committed(header.height)
        self.transactions.inc(transactions)
        self.predictions.inc(predictions)
        if self._last_time_ms is not None:
            self.interval.observe(max(0, header.time_ms - self._last_time_ms) / 1000)
        self._last_time_ms = header.time_ms
        self._set("cometbft_consensus_num_txs", "Transactions in the last block", transactions)
        self._set("andon_block_gas_used", "Gas of the last block", header.gas_used)

    def render(self, snapshot: Snapshot) -> bytes:
        """Set the gauges and write the exposition format."""
        status = snapshot.status
        weight = sum(peer.weight for peer in status.peers)
        linked = [peer for peer in status.peers if peer.connected]
        values: dict[str, tuple[str, float]] = {
            "cometbft_consensus_height": ("Height of the last final block", status.height),
            "cometbft_consensus_latest_block_height": ("The same", status.height),
            "cometbft_consensus_validators": (
                "Other validators in the registry",
                len(status.peers),
            ),
            "cometbft_consensus_validators_power": ("Weight of the other validators", weight),
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
        }
        for name, (text, value) in values.items():
            self._set(name, text, value)
        for key, counters in snapshot.traffic.items():
            self._received.labels(key.hex()[:16]).set(counters.bytes_in)
            self._sent.labels(key.hex()[:16]).set(counters.bytes_out)
        for key, pending in snapshot.pending_bytes.items():
            self._pending.labels(key.hex()[:16]).set(pending)
        for check in snapshot.ready.checks:
            self._ready.labels(check.name).set(int(check.is_ok))
        text_form: bytes = generate_latest(self.registry)
        return text_form

    def _set(self, name: str, text: str, value: float) -> None:
        gauge = self._gauges.get(name)
        if gauge is None:
            gauge = self._gauges[name] = Gauge(name, text, registry=self.registry)
        gauge.set(value)

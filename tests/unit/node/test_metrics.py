import re
import shutil
import subprocess

from prometheus_client.parser import text_string_to_metric_families

from andon.core.block import Header
from node.facade import Health, HealthCheck, NodeStatus, PeerStatus
from node.metrics import Metrics, Snapshot
from node.net.link import Counters

PEER = PeerStatus(
    validator_key=b"w" * 32,
    node_key=b"\x01" * 32,
    organisation="org-2",
    address="127.0.0.1:1",
    weight=2,
    connected=True,
    height=9,
)
STATUS = NodeStatus(
    version="0",
    chain_id="c",
    genesis_hash=b"g" * 32,
    node_key=b"n" * 32,
    validator_key=b"v" * 32,
    height=12,
    block_hash=b"b" * 32,
    state_root=b"s" * 32,
    time_ms=0,
    epoch=0,
    slot=13,
    is_syncing=True,
    mempool_count=5,
    mempool_bytes=500,
    worker_state="ready",
    worker_detail="cpu",
    models_loaded=1,
    mismatch=None,
    peers=(PEER,),
)


def header(height: int, time_ms: int) -> Header:
    zero = bytes(32)
    return Header(
        1, "c", 0, height, height, time_ms, zero, zero, zero, zero, zero, zero, zero, zero, zero, 77
    )


def samples(text: bytes) -> dict[tuple[str, tuple[str, ...]], float]:
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def complaints(text: bytes) -> list[str]:
    """What `promtool check metrics` would say, and what it says where it is installed."""
    found: list[str] = []
    for family in text_string_to_metric_families(text.decode()):
        name = family.name
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            found.append(f"{name}: lower case, digits and underscores")
        if not family.documentation:
            found.append(f"{name}: no help text")
        if family.type in ("unknown", "untyped"):
            found.append(f"{name}: no type")
        if family.type != "counter" and name.endswith(("_total", "_count", "_sum", "_bucket")):
            found.append(f"{name}: a suffix that is not for a {family.type}")
        if re.search(r"_(ms|milliseconds|minutes|kb|mb|mib|kilobytes|percent)(_|$)", name):
            found.append(f"{name}: use base units")
        if family.type in name.split("_"):
            found.append(f"{name}: the type is not part of a name")
        for sample in family.samples:
            if family.type == "counter" and not sample.name.endswith("_total"):
                found.append(f"{sample.name}: a counter ends in _total")
            if {"le", "quantile"} & set(sample.labels) and family.type in ("counter", "gauge"):
                found.append(f"{sample.name}: a label that is not for a {family.type}")
    if shutil.which("promtool"):
        command = ["promtool", "check", "metrics"]
        done = subprocess.run(command, input=text, capture_output=True, check=False)
        found.append(done.stderr.decode())
    return [complaint for complaint in found if complaint]


def test_a_scrape_shows_the_status_under_the_known_names() -> None:
    metrics = Metrics()
    metrics.observe_block(header(1, 1000), 3, 2)
    metrics.observe_block(header(2, 1300), 4, 0)
    metrics.refused.labels("EXPIRED").inc()
    snapshot = Snapshot(
        status=STATUS,
        ready=Health(
            is_ok=False, checks=(HealthCheck(name="syncing", is_ok=False, detail="behind"),)
        ),
        traffic={PEER.node_key: Counters(bytes_in=10, bytes_out=20)},
        pending_bytes={PEER.node_key: 3},
        store_used_ratio=0.25,
        worker_restarts=1,
    )
    text = metrics.render(snapshot)
    seen = samples(text)
    assert complaints(text) == []
    assert seen["cometbft_consensus_height", ()] == 12
    assert seen["cometbft_blocksync_syncing", ()] == 1
    assert seen["cometbft_consensus_total_txs_total", ()] == 7
    assert seen["andon_predictions_committed_total", ()] == 2
    assert seen["cometbft_mempool_failed_txs_total", ("EXPIRED",)] == 1
    assert seen["cometbft_consensus_block_interval_seconds_count", ()] == 1
    assert seen["cometbft_consensus_block_interval_seconds_sum", ()] == 0.3
    assert seen["cometbft_p2p_message_receive_bytes", ("01" * 8,)] == 10
    assert seen["andon_node_ready", ("syncing",)] == 0
    assert seen["andon_block_gas_used", ()] == 77


def test_a_second_scrape_shows_new_values_and_no_duplicates() -> None:
    metrics = Metrics()
    ready = Health(is_ok=True, checks=())
    snapshot = Snapshot(
        status=STATUS,
        ready=ready,
        traffic={},
        pending_bytes={},
        store_used_ratio=0.5,
        worker_restarts=0,
    )
    first, second = metrics.render(snapshot), metrics.render(snapshot)
    assert first.count(b"\nandon_store_map_used_ratio ") == 1
    assert samples(second)["andon_store_map_used_ratio", ()] == 0.5


def test_phases_are_summed_by_name() -> None:
    metrics = Metrics()
    metrics.observe_phase("commit", 0.25)
    metrics.observe_phase("commit", 0.5)
    labels = {"phase": "commit"}
    assert metrics.registry.get_sample_value("andon_phase_seconds_sum", labels) == 0.75
    assert metrics.registry.get_sample_value("andon_phase_seconds_count", labels) == 2

import dataclasses
import re
import shutil
import subprocess

from prometheus_client.parser import text_string_to_metric_families

from andon.core.block import Header
from andon.core.certificate import (
    Certificate,
    SignedVote,
    Signer,
    Validator,
    ValidatorSet,
    Vote,
    VoteKind,
)
from andon.core.errors import Code
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


MEMBERS = ValidatorSet(
    validators=tuple(Validator(key=bytes([number]) * 32, weight=number) for number in (1, 2, 3, 4))
)
CERTIFICATE = Certificate(
    vote=Vote(kind=VoteKind.FINAL, epoch=0, slot=12, block=b"b" * 32),
    signers=tuple(Signer(validator=index, signature=bytes(64)) for index in (0, 2, 3)),
)


def scraped(ready: Health, **changes: object) -> Snapshot:
    plain = Snapshot(
        status=STATUS,
        ready=ready,
        traffic={},
        pending_bytes={},
        store_used_ratio=0.5,
        store_reader_lag=3,
        worker_restarts=0,
        validators=MEMBERS,
        certificate=None,
        certifiers=MEMBERS,
    )
    return dataclasses.replace(plain, **changes)


READY = Health(is_ok=True, checks=())


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
    metrics.observe_block(header(1, 1000), [b"abc"] * 3, 2)
    metrics.observe_block(header(4, 1300), [b"ab"] * 4, 0)
    metrics.count_refused(Code.EXPIRED)
    behind = Health(
        is_ok=False, checks=(HealthCheck(name="syncing", is_ok=False, detail="behind"),)
    )
    text = metrics.render(
        scraped(
            behind,
            traffic={PEER.node_key: Counters(bytes_in=10, bytes_out=20)},
            pending_bytes={PEER.node_key: 3},
            certificate=CERTIFICATE,
        )
    )
    seen = samples(text)
    assert complaints(text) == []
    assert seen["cometbft_consensus_height", ()] == 12
    assert seen["cometbft_blocksync_syncing", ()] == 1
    assert seen["cometbft_consensus_total_txs", ()] == 7
    assert seen["cometbft_consensus_block_size_bytes", ()] == 8
    assert seen["cometbft_consensus_rounds", ()] == 2
    assert seen["andon_predictions_committed_total", ()] == 2
    assert seen["cometbft_mempool_failed_txs_total", ("EXPIRED",)] == 1
    assert seen["cometbft_consensus_block_interval_seconds_count", ()] == 1
    assert seen["cometbft_consensus_block_interval_seconds_sum", ()] == 0.3
    assert seen["cometbft_p2p_peer_receive_bytes_total", ("01" * 8,)] == 10
    assert seen["cometbft_p2p_peer_pending_send_bytes", ("01" * 8,)] == 3
    assert seen["andon_node_ready", ("syncing",)] == 0
    assert seen["andon_block_gas_used", ()] == 77


def test_validators_that_did_not_sign_or_did_wrong_are_counted_with_their_weight() -> None:
    metrics = Metrics()
    former = ValidatorSet(validators=(Validator(key=b"f" * 32, weight=9), *MEMBERS.validators))
    for validators, index in ((MEMBERS, 2), (MEMBERS, 2), (former, 0)):
        vote = SignedVote(vote=CERTIFICATE.vote, validator=index, signature=bytes(64))
        metrics.count_byzantine(validators, vote)
    seen = samples(metrics.render(scraped(READY, certificate=CERTIFICATE)))
    shown = {
        name: (
            seen[f"cometbft_consensus_{name}", ()],
            seen[f"cometbft_consensus_{name}_power", ()],
        )
        for name in ("validators", "missing_validators", "byzantine_validators")
    }
    assert shown == {
        "validators": (4, 10),
        "missing_validators": (1, 2),
        "byzantine_validators": (1, 3),
    }
    last = "cometbft_consensus_validator_last_signed_height"
    assert seen[last, ("01" * 8,)] == 12
    assert (last, ("02" * 8,)) not in seen


def test_bytes_of_a_peer_are_a_counter() -> None:
    metrics = Metrics()
    name = ("cometbft_p2p_peer_send_bytes_total", ("01" * 8,))
    for total in (20, 50, 50):
        traffic = {PEER.node_key: Counters(bytes_out=total)}
        assert samples(metrics.render(scraped(READY, traffic=traffic)))[name] == total


def test_a_second_scrape_shows_new_values_and_no_duplicates() -> None:
    metrics = Metrics()
    first, second = metrics.render(scraped(READY)), metrics.render(scraped(READY))
    assert first.count(b"\nandon_store_map_used_ratio ") == 1
    assert samples(second)["andon_store_map_used_ratio", ()] == 0.5


def test_phases_are_summed_by_name() -> None:
    metrics = Metrics()
    metrics.observe_phase("commit", 0.25)
    metrics.observe_phase("commit", 0.5)
    labels = {"phase": "commit"}
    assert metrics.registry.get_sample_value("andon_phase_seconds_sum", labels) == 0.75
    assert metrics.registry.get_sample_value("andon_phase_seconds_count", labels) == 2

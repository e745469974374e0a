import dataclasses

import pytest

from node.facade import MismatchStatus, NodeStatus
from node.health import Facts, age_text, live, ready, startup

STATUS = NodeStatus(
    version="0",
    chain_id="c",
    genesis_hash=b"g" * 32,
    node_key=b"n" * 32,
    validator_key=b"v" * 32,
    height=100,
    block_hash=b"b" * 32,
    state_root=b"s" * 32,
    time_ms=0,
    epoch=0,
    slot=100,
    is_syncing=False,
    mempool_count=0,
    mempool_bytes=0,
    worker_state="ready",
    worker_detail="cpu",
    models_loaded=1,
    mismatch=None,
    peers=(),
)
FACTS = Facts(
    status=STATUS,
    tip_age_ms=200,
    idle_block_ms=1000,
    supported_height=101,
    disk_free_ratio=0.5,
    linked_weight=3,
    quorum=3,
    needs_worker=True,
    fatal="",
)
MISMATCH = MismatchStatus(
    model_id=b"m" * 32,
    input_digest=b"i" * 32,
    element=2,
    expected=7,
    computed=8,
    height=90,
    count=1,
)


def status_with(**changes: object) -> dict[str, object]:
    return {"status": dataclasses.replace(STATUS, **changes)}


def failing(facts: Facts) -> list[str]:
    return [check.name for check in ready(facts).checks if not check.is_ok]


def test_a_sound_node_is_ready() -> None:
    assert ready(FACTS).is_ok
    assert failing(FACTS) == []


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        (status_with(is_syncing=True), "syncing"),
        ({"supported_height": 106}, "lag"),
        ({"tip_age_ms": 30_001}, "tip_age"),
        ({"linked_weight": 2}, "peers"),
        ({"disk_free_ratio": 0.04}, "disk"),
        (status_with(worker_state="down"), "worker"),
        (status_with(mismatch=MISMATCH), "predictions"),
        ({"differing": "model aa: another value"}, "conformance"),
        ({"removed_at": 90}, "membership"),
        ({"fatal": "disk full"}, "fatal"),
    ],
)
def test_each_criterion_alone_makes_it_unready(changes: dict[str, object], name: str) -> None:
    facts = dataclasses.replace(FACTS, **changes)
    assert failing(facts) == [name]
    assert not ready(facts).is_ok


def test_a_chain_that_is_slow_when_idle_is_ready_between_its_blocks() -> None:
    slow = dataclasses.replace(FACTS, idle_block_ms=60_000)
    assert failing(dataclasses.replace(slow, tip_age_ms=240_000)) == []
    assert failing(dataclasses.replace(slow, tip_age_ms=240_001)) == ["tip_age"]


def test_a_mismatch_names_model_input_and_element() -> None:
    facts = dataclasses.replace(FACTS, **status_with(mismatch=MISMATCH))
    detail = next(check.detail for check in ready(facts).checks if check.name == "predictions")
    assert MISMATCH.model_id.hex() in detail
    assert MISMATCH.input_digest.hex() in detail
    assert "element 2" in detail


def test_a_node_that_its_peers_do_not_know_says_so() -> None:
    facts = dataclasses.replace(FACTS, linked_weight=0, refusals=3, removed_at=90)
    details = {check.name: check.detail for check in ready(facts).checks}
    assert details["peers"] == "linked weight 0, quorum 3; 3 peers do not know this node"
    assert details["membership"] == "removed from the validators at height 90"


def test_an_observer_without_a_worker_is_ready() -> None:
    facts = dataclasses.replace(FACTS, needs_worker=False, **status_with(worker_state="none"))
    assert ready(facts).is_ok


def test_a_halted_chain_is_alive_but_not_ready() -> None:
    assert live(100).is_ok
    assert not ready(dataclasses.replace(FACTS, tip_age_ms=10**9)).is_ok
    assert not live(5_000).is_ok
    assert not startup(has_started=False).is_ok


@pytest.mark.parametrize(
    ("age_ms", "text"),
    [(0, "0 ms"), (999, "999 ms"), (1234, "1.2 s"), (59_900, "60 s"), (150_000, "2.5 min"),
     (7_200_000, "2.0 h"), (86_400_000 * 20, "20 d")],
)  # fmt: skip
def test_ages_are_readable(age_ms: int, text: str) -> None:
    assert age_text(age_ms) == text

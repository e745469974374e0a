"""`andon up --chaos` and the verbs of `andon chaos`, as an operator types them."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from node.checkout import CHECKOUT
from node.testing.local_net import free_ports

pytestmark = pytest.mark.integration
WAIT = "60s"


class Operator:
    def __init__(self, home: Path) -> None:
        self.home = home

    def andon(self, *arguments: str, status: int | None = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "andon.cli.main", *arguments, f"--home={self.home}"],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert status in (None, done.returncode), (arguments, done.stdout, done.stderr)
        return done.stdout + done.stderr

    def height(self) -> int:
        document = msgspec.json.decode(self.andon("status", "--json", status=None))
        return max(int(node.get("height") or 0) for node in document["nodes"])

    def validators(self) -> list[object]:
        found = msgspec.json.decode(self.andon("query", "validators", "--json"))
        assert isinstance(found["validators"], list)
        return found["validators"]

    def grows(self, nodes: str = "all") -> None:
        self.andon("assert", f"height >= {self.height() + 3} within {WAIT} on {nodes}")


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    return Operator(tmp_path / "net")


def test_an_operator_harms_a_network_and_mends_it(operator: Operator) -> None:
    port = free_ports(16, seed=11)
    try:
        up = ("up", "--chaos", "--detach", "--worker=none", "--idle-block-ms=200")
        operator.andon(*up, f"--base-port={port}")
        operator.grows()
        # Two against two: nobody has a quorum.
        operator.andon("chaos", "partition", "node-1", "node-2")
        time.sleep(3)
        stalled = operator.height()
        time.sleep(2)
        assert operator.height() <= stalled + 1
        operator.andon("chaos", "heal")
        operator.grows()
        operator.andon("chaos", "kill", "node-3")
        operator.andon("chaos", "pause", "2", "--json")
        operator.andon("chaos", "resume", "2")
        operator.andon("start", "node-3")
        operator.grows()
        operator.andon("chaos", "skew", "node-4", "--amount=100")
        operator.andon("chaos", "slow-disk", "node-1", "--amount=50")
        operator.grows()
        operator.andon("chaos", "disk-full", "node-2")
        operator.grows("any")
        operator.andon("stop", "node-2")
        operator.andon("chaos", "mend", "node-2")
        operator.grows()
        assert "no node" in operator.andon("chaos", "kill", "node-9", status=1)
        # Convicted by its own votes: the others vote it out, and go on without it.
        operator.andon("chaos", "byzantine", "node-4", "equivocate")
        deadline = time.monotonic() + 60
        while len(operator.validators()) != 3:
            assert time.monotonic() < deadline, operator.validators()
            time.sleep(0.5)
        operator.grows("any")
    finally:
        operator.andon("down")
    assert not (operator.home / "chaos.pid").exists()
    events = [
        msgspec.json.decode(line)
        for line in (operator.home / "chaos.jsonl").read_bytes().splitlines()
    ]
    done = ["partition", "heal", "kill", "pause", "resume", "skew", "slow-disk", "disk-full"]
    assert [event["verb"] for event in events] == [*done, "mend", "byzantine"]
    assert (events[5]["nodes"], events[5]["amount"]) == (["node-4"], 100)
    assert events[-1]["kind"] == "equivocate"
    times = [event["time_ms"] for event in events]
    assert times == sorted(times)


def test_verbs_on_links_tell_how_to_get_links(operator: Operator) -> None:
    port = free_ports(2, seed=12)
    try:
        operator.andon("up", "--detach", "--validators=1", "--worker=none", f"--base-port={port}")
        assert "andon up --chaos" in operator.andon("chaos", "heal", status=1)
    finally:
        operator.andon("down")

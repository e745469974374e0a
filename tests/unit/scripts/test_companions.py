"""Programs beside a local network: real ones, where they are installed."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from andon.cli.network import load_network
from andon.core.errors import Code, InvalidInput, Unavailable
from node.local_network import Plan, prepare
from node.testing.broker import find_mosquitto
from node.testing.local_net import free_ports
from scripts import companions
from scripts.cluster import Cluster
from scripts.companions import (
    COMPANIONS,
    check_installed,
    ports,
    start_companions,
    stop_companions,
)

needs_mosquitto = pytest.mark.skipif(find_mosquitto() is None, reason="needs mosquitto")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    base = free_ports(6, seed=3)
    prepare(Plan(home=tmp_path / "net", validators=1, observers=1, base_port=base, seed=1))
    made = Cluster(load_network(tmp_path / "net"))
    yield made
    stop_companions(made.home, made.children)


@needs_mosquitto
def test_a_broker_is_started_once_answers_and_is_stopped(cluster: Cluster) -> None:
    urls = start_companions(cluster, ["mqtt", "explorer"])
    port = ports(cluster)["mqtt"]
    assert urls == {"mqtt": f"mqtt://127.0.0.1:{port}", "explorer": cluster.nodes[1].rpc}
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        # CONNECT of MQTT 3.1.1 with a clean session; CONNACK is 20 02 00 00.
        client.sendall(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a")
        assert client.recv(4) == b"\x20\x02\x00\x00"
    assert start_companions(cluster, ["mqtt"]) == {"mqtt": urls["mqtt"]}
    assert stop_companions(cluster.home, cluster.children) == ["mqtt"]
    assert stop_companions(cluster.home) == []
    assert start_companions(cluster, []) == {}


@needs_mosquitto
def test_a_busy_port_names_its_holder(cluster: Cluster) -> None:
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", ports(cluster)["mqtt"]))
        holder.listen()
        with pytest.raises(Unavailable) as caught:
            start_companions(cluster, ["mqtt"])
    assert caught.value.code is Code.PORT_IN_USE
    assert f"pid {os.getpid()}" in caught.value.message


def test_a_program_that_is_missing_is_named_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(InvalidInput) as caught:
        check_installed(["explorer", "prometheus"])
    assert caught.value.code is Code.NOT_FOUND
    assert "apt install prometheus" in caught.value.hint
    check_installed(["explorer"])


def test_prometheus_is_told_every_node_and_its_part(cluster: Cluster, tmp_path: Path) -> None:
    arguments = COMPANIONS["prometheus"].prepare(tmp_path, 9090, cluster)
    text = (tmp_path / "prometheus.yml").read_text(encoding="utf-8")
    for node, role in zip(cluster.nodes, ("validator", "observer"), strict=True):
        target = node.rpc.removeprefix("http://")
        assert f'targets: ["{target}"]\n        labels: {{role: {role}, network: ' in text
    assert f"--config.file={tmp_path / 'prometheus.yml'}" in arguments


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="needs prometheus")
def test_a_real_prometheus_takes_the_configuration(cluster: Cluster) -> None:
    urls = start_companions(cluster, ["prometheus"])
    assert urls["prometheus"].startswith("http://127.0.0.1:")
    assert (cluster.home / companions.RUN_FILE).exists()

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from andon.cli.network import Process, Run, load_network, start_time
from andon.core.errors import Code, InvalidInput, Misuse, Unavailable
from node.local_network import Plan, prepare
from node.testing.local_net import free_ports
from scripts.cluster import Cluster, make_or_load, port_of, remove


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    base = free_ports(2, seed=1)
    prepare(Plan(home=tmp_path / "net", validators=1, base_port=base, seed=1))
    return Cluster(load_network(tmp_path / "net"))


def test_a_port_in_use_names_its_holder_and_starts_nothing(cluster: Cluster) -> None:
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", port_of(cluster.nodes[0].rpc)))
        holder.listen()
        with pytest.raises(Unavailable) as caught:
            cluster.up()
    assert caught.value.code is Code.PORT_IN_USE
    assert f"pid {os.getpid()}" in caught.value.message
    assert cluster.network.alive() == {}


def test_a_reused_process_id_is_never_taken_for_a_node(cluster: Cluster) -> None:
    mine = os.getpid()
    cluster.network.save_run(Run({"node-1": Process(pid=mine, started=start_time(mine) + 1)}))
    assert cluster.network.alive() == {}
    assert cluster.down() == []


def test_an_ended_process_has_no_start_time() -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    assert start_time(os.getpid()) > 0
    child.wait()
    assert start_time(child.pid) == 0


def test_nodes_are_found_by_name_and_number(cluster: Cluster) -> None:
    assert cluster.network.node("1") == cluster.network.node("node-1")
    with pytest.raises(InvalidInput):
        cluster.network.node("node-9")


def test_accounts_are_found_by_name_and_role(cluster: Cluster) -> None:
    network = cluster.network
    assert network.account("operator").name == "org-1-operator"
    assert network.account("org-1-admin").roles == ["admin"]
    with pytest.raises(InvalidInput):
        network.account("nobody")


def test_another_number_of_validators_is_refused_not_overwritten(cluster: Cluster) -> None:
    with pytest.raises(Misuse) as caught:
        make_or_load(Plan(home=cluster.home, validators=4), reset=False)
    assert "1 validators" in caught.value.message
    assert (cluster.home / "network.json").exists()


def test_only_networks_are_ever_deleted(tmp_path: Path, cluster: Cluster) -> None:
    other = tmp_path / "documents"
    other.mkdir()
    (other / "thesis.txt").write_text("years of work")
    with pytest.raises(Misuse):
        remove(other)
    assert (other / "thesis.txt").exists()
    remove(cluster.home)
    assert not cluster.home.exists()
    remove(cluster.home)


def test_no_network_is_a_typed_error_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        load_network(tmp_path)
    assert "andon up" in caught.value.hint

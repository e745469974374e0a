import os
import socket

from scripts.ports import Holder, busy_ports, describe


def test_a_busy_port_is_named_with_its_owner() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        (found,) = busy_ports("127.0.0.1", [port])
    assert (found.port, found.pid) == (port, os.getpid())
    assert str(found).startswith(f"port {port} is held by pid {os.getpid()} (")


def test_free_ports_are_not_reported() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert busy_ports("127.0.0.1", [port]) == []


def test_an_owner_that_cannot_be_seen_is_said_to_be_unseen() -> None:
    assert str(Holder(80, 0, "")) == "port 80 is held by a process that this user cannot see"


def test_a_process_is_named_once_with_all_its_ports() -> None:
    text = describe([Holder(81, 7, "node"), Holder(80, 7, "node"), Holder(90, 0, "")])
    assert text.splitlines() == [
        "ports 80, 81 are held by pid 7 (node)",
        "  port 90 is held by a process that this user cannot see",
    ]

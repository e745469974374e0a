"""One order, one transaction, however often the command is run."""

from __future__ import annotations

from pathlib import Path

from node.testing.memory_node import MemoryNode
from tests.unit.andon.cli.conftest import Andon, Result, send

ORDER = ("--idempotency-key", "order-77")


def heights(andon: Andon) -> object:
    return andon("--json", "query", "block").json()["header"]["height"]  # type: ignore[index]


def same(one: Result, other: Result) -> bool:
    return (one.code, one.json()) == (other.code, other.json())


def test_the_same_key_gives_the_same_transaction(andon: Andon) -> None:
    first = send(andon, *ORDER)
    height = heights(andon)
    assert same(first, send(andon, *ORDER))
    assert heights(andon) == height
    assert send(andon, "--idempotency-key", "order-78").json()["hash"] != first.json()["hash"]
    assert send(andon).json()["hash"] != first.json()["hash"]


def test_what_a_contract_refused_is_refused_again_and_not_tried_again(andon: Andon) -> None:
    first = send(andon, *ORDER, method="breaks")
    assert first.code == 5
    assert same(first, send(andon, *ORDER, method="breaks"))


def test_a_key_of_another_call_is_refused(andon: Andon) -> None:
    send(andon, *ORDER)
    for other in (send(andon, *ORDER, window="0x06"), send(andon, *ORDER, method="breaks")):
        assert other.code == 1
        assert "used for another call, of maintenance.assess" in other.err


def test_an_order_whose_fate_was_open_goes_on_with_its_own_bytes(
    andon: Andon, served: tuple[MemoryNode, str]
) -> None:
    served[0].is_holding = True
    first = andon("--timeout=0.05", "send", "maintenance.assess", "machine=M2", "window=0x31",
                  "--from=me", *ORDER)  # fmt: skip
    served[0].is_holding = False
    assert first.code == 3
    again = andon("--json", "send", "maintenance.assess", "machine=M2", "window=0x31",
                  "--from=me", *ORDER)  # fmt: skip
    assert (again.code, again.json()["hash"]) == (0, first.err.split()[1])


def test_an_order_is_written_before_it_is_sent(andon: Andon, tmp_path: Path) -> None:
    gone = "http://127.0.0.1:9"
    send(andon)  # the client has asked for the genesis; below nobody answers at all
    assert andon("send", "maintenance.assess", "machine=M3", "window=0x31", "--from=me", *ORDER,
                 url=gone).code == 6  # fmt: skip
    assert not (tmp_path / "sent").exists()
    send(andon, *ORDER)
    assert len(list((tmp_path / "sent").iterdir())) == 1


def test_an_empty_key_is_none(andon: Andon) -> None:
    assert send(andon, "--idempotency-key", "").code == 1

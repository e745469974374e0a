"""Contracts as objects, errors by stage, notebook forms and tables."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from andon.client import (
    AsyncClient,
    AsyncContract,
    Client,
    Contract,
    ContractFailed,
    InvalidInput,
    Misuse,
    NotFinalYet,
    SubmitRefused,
    make_call,
)
from andon.client.contract import methods_of
from andon.client.tables import predictions_frame, predictions_table
from andon.core.codec import encode_value
from andon.core.keys import PrivateKey
from andon.core.transaction import sign_transaction
from contracts_py.engine import Engine
from node.rpc import RpcServer
from node.testing.memory_node import MemoryNode

KEY = PrivateKey(b"\x2a" * 32)
SOURCE = b'''"""A machine park as the node in memory plays it."""
machines = Map(key=str, value=dict)


@export
def assess(machine: str, window: bytes, note: str = "") -> value:
    return machines.get(machine)


@view
def status(machine: str) -> value:
    return machines.get(machine)
'''


@pytest.fixture
def node() -> MemoryNode:
    node = MemoryNode()
    node.put("contracts", "source", {"park": SOURCE.decode()})
    return node


@pytest.fixture
async def client(node: MemoryNode) -> AsyncIterator[AsyncClient]:
    async with (
        RpcServer(node) as server,
        AsyncClient(server.url, genesis=node.genesis, key=KEY) as client,
    ):
        yield client


async def test_methods_of_a_loaded_contract_are_attributes(client: AsyncClient) -> None:
    park = await AsyncContract.load(client, "park")
    assert {"assess", "status", "evaluate"} <= set(dir(park))
    await park.assess(machine="M1", window=b"\x05")
    found = await park.status(machine="M1")
    assert found == {"rul": 5, "machine": "M1"}
    assert "status(machine: str)" in park._repr_html_()


async def test_wrong_names_of_arguments_are_found_before_anything_is_sent(
    client: AsyncClient, node: MemoryNode
) -> None:
    park = await AsyncContract.load(client, "park")
    with pytest.raises(Misuse, match=r"misses window and takes no windows"):
        await park.assess(machine="M1", windows=b"")
    with pytest.raises(AttributeError, match="has no method bogus"):
        await park.bogus()
    assert "submit" not in node.calls


async def test_a_contract_that_is_not_there_is_told_by_its_code(client: AsyncClient) -> None:
    for name in ("nothing", "no name"):
        with pytest.raises(InvalidInput) as caught:
            await AsyncContract.load(client, name)
        assert caught.value.code.name == "NO_CONTRACT"


async def test_each_stage_has_its_error_and_each_error_the_hash(
    client: AsyncClient, node: MemoryNode
) -> None:
    call = make_call("park", "assess", {"machine": "M1", "window": b"\x05"})
    written: list[bytes] = []
    body = await client.build(call, sender=KEY.public, expires_height=0)
    with pytest.raises(SubmitRefused) as refused:
        await client.submit_raw(sign_transaction(body, KEY), on_hash=written.append)
    assert refused.value.code.name == "EXPIRED"
    node.is_holding = True
    with pytest.raises(NotFinalYet) as pending:
        await client.submit(call, timeout_ms=20, on_hash=written.append)
    node.is_holding = False
    sent = await client.submit(make_call("park", "fail", {}), on_hash=written.append)
    with pytest.raises(ContractFailed) as failed:
        sent.require()
    hashes = ["0x" + identity.hex() for identity in (written[0], written[1], written[-1])]
    errors = (refused.value, pending.value, failed.value)
    assert [error.fields["hash"] for error in errors] == hashes


async def test_predictions_of_a_range_of_blocks_are_a_table(client: AsyncClient) -> None:
    for number in (5, 7):
        await client.send("park", "assess", machine="M1", window=bytes([number]))
    found = [item async for item in client.predictions(1, 3)]
    table = predictions_table(found, scale=0.5)
    assert table.column("value").to_pylist() == [2.5, 3.5]
    assert table.column("votes").to_pylist() == [4, 4]
    frame = predictions_frame(found)
    assert list(frame["height"]) == [2, 3]
    assert str(frame.index.tz) == "UTC"


async def test_notebooks_show_facts_and_escape_them(client: AsyncClient) -> None:
    call = make_call("park", "assess", {"machine": "<b>", "window": b"\x05"})
    sent = await client.submit(call)
    page = sent._repr_html_()
    assert "succeeded" in page
    assert "<b>" not in page
    (prediction,) = await client.predictions_of(sent.hash)
    assert "4 of 4" in prediction._repr_html_()


async def test_the_blocking_client_has_the_same(node: MemoryNode) -> None:
    import asyncio

    def work(url: str) -> list[int]:
        with Client(url, genesis=node.genesis, key=KEY) as client:
            Contract.load(client, "park").assess(machine="M1", window=b"\x09")
            return [item.output[0] for item in client.predictions(1, 2)]

    async with RpcServer(node) as server:
        assert await asyncio.to_thread(work, server.url) == [9]


def test_interfaces_of_the_standard_contracts_are_read() -> None:
    folder = Path(__file__).resolve().parents[4] / "contracts_py" / "library"
    for path in folder.glob("[a-z]*.py"):
        contract = Engine().check(path.read_bytes())
        found = methods_of(contract.abi())
        assert found, path
        assert all(method.kind in ("export", "view") for method in found.values())
        assert encode_value(contract.abi())

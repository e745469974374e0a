"""The client against real servers over loopback, with nodes in memory behind them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from andon.client import AsyncClient, AsyncContract, Client, InvalidInput, Unavailable, Wallet
from andon.client.models import Models
from andon.core.errors import Code
from andon.core.genesis import Genesis
from andon.core.keys import PrivateKey
from andon.core.transaction import make_call
from node.facade import Cursor, EventAnswer, StateAnswer
from node.rpc import RpcServer
from node.testing.memory_node import MemoryNode

KEY = PrivateKey(b"\x2a" * 32)
DEAD = "http://127.0.0.1:9"


@pytest.fixture
def node() -> MemoryNode:
    return MemoryNode()


@pytest.fixture
async def server(node: MemoryNode) -> AsyncIterator[RpcServer]:
    async with RpcServer(node) as server:
        yield server


@pytest.fixture
async def client(server: RpcServer, node: MemoryNode) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(server.url, genesis=node.genesis, key=KEY) as client:
        yield client


async def test_the_hash_is_told_before_the_transaction_is_sent(
    client: AsyncClient, node: MemoryNode
) -> None:
    told: list[tuple[bytes, int]] = []
    submission = await client.submit(
        make_call("maintenance", "assess", {"machine": "M1", "window": b"\x05"}),
        on_hash=lambda identity: told.append((identity, len(node.calls))),
    )
    assert told == [(submission.hash, 0)]
    assert submission.require().results == ({"rul": 5, "machine": "M1"},)
    assert submission.height == 1


async def test_a_failure_is_raised_with_its_place(client: AsyncClient) -> None:
    with pytest.raises(InvalidInput) as caught:
        await client.send("maintenance", "fail")
    assert caught.value.code is Code.CONTRACT_FAILED
    assert "maintenance.fail, line 12: rul below zero" in caught.value.message


async def test_a_timeout_keeps_the_hash_and_waiting_goes_on(
    client: AsyncClient, node: MemoryNode
) -> None:
    node.is_holding = True
    hashes: list[bytes] = []
    with pytest.raises(Unavailable) as caught:
        await client.submit(
            make_call("maintenance", "assess", {"machine": "M1", "window": b"\x01"}),
            timeout_ms=20,
            on_hash=hashes.append,
        )
    assert caught.value.code is Code.CONFIRMATION_TIMEOUT
    assert caught.value.fields["hash"] == "0x" + hashes[0].hex()
    node.is_holding = False
    submission = await client.wait(hashes[0])
    assert submission.is_final
    assert (await client.wait(hashes[0])).outcome == submission.outcome


async def test_state_and_predictions_come_proved(client: AsyncClient) -> None:
    submission = await client.submit(
        make_call("maintenance", "assess", {"machine": "M1", "window": b"\x05"})
    )
    assert await client.state("maintenance", "machines", "M1") == {"rul": 5, "machine": "M1"}
    assert await client.state("maintenance", "machines", "M2") is None
    (prediction,) = await client.predictions_of(submission.hash)
    assert prediction.output == (5,)
    assert (prediction.votes, prediction.validators) == (4, 4)
    assert (await client.outcome(submission.hash)).results == submission.require().results


class LyingNode(MemoryNode):
    """Shows another value beside the honest proof."""

    async def state(self, key: bytes) -> StateAnswer:
        answer = await super().state(key)
        return StateAnswer(key=key, value=b"\x07", proof=answer.proof, final=answer.final)


async def test_a_lie_about_state_is_caught() -> None:
    node = LyingNode()
    async with RpcServer(node) as server, AsyncClient(server.url) as client:
        with pytest.raises(InvalidInput) as caught:
            await client.state("maintenance", "machines", "M1")
    assert caught.value.code is Code.BAD_PROOF


async def test_proofs_of_another_network_are_refused(server: RpcServer) -> None:
    stranger: Genesis = MemoryNode(chain_id="other").genesis
    async with AsyncClient(server.url, genesis=stranger) as client:
        with pytest.raises(InvalidInput) as caught:
            await client.state("maintenance", "machines", "M1")
    assert caught.value.code is Code.WRONG_CHAIN


async def test_a_dead_endpoint_is_left_for_the_next(server: RpcServer) -> None:
    async with AsyncClient([DEAD, server.url]) as client:
        assert (await client.status()).height == "0"
        assert client.endpoint == server.url


async def test_no_endpoint_is_a_typed_error() -> None:
    async with AsyncClient(DEAD) as client:
        with pytest.raises(Unavailable) as caught:
            await client.status()
    assert caught.value.code is Code.UNREACHABLE


async def test_read_only_calls_give_values(client: AsyncClient) -> None:
    contract = AsyncContract(client, "maintenance")
    await contract.submit("assess", machine="M1", window=b"\x09")
    assert await contract.evaluate("status", machine="M1") == {"rul": 9, "machine": "M1"}
    with pytest.raises(InvalidInput) as caught:
        await contract.evaluate("nothing")
    assert caught.value.fields["failure"] == "E_NO_METHOD"


async def test_blobs_are_checked_against_their_digest(client: AsyncClient) -> None:
    identity = await client.publish_blob(b"package")
    assert await client.blob(identity) == b"package"
    with pytest.raises(InvalidInput) as caught:
        await client.blob(bytes(32))
    assert caught.value.code is Code.NOT_FOUND


class BreakingNode(MemoryNode):
    """Ends every event stream after two events."""

    async def events(self, after: Cursor | None) -> AsyncIterator[EventAnswer]:
        count = 0
        async for answer in super().events(after):
            yield answer
            count += 1
            if count == 2:
                return


async def test_events_go_on_over_broken_streams_without_gap() -> None:
    node = BreakingNode()
    async with RpcServer(node) as server, AsyncClient(server.url, key=KEY) as client:
        for number in range(5):
            await client.send("maintenance", "assess", machine="M1", window=bytes([number]))
        cursors = []
        async with asyncio.timeout(10):
            async for event in client.events("0-0-0", name="alert"):
                cursors.append(event.cursor)
                if len(cursors) == 5:
                    break
        assert cursors == [f"{height}-0-0" for height in range(1, 6)]


async def test_an_expired_cursor_is_raised(client: AsyncClient, node: MemoryNode) -> None:
    node.pruned_below = 5
    with pytest.raises(Unavailable) as caught:
        async for _ in client.events("1-0-0"):
            pass
    assert caught.value.code is Code.CURSOR_EXPIRED


async def test_a_page_of_events_gives_the_cursor_to_go_on(client: AsyncClient) -> None:
    _, cursor = await client.events_page()
    await client.send("maintenance", "assess", machine="M1", window=b"\x03")
    events, cursor = await client.events_page(cursor, wait_ms=2000)
    assert [event.fields["rul"] for event in events] == [3]
    assert cursor == "1-0-0"


async def test_the_blocking_client_does_the_same(server: RpcServer) -> None:
    def work() -> tuple[object, object, str]:
        with Client(server.url, key=KEY) as client:
            outcome = client.send("maintenance", "assess", machine="M1", window=b"\x04")
            value = client.state("maintenance", "machines", "M1")
            return outcome.results[0], value, client.status().height

    result, value, height = await asyncio.to_thread(work)
    assert result == value == {"rul": 4, "machine": "M1"}
    assert height == "1"


def test_a_wallet_keeps_keys_for_their_owner_alone(tmp_path: Path) -> None:
    wallet = Wallet(tmp_path / "keys")
    key = wallet.create("operator")
    file = tmp_path / "keys" / "operator.key"
    assert file.stat().st_mode & 0o777 == 0o600
    assert wallet.load("operator").public == key.public
    assert wallet.names() == ["operator"]
    with pytest.raises(InvalidInput):
        wallet.create("operator")
    with pytest.raises(InvalidInput):
        wallet.load("nobody")
    with pytest.raises(InvalidInput):
        wallet.create("../up")
    file.chmod(0o644)
    with pytest.raises(InvalidInput) as caught:
        wallet.load("operator")
    assert caught.value.code is Code.BAD_KEY


async def test_before_the_first_block_no_model_is_registered(
    client: AsyncClient, node: MemoryNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not await Models(client, KEY).is_registered(b"m" * 32)

    async def nothing_final(_key: bytes) -> StateAnswer:
        raise InvalidInput(Code.HEIGHT_UNKNOWN, "no certified block of height 0 is stored here")

    monkeypatch.setattr(node, "state", nothing_final)
    assert not await Models(client, KEY).is_registered(b"m" * 32)

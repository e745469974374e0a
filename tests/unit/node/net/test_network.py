import asyncio
import contextlib
import datetime as dt
import random
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from andon.core.certificate import Certificate, Vote, VoteKind
from andon.core.codec import encode
from andon.core.errors import Code, InvalidInput, Unavailable
from andon.core.keys import PrivateKey
from andon.core.merkle import tree_of_digests
from andon.core.pieces import check_piece, piece_digests, piece_proof, pieces_root
from andon.core.wire import (
    BlockWanted,
    CertificateMessage,
    Message,
    Status,
    Transactions,
    TransactionsWanted,
)
from node.net import fetch, limits, link, network, peers, server
from node.net.addresses import DialRules
from node.net.fetch import open_fetcher
from node.net.network import Network, Settings
from node.net.peers import Peer, PeerTable
from node.net.tls import client_context, make_server_tls
from node.storage import ChainStore, adoptable_block
from node.testing.lab import CertifiedChain

KEYS = sorted((PrivateKey(bytes([n]) * 32) for n in range(1, 5)), key=lambda key: key.public)


class MemoryShelf:
    def __init__(self) -> None:
        self.blobs: dict[bytes, bytes] = {}
        self.adoptable: list[bytes] = []
        self.busy_for = b""

    async def final_blocks(self, first: int, count: int) -> list[bytes]:
        return []

    async def adoptable_blocks(self, first: int, count: int) -> list[bytes]:
        if first == 99:
            raise InvalidInput(Code.NOT_FOUND, "as a release without this question answers")
        return self.adoptable[first - 1 : first - 1 + count]

    async def snapshots(self) -> list[int]:
        return [5, 10]

    async def snapshot_piece(
        self, height: int, name: str, offset: int, size: int
    ) -> tuple[int, bytes] | None:
        data = bytes(2_500_000)
        match name:
            case "manifest":
                return len(data), data[offset : offset + size]
            case "drop by drop":
                return len(data), data[offset : offset + 1]
            case "ever longer":
                return len(data) + offset, data[:size]
            case "longer":
                return 1_500_000, data[: size // 2 + offset]
            case _:
                return None

    async def blob_part(self, digest: bytes, offset: int, size: int) -> tuple[int, bytes] | None:
        blob = self.blobs.get(digest)
        return None if blob is None else (len(blob), blob[offset : offset + size])

    async def private_part(
        self, peer: bytes, digest: bytes, offset: int, size: int
    ) -> tuple[int, bytes] | None:
        return (len(peer), peer) if digest == b"p" * 32 else None

    async def block_item(self, height: int) -> bytes | None:
        return b"item %d" % height if height < 10 else None

    async def state_value(self, key: bytes) -> bytes | None:
        return key * 2 if key != b"gone" else None

    async def blob_proof(self, peer: bytes, digest: bytes, index: int) -> bytes | None:
        if peer == self.busy_for:
            raise Unavailable(Code.RATE_LIMITED, "enough")
        blob = self.blobs.get(digest)
        return None if blob is None else piece_proof(tree_of_digests(piece_digests(blob)), index)


class Node:
    """A network with an inbox."""

    def __init__(
        self, key: PrivateKey, chain: str = "plant-1", dial_host: str = "127.0.0.1"
    ) -> None:
        self.key = key
        self.inbox: asyncio.Queue[tuple[Peer, Message]] = asyncio.Queue()
        self.left: list[bytes] = []
        self.refuse = False
        self.shelf = MemoryShelf()
        self.table = PeerTable(key.public)
        self.network = Network(
            Settings(
                key=key,
                chain_id=chain,
                genesis=b"g" * 32,
                host="127.0.0.1",
                port=0,
                tls=make_server_tls(dt.datetime.now(dt.UTC)),
                dial=DialRules(dial_host, {}),
            ),
            self.table,
            self.shelf,
            receive=self.receive,
            linked=lambda peer: None,
            unlinked=self.left.append,
            jitter=random.Random(1),
        )

    def receive(self, peer: Peer, message: Message) -> None:
        if self.refuse:
            raise InvalidInput(Code.BAD_VOTE, "refused by the test")
        self.inbox.put_nowait((peer, message))

    def as_peer(self) -> Peer:
        return Peer(
            node_key=self.key.public,
            validator_key=b"v" + self.key.public[1:],
            host="127.0.0.1",
            port=self.network.port,
        )


@asynccontextmanager
async def running(*nodes: Node) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        group = await stack.enter_async_context(asyncio.TaskGroup())
        tasks = []
        for node in nodes:
            started = asyncio.Event()
            tasks.append(group.create_task(node.network.run(started)))
            await started.wait()
        registry = [node.as_peer() for node in nodes]
        for node in nodes:
            node.network.update_peers(registry)
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


async def until(condition: Callable[[], bool], timeout_s: float = 5.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - polls
            await asyncio.sleep(0.01)


async def linked(*nodes: Node) -> None:
    await until(lambda: all(len(n.network.linked_peers()) == len(nodes) - 1 for n in nodes))


async def test_three_nodes_link_pairwise_and_broadcast_reaches_all() -> None:
    nodes = [Node(key) for key in KEYS[:3]]
    async with running(*nodes):
        await linked(*nodes)
        nodes[1].network.broadcast(Status(7, 0, 3, b"h" * 32))
        for node in (nodes[0], nodes[2]):
            peer, message = await asyncio.wait_for(node.inbox.get(), 5)
            assert peer.node_key == nodes[1].key.public
            assert message == Status(7, 0, 3, b"h" * 32)


async def test_send_reaches_the_named_validator_alone() -> None:
    nodes = [Node(key) for key in KEYS[:3]]
    async with running(*nodes):
        await linked(*nodes)
        nodes[2].network.send(nodes[0].as_peer().validator_key, BlockWanted(b"b" * 32))
        _, message = await asyncio.wait_for(nodes[0].inbox.get(), 5)
        assert message == BlockWanted(b"b" * 32)
        assert nodes[1].inbox.empty()


async def test_a_stream_of_messages_arrives_complete_and_in_order_in_few_frames() -> None:
    low, high = Node(KEYS[0]), Node(KEYS[1])
    async with running(low, high):
        await linked(low, high)
        for n in range(5000):
            low.network.broadcast(Status(n, 0, 0, b"h" * 32))
        heights = [(await asyncio.wait_for(high.inbox.get(), 5))[1] for _ in range(5000)]
        assert [m.height for m in heights if isinstance(m, Status)] == list(range(5000))
        assert low.network.counters[high.key.public].frames_out < 50


async def test_a_certificate_leaves_with_the_next_message_or_soon_by_itself() -> None:
    low, high = Node(KEYS[0]), Node(KEYS[1])
    vote = Vote(VoteKind.NOTAR, 0, 1, b"b" * 32)
    certificate = CertificateMessage(Certificate(vote, ()))
    async with running(low, high):
        await linked(low, high)
        before = low.network.counters[high.key.public].frames_out
        low.network.broadcast(certificate)
        await asyncio.sleep(0)
        low.network.broadcast(Status(7, 0, 3, b"h" * 32))
        arrived = [(await asyncio.wait_for(high.inbox.get(), 5))[1] for _ in range(2)]
        assert arrived == [certificate, Status(7, 0, 3, b"h" * 32)]
        assert low.network.counters[high.key.public].frames_out == before + 1
        low.network.broadcast(certificate)
        assert (await asyncio.wait_for(high.inbox.get(), 5))[1] == certificate


async def test_a_certificate_waits_anew_once_another_has_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(link, "COMPANY_S", 0.4)
    low, high = Node(KEYS[0]), Node(KEYS[1])
    certificate = CertificateMessage(Certificate(Vote(VoteKind.FINAL, 0, 1, b"b" * 32), ()))
    async with running(low, high):
        await linked(low, high)
        low.network.broadcast(certificate)
        await asyncio.sleep(0.2)
        low.network.broadcast(Status(7, 0, 3, b"h" * 32))
        for _ in range(2):
            await asyncio.wait_for(high.inbox.get(), 5)
        began_s = asyncio.get_running_loop().time()
        low.network.broadcast(certificate)
        await asyncio.wait_for(high.inbox.get(), 5)
        assert asyncio.get_running_loop().time() - began_s > 0.35, "the timer of the one before"


async def test_an_unregistered_node_is_refused() -> None:
    inside, outside = Node(KEYS[1]), Node(KEYS[0])
    async with running(inside), asyncio.TaskGroup() as group:
        started = asyncio.Event()
        task = group.create_task(outside.network.run(started))
        await started.wait()
        outside.network.update_peers([inside.as_peer()])
        await asyncio.sleep(0.5)
        assert outside.network.linked_peers() == []
        assert inside.network.linked_peers() == []
        assert outside.network.refusals() == 1
        task.cancel()


async def test_a_peer_that_leaves_the_registry_hears_of_it_before_it_is_disconnected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(peers, "PARTING_S", 3.0)
    low, high = Node(KEYS[0]), Node(KEYS[1])
    async with running(low, high):
        await linked(low, high)
        high.network.update_peers([high.as_peer()])
        # Also over a new link: the old one may have been lost just before.
        high.network._links[low.key.public].close("test")
        await until(lambda: high.network.linked_peers() == [])
        await linked(low, high)
        assert [peer.is_observer for peer in high.network.linked_peers()] == [True]
        high.network.broadcast(Status(7, 1, 3, b"h" * 32))
        assert (await asyncio.wait_for(low.inbox.get(), 5))[1] == Status(7, 1, 3, b"h" * 32)
        assert low.network.refusals() == 0
        await until(lambda: high.network.linked_peers() == [])
        await until(lambda: low.network.refusals() == 1)


async def test_whom_its_peer_should_dial_and_does_not_dials_by_itself_and_learns_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(network, "UNDIALLED_S", 0.2)
    monkeypatch.setattr(peers, "PARTING_S", 0.0)
    low, high = Node(KEYS[0]), Node(KEYS[1])
    async with running(low, high):
        await linked(low, high)
        low.network.update_peers([low.as_peer()])
        await until(lambda: high.network.refusals() == 1)
        low.network.update_peers([low.as_peer(), high.as_peer()])
        await linked(low, high)
        assert high.network.refusals() == 0


async def test_an_address_that_no_peer_should_have_is_not_dialled() -> None:
    low, high = Node(KEYS[0], dial_host="0.0.0.0"), Node(KEYS[1])
    async with running(low, high):
        await asyncio.sleep(0.3)
        assert low.network.linked_peers() == []  # registered as 127.0.0.1, which is this host
        assert high.network.linked_peers() == []
    low, high = Node(KEYS[0]), Node(KEYS[1], dial_host="0.0.0.0")
    async with running(low, high), open_fetcher(high.network) as fetcher:
        await linked(low, high)  # it was dialled, and now would fetch there
        with pytest.raises(Unavailable, match="no address of a peer"):
            await fetcher.snapshots(low.key.public)


async def test_a_dropped_link_is_dialled_again() -> None:
    low, high = Node(KEYS[0]), Node(KEYS[1])
    async with running(low, high):
        await linked(low, high)
        first = high.network.session(low.key.public)
        high.network._links[low.key.public].close("test")
        await until(lambda: high.network.session(low.key.public) not in (None, first))
        assert high.left == [low.key.public]
        await linked(low, high)


async def test_a_peer_that_sends_invalid_messages_is_banned() -> None:
    low, high = Node(KEYS[0]), Node(KEYS[1])
    high.refuse = True
    async with running(low, high):
        await linked(low, high)
        for _ in range(20):
            low.network.broadcast(BlockWanted(b"b" * 32))
        await until(lambda: high.network.linked_peers() == [])
        now_s = asyncio.get_running_loop().time()
        assert high.network.scores.is_banned(low.key.public, now_s)


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ("MESSAGES", Transactions((b"t",))),
        ("BYTES", Transactions((bytes(4096),))),
        ("WANTED", TransactionsWanted((b"i" * 32,) * 100)),
        ("WANTED", BlockWanted(b"b" * 32)),
        ("CPU_S", Transactions((b"t",) * 1000)),
    ],
)
async def test_a_peer_beyond_its_budget_is_not_read_and_others_are(
    monkeypatch: pytest.MonkeyPatch, budget: str, message: Message
) -> None:
    flooder, quiet, node = Node(KEYS[0]), Node(KEYS[1]), Node(KEYS[2])
    monkeypatch.setattr(link, f"{budget}_PER_S", 1e-9)
    monkeypatch.setattr(link, f"{budget}_BURST", 1e-9)
    monkeypatch.setattr(link, "PAUSE_MAX_S", 3600.0)
    async with running(flooder, quiet, node):
        await linked(flooder, quiet, node)
        flooder.network.broadcast(message)
        peer, found = await asyncio.wait_for(node.inbox.get(), 5)
        assert (peer.node_key, found) == (flooder.key.public, message)
        flooder.network.broadcast(message)
        await asyncio.sleep(0.1)
        assert node.inbox.empty()
        quiet.network.broadcast(message)
        peer, _ = await asyncio.wait_for(node.inbox.get(), 5)
        assert peer.node_key == quiet.key.public


async def test_a_peer_that_fetches_too_much_waits_or_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "FETCHES_BURST", 2.0)
    monkeypatch.setattr(limits, "FETCHES_PER_S", 1e-9)
    monkeypatch.setattr(limits, "FETCHES_AT_ONCE_MAX", 1)
    monkeypatch.setattr(server, "FETCH_WAIT_MAX_S", 3600.0)
    low, high, other = Node(KEYS[0]), Node(KEYS[1]), Node(KEYS[2])
    async with running(low, high, other):
        await linked(low, high, other)
        async with (
            open_fetcher(low.network) as fetcher,
            open_fetcher(other.network) as others,
            asyncio.TaskGroup() as group,
        ):
            for _ in range(2):
                assert await fetcher.snapshots(high.key.public)
            waiting = group.create_task(fetcher.snapshots(high.key.public))
            await asyncio.sleep(0.1)
            assert not waiting.done()
            with pytest.raises(Unavailable, match="429"):
                await fetcher.snapshots(high.key.public)
            assert await others.snapshots(high.key.public)
            waiting.cancel()


async def test_a_snapshot_is_listed_and_fetched_in_pieces() -> None:
    low, high = Node(KEYS[0]), Node(KEYS[1])
    async with running(low, high), AsyncExitStack() as stack:
        await linked(low, high)
        fetcher = await stack.enter_async_context(open_fetcher(low.network))
        assert await fetcher.snapshots(high.key.public) == [5, 10]
        data = await fetcher.snapshot_file(high.key.public, 10, "manifest", 3_000_000)
        assert data == bytes(2_500_000)
        with pytest.raises(InvalidInput):
            await fetcher.snapshot_file(high.key.public, 10, "manifest", 2_000_000)
        with pytest.raises(Unavailable):
            await fetcher.snapshot_file(high.key.public, 10, "state-0", 2_000_000)


@pytest.mark.parametrize("name", ["drop by drop", "ever longer", "longer"])
async def test_a_file_comes_in_whole_pieces_and_as_long_as_promised(name: str) -> None:
    low, high = Node(KEYS[0]), Node(KEYS[1])
    async with running(low, high), open_fetcher(low.network) as fetcher:
        await linked(low, high)
        with pytest.raises(InvalidInput) as error:
            await fetcher.snapshot_file(high.key.public, 10, name, 30_000_000)
        assert error.value.code is Code.MALFORMED


async def test_a_file_that_comes_too_slowly_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "FILE_BYTES_PER_S_MIN", 1e18)
    low, high = Node(KEYS[0]), Node(KEYS[1])
    async with running(low, high), open_fetcher(low.network) as fetcher:
        await linked(low, high)
        assert await fetcher.snapshot_file(high.key.public, 10, "manifest", 3_000_000)
        monkeypatch.setattr(fetch, "FILE_BASE_S", 0.0)
        with pytest.raises(Unavailable, match="slower"):
            await fetcher.snapshot_file(high.key.public, 10, "manifest", 3_000_000)


async def test_blocks_with_what_they_did_are_fetched_and_none_of_whoever_lacks_them(
    tmp_path: Path,
) -> None:
    chain, store = CertifiedChain(), ChainStore(tmp_path / "chain", 64 * 1024 * 1024)
    chain.open(store)
    store.append([chain.extend(chain.write(2)) for _ in range(3)])
    with store.snapshot() as snapshot:
        encoded = [adoptable_block(snapshot, height) or b"" for height in (1, 2, 3)]
    store.close()
    low, high = Node(KEYS[0]), Node(KEYS[1])
    high.shelf.adoptable = encoded
    async with running(low, high), AsyncExitStack() as stack:
        await linked(low, high)
        fetcher = await stack.enter_async_context(open_fetcher(low.network))
        found = await fetcher.adoptable(high.key.public, 2, 64)
        assert [item.final.block.header.height for item in found] == [2, 3]
        assert [encode(item) for item in found] == encoded[1:]
        assert await fetcher.adoptable(high.key.public, 4, 64) == []
        assert await fetcher.adoptable(high.key.public, 99, 64) == []
        high.shelf.adoptable = [encoded[0][:-1]]
        with pytest.raises(InvalidInput):
            await fetcher.adoptable(high.key.public, 1, 64)


async def test_what_repairs_a_store_is_fetched_from_a_peer() -> None:
    low, high = Node(KEYS[0]), Node(KEYS[1])
    async with running(low, high), AsyncExitStack() as stack:
        await linked(low, high)
        fetcher = await stack.enter_async_context(open_fetcher(low.network))
        assert await fetcher.block_item(high.key.public, 7) == b"item 7"
        assert await fetcher.state_value(high.key.public, b"\0k") == b"\0k\0k"
        for wanted in (
            fetcher.block_item(high.key.public, 10),
            fetcher.state_value(high.key.public, b"gone"),
        ):
            with pytest.raises(Unavailable):
                await wanted


async def test_a_blob_is_fetched_in_pieces_over_the_pinned_session() -> None:
    low, high = Node(KEYS[0]), Node(KEYS[1])
    blob = bytes(range(256)) * 5000
    low.shelf.blobs[b"d" * 32] = blob
    high.shelf.blobs[b"d" * 32] = blob
    async with running(low, high), AsyncExitStack() as stack:
        await linked(low, high)
        for node, other in ((low, high), (high, low)):
            fetcher = await stack.enter_async_context(open_fetcher(node.network))
            got = b""
            while True:
                total, piece = await fetcher.blob_part(other.key.public, b"d" * 32, len(got))
                got += piece
                if len(got) >= total:
                    break
            assert got == blob
            with pytest.raises(Unavailable):
                await fetcher.blob_part(other.key.public, b"e" * 32, 0)


async def test_a_private_envelope_is_asked_for_in_the_name_of_the_linked_node() -> None:
    node, other = Node(KEYS[0]), Node(KEYS[1])
    async with running(node, other), open_fetcher(node.network) as fetcher:
        await linked(node, other)
        asked = await fetcher.private_part(other.key.public, b"p" * 32, 0)
        assert asked == (32, node.key.public)
        with pytest.raises(Unavailable):
            await fetcher.private_part(other.key.public, b"e" * 32, 0)


async def test_a_piece_comes_with_the_proof_that_it_belongs_to_the_blob() -> None:
    low, high = Node(KEYS[0]), Node(KEYS[1])
    blob = bytes(range(256)) * 5000
    high.shelf.blobs[b"d" * 32] = blob
    async with running(low, high), open_fetcher(low.network) as fetcher:
        await linked(low, high)
        for index in (0, 1):
            piece, proof = await fetcher.blob_piece(high.key.public, b"d" * 32, index)
            check_piece(pieces_root(blob), len(blob), index, piece, proof)
        high.shelf.busy_for = low.key.public
        with pytest.raises(Unavailable) as caught:
            await fetcher.blob_piece(high.key.public, b"d" * 32, 0)
        assert caught.value.fields["status"] == 429
        assert await fetcher.blob_part(high.key.public, b"d" * 32, 0)


async def test_fetch_routes_are_closed_without_a_session() -> None:
    node = Node(KEYS[0])
    async with running(node), aiohttp.ClientSession() as client:
        base = f"https://127.0.0.1:{node.network.port}/peer/v1"
        for headers in ({}, {server.SESSION_HEADER: "00" * 32}, {server.SESSION_HEADER: "zz"}):
            async with client.get(
                f"{base}/blocks?first=1&count=1", ssl=client_context(), headers=headers
            ) as response:
                assert response.status == 401
        async with client.post(
            f"{base}/blocks", ssl=client_context(), data=b"x" * 4096
        ) as response:
            assert response.status in (404, 405, 413)


async def test_a_half_sent_request_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "FIRST_REQUEST_S", 0.3)
    node = Node(KEYS[0])
    async with running(node):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", node.network.port, ssl=client_context()
        )
        writer.write(b"GET /peer/v1/blocks HTTP/1.1\r\nHost: x\r\n")
        answer = b""
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            answer = await asyncio.wait_for(reader.read(), 5)
        assert answer == b""
        writer.close()


async def test_who_asks_properly_without_a_session_keeps_no_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "FIRST_REQUEST_S", 30.0)
    monkeypatch.setattr(server, "HANDSHAKE_S", 0.2)
    upgrade = (
        b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: MDEyMzQ1Njc4OTAxMjM0NQ==\r\n"
    )
    node = Node(KEYS[0])
    async with running(node):
        for path, extra, status in (
            (b"blocks", b"", b"401"),
            (b"nothing", b"", b"401"),
            (b"blocks", b"Content-Length: 9\r\n", b"413"),
            (b"link", b"", b"400"),
            (b"link", upgrade, b"101"),
        ):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", node.network.port, ssl=client_context()
            )
            writer.write(b"GET /peer/v1/%s HTTP/1.1\r\nHost: x\r\n%s\r\n" % (path, extra))
            assert status in await asyncio.wait_for(reader.readuntil(b"\r\n"), 5)
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await asyncio.wait_for(reader.read(), 5)  # the end of the connection
            writer.close()


async def test_garbage_instead_of_a_handshake_ends_the_connection_only() -> None:
    node, other = Node(KEYS[0]), Node(KEYS[1])
    async with running(node, other), aiohttp.ClientSession() as client:
        await linked(node, other)
        url = f"wss://127.0.0.1:{node.network.port}/peer/v1/link"
        for junk in (b"", b"\xc1" * 100, b"\x97" * 5000):
            async with client.ws_connect(url, ssl=client_context()) as socket:
                await socket.send_bytes(junk)
                frame = await asyncio.wait_for(socket.receive(), 5)
                assert frame.type is aiohttp.WSMsgType.CLOSE
        node.network.broadcast(Transactions((b"t",)))
        assert (await asyncio.wait_for(other.inbox.get(), 5))[1] == Transactions((b"t",))


async def test_who_hangs_up_before_the_answer_is_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    asked = asyncio.Event()

    async def accept(request: web.Request) -> web.StreamResponse:
        asked.set()
        while not server.has_hung_up(request):  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        return socket

    found = server.PeerServer(make_server_tls(dt.datetime.now(dt.UTC)), MemoryShelf(), accept)
    port = await found.start("127.0.0.1", 0)
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client_context())
    writer.write(
        b"GET /peer/v1/link HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OTAxMjM0NQ==\r\n\r\n"
    )
    async with asyncio.timeout(5):
        await asked.wait()
        writer.transport.abort()
        await asyncio.sleep(0.1)
    await found.stop()
    assert not [record for record in caplog.records if record.exc_info]

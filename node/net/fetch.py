"""Fetch final blocks and blobs from linked peers over HTTPS, pinned to the session's certificate.

Everything fetched is checked by the caller; here only sizes are bounded and shapes decoded.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp

from andon.core.codec import R, decode
from andon.core.errors import Code, InvalidInput, Unavailable
from andon.core.pieces import PIECE_BYTES, PROOF_BYTES_MAX
from andon.core.wire import AdoptableBlock, FinalBlock
from node.net.addresses import CheckedResolver, DialRules
from node.net.network import Network
from node.net.server import (
    BLOCKS_BYTES_PER_FETCH_MAX,
    HEIGHT_BYTES,
    LENGTH_BYTES,
    OFFERS_MAX,
    PROOF_HEADER,
    SESSION_HEADER,
    TOTAL_HEADER,
)
from node.storage import BLOB_BYTES_MAX

FETCH_S = 15.0
FILE_BASE_S = 15.0
FILE_BYTES_PER_S_MIN = 256 * 1024
"""A file of many pieces comes at least so fast, apart from FILE_BASE_S; each piece has FETCH_S."""
BLOCK_BYTES_MAX = 8 * 1024 * 1024
TOTAL_DIGITS_MAX = 18
NOT_FOUND_STATUS = 404
_ANSWER_BYTES_MAX = BLOCKS_BYTES_PER_FETCH_MAX + BLOCK_BYTES_MAX


class Fetcher:
    """Fetches by node key; one HTTP session for all peers."""

    def __init__(self, network: Network, client: aiohttp.ClientSession) -> None:
        self._network = network
        self._client = client

    async def blocks(self, node_key: bytes, first: int, count: int) -> list[FinalBlock]:
        """Ask a peer for final blocks from height `first`; it may give fewer, or none.

        Raises:
            Unavailable: UNREACHABLE. InvalidInput: MALFORMED, TOO_LARGE, NOT_CANONICAL.
        """
        query = {"first": str(first), "count": str(count)}
        data, _ = await self._get(node_key, "blocks", query, _ANSWER_BYTES_MAX)
        return await asyncio.to_thread(split_records, FinalBlock, data)

    async def adoptable(self, node_key: bytes, first: int, count: int) -> list[AdoptableBlock]:
        """Ask a peer for final blocks with what they did; it may give fewer, or none.

        A peer of an earlier release does not know the question, and gives none.

        Raises:
            Unavailable: UNREACHABLE. InvalidInput: MALFORMED, TOO_LARGE, NOT_CANONICAL.
        """
        query = {"first": str(first), "count": str(count)}
        try:
            data, _ = await self._get(node_key, "adoptable", query, _ANSWER_BYTES_MAX)
        except Unavailable as error:
            if error.fields.get("status") == NOT_FOUND_STATUS:
                return []
            raise
        return await asyncio.to_thread(split_records, AdoptableBlock, data)

    async def blob_part(self, node_key: bytes, digest: bytes, offset: int) -> tuple[int, bytes]:
        """Ask a peer for one part of a blob; returns the total size that the peer claims.

        Raises:
            Unavailable: UNREACHABLE, also if the peer lacks it. InvalidInput: MALFORMED, TOO_LARGE.
        """
        return await self._part(node_key, f"blobs/{digest.hex()}", offset)

    async def private_part(self, node_key: bytes, digest: bytes, offset: int) -> tuple[int, bytes]:
        """Ask a keeper of a private payload for one part of its envelope, as `blob_part` does.

        Raises:
            Unavailable: UNREACHABLE, also if the peer lacks it. InvalidInput: MALFORMED, TOO_LARGE.
        """
        return await self._part(node_key, f"private/{digest.hex()}", offset)

    async def _part(self, node_key: bytes, path: str, offset: int) -> tuple[int, bytes]:
        data, headers = await self._get(node_key, path, {"offset": str(offset)}, PIECE_BYTES)
        return _total(headers, BLOB_BYTES_MAX), data

    async def blob_piece(self, node_key: bytes, digest: bytes, index: int) -> tuple[bytes, bytes]:
        """Ask a peer for piece `index` of a blob and its Merkle proof, both unchecked.

        Raises:
            Unavailable: UNREACHABLE, also if the peer lacks it. InvalidInput: MALFORMED, TOO_LARGE.
        """
        query = {"offset": str(index * PIECE_BYTES), "proof": "1"}
        data, headers = await self._get(node_key, f"blobs/{digest.hex()}", query, PIECE_BYTES)
        try:
            return data, bytes.fromhex(headers.get(PROOF_HEADER, "")[: 2 * PROOF_BYTES_MAX])
        except ValueError:
            raise InvalidInput(Code.MALFORMED, "the peer's proof is no hexadecimal") from None

    async def block_item(self, node_key: bytes, height: int) -> bytes:
        """Ask a peer for a block with what it did, undecoded and unchecked.

        Raises:
            Unavailable: UNREACHABLE, also if the peer lacks it. InvalidInput: TOO_LARGE.
        """
        return (await self._get(node_key, f"items/{height}", {}, _ANSWER_BYTES_MAX))[0]

    async def state_value(self, node_key: bytes, key: bytes) -> bytes:
        """Ask a peer what its state holds at a key, unchecked.

        Raises:
            Unavailable: UNREACHABLE, also if nothing is there. InvalidInput: TOO_LARGE.
        """
        return (await self._get(node_key, f"state/{key.hex()}", {}, BLOCK_BYTES_MAX))[0]

    async def snapshots(self, node_key: bytes) -> list[int]:
        """Ask a peer for the heights of its portable states.

        Raises:
            Unavailable: UNREACHABLE. InvalidInput: MALFORMED.
        """
        data, _ = await self._get(node_key, "snapshots", {}, OFFERS_MAX * HEIGHT_BYTES)
        if len(data) % HEIGHT_BYTES:
            raise InvalidInput(Code.MALFORMED, "the list of snapshots is cut off")
        starts = range(0, len(data), HEIGHT_BYTES)
        return [int.from_bytes(data[at : at + HEIGHT_BYTES], "big") for at in starts]

    async def snapshot_file(self, node_key: bytes, height: int, name: str, bytes_max: int) -> bytes:
        """Fetch a whole file of a portable state into memory; raises as `snapshot_pieces`."""
        body = bytearray()
        async for piece in self.snapshot_pieces(node_key, height, name, bytes_max):
            body += piece
        return bytes(body)

    async def snapshot_pieces(
        self, node_key: bytes, height: int, name: str, bytes_max: int
    ) -> AsyncIterator[bytes]:
        """Fetch a file of a portable state, in whole pieces and in bounded time.

        Raises:
            Unavailable: UNREACHABLE, also if the peer lacks it or is too slow.
            InvalidInput: MALFORMED, TOO_LARGE.
        """
        path, clock = f"snapshots/{height}/{name}", asyncio.get_running_loop().time
        here, promised, began_s = 0, -1, clock()
        while here != promised:
            query = {"offset": str(here)}
            piece, headers = await self._get(node_key, path, query, PIECE_BYTES)
            total = _total(headers, bytes_max)
            if promised not in (-1, total):
                raise InvalidInput(Code.MALFORMED, "the peer changes what it promised")
            promised = total
            if len(piece) != min(PIECE_BYTES, promised - here):
                raise InvalidInput(Code.MALFORMED, "the peer gives other pieces than it should")
            here += len(piece)
            yield piece
            if clock() - began_s > FILE_BASE_S + here / FILE_BYTES_PER_S_MIN:
                raise Unavailable(Code.UNREACHABLE, f"{path}: slower than a file may come")

    async def _get(
        self, node_key: bytes, path: str, query: dict[str, str], bytes_max: int
    ) -> tuple[bytes, dict[str, str]]:
        found = self._network.session(node_key)
        if found is None:
            raise Unavailable(Code.UNREACHABLE, "the peer is not linked")
        peer, session = found
        try:
            self._network.dial_rules.check(peer.host, peer.port)
        except InvalidInput as error:
            raise Unavailable(Code.UNREACHABLE, error.message) from None
        try:
            async with (
                asyncio.timeout(FETCH_S),
                self._client.get(
                    f"https://{peer.address}/peer/v1/{path}",
                    params=query,
                    headers={SESSION_HEADER: session.token_received.hex()},
                    ssl=aiohttp.Fingerprint(session.peer_certificate),
                    allow_redirects=False,
                ) as response,
            ):
                if response.status != 200:
                    raise Unavailable(
                        Code.UNREACHABLE,
                        f"{path}: HTTP {response.status}",
                        status=response.status,
                    )
                data = await _read_bounded(response, bytes_max)
                return data, dict(response.headers)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Unavailable(
                Code.UNREACHABLE, f"{path} from {peer.address}: {type(error).__name__}"
            ) from None


async def _read_bounded(response: aiohttp.ClientResponse, bytes_max: int) -> bytes:
    body = bytearray()
    async for piece in response.content.iter_chunked(256 * 1024):
        body += piece
        if len(body) > bytes_max:
            raise InvalidInput(Code.TOO_LARGE, f"the peer sent more than {bytes_max} bytes")
    return bytes(body)


def _total(headers: Mapping[str, str], bytes_max: int) -> int:
    """The size that a peer claims. Raises InvalidInput: TOO_LARGE if it is none, or too large."""
    text = headers.get(TOTAL_HEADER, "")
    if len(text) > TOTAL_DIGITS_MAX or not text.isdecimal() or int(text) > bytes_max:
        raise InvalidInput(Code.TOO_LARGE, f"the peer claims {text[:20]!r} of {bytes_max} bytes")
    return int(text)


def split_records(kind: type[R], data: bytes) -> list[R]:
    """Decode length-prefixed records.

    Raises:
        InvalidInput: MALFORMED, TOO_LARGE, NOT_CANONICAL.
    """
    records: list[R] = []
    position = 0
    while position < len(data):
        length = int.from_bytes(data[position : position + LENGTH_BYTES], "big")
        position += LENGTH_BYTES
        if length == 0 or position + length > len(data):
            raise InvalidInput(Code.MALFORMED, "block list is cut off")
        records.append(decode(kind, data[position : position + length], BLOCK_BYTES_MAX))
        position += length
    return records


@asynccontextmanager
async def open_fetcher(network: Network) -> AsyncIterator[Fetcher]:
    """A fetcher with its own HTTP session, closed at the end."""
    async with fetching_client(network.dial_rules) as client:
        yield Fetcher(network, client)


def fetching_client(rules: DialRules) -> aiohttp.ClientSession:
    """A session for fetches; `async with` closes it."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(resolver=CheckedResolver(rules)),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
    )

"""A signer in another process: the talk as a state machine, the socket, and what goes wrong."""

from __future__ import annotations

import asyncio
import os
import secrets
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from andon.core.certificate import SignedVote, Vote, VoteKind, vote_signing_bytes
from andon.core.codec import encode
from andon.core.errors import Code, Corrupt, InvalidInput, Unavailable
from andon.core.keys import PrivateKey, verify
from andon.core.transaction import TransactionBody, check_signature, make_call, parse_transaction
from node.signer import FileSigner, SignStateFile
from node.signer import protocol as wire
from node.signer.client import SocketSigner
from node.signer.server import SignerServer
from node.signer.session import SignerSession

KEY = PrivateKey(b"k" * 32)
CHAIN = "chain"
BLOCK_A, BLOCK_B = b"a" * 32, b"b" * 32


def notar(slot: int, block: bytes = BLOCK_A) -> Vote:
    return Vote(VoteKind.NOTAR, 0, slot, block)


def body(contract: str, method: str, **changes: object) -> TransactionBody:
    fields: dict[str, object] = {
        "chain_id": CHAIN,
        "sender": KEY.public,
        "nonce": bytes(8),
        "expires_height": 9,
        "gas_limit": 1_000_000,
        "calls": (make_call(contract, method, {}),),
    }
    return TransactionBody(**{**fields, **changes})


@pytest.fixture
def signer(tmp_path: Path) -> FileSigner:
    return FileSigner(CHAIN, KEY, SignStateFile(tmp_path / "sign_state", may_create=True))


def greeted(signer: FileSigner) -> SignerSession:
    session = SignerSession(signer)
    assert session.answer(wire.Hello(CHAIN)) == wire.Welcome(KEY.public)
    return session


def refusal(reply: wire.Reply) -> Code:
    assert isinstance(reply, wire.Refused), reply
    return Code(reply.code)


def test_nothing_is_signed_before_the_chain_is_named(signer: FileSigner) -> None:
    session = SignerSession(signer)
    assert refusal(session.answer(wire.SignVote(notar(1), 0))) is Code.BAD_REQUEST
    assert refusal(session.answer(wire.Hello("another"))) is Code.WRONG_CHAIN
    assert refusal(session.answer(wire.SignVote(notar(1), 0))) is Code.BAD_REQUEST
    assert signer.votes() == ()


def test_the_rules_of_signing_hold_over_the_wire_and_over_sessions(signer: FileSigner) -> None:
    reply = greeted(signer).answer(wire.SignVote(notar(1), 3))
    assert isinstance(reply, wire.Signed)
    verify(KEY.public, vote_signing_bytes(CHAIN, notar(1)), reply.signed.signature)
    again = greeted(signer)  # another connection, the same memory
    assert refusal(again.answer(wire.SignVote(notar(1, BLOCK_B), 3))) is Code.SIGN_REFUSED
    assert again.answer(wire.AskVotes()) == wire.Votes((notar(1),))
    assert again.answer(wire.Advance(0, 5)) == wire.Done()
    assert refusal(again.answer(wire.SignVote(notar(5), 3))) is Code.SIGN_REFUSED
    assert again.answer(wire.CheckNotOlder(0, 5)) == wire.Done()
    late = again.answer(wire.CheckNotOlder(0, 6))
    assert refusal(late) is Code.STORAGE_DAMAGED
    assert not again.is_over


@pytest.mark.parametrize(
    ("made", "code"),
    [
        (body("models", "attest"), None),
        (body("evidence", "submit"), None),
        (body("identity", "propose"), Code.SIGN_REFUSED),
        (body("models", "attest", chain_id="other"), Code.WRONG_CHAIN),
        (body("models", "attest", sender=b"x" * 32), Code.SIGN_REFUSED),
        (body("models", "attest", calls=()), Code.SIGN_REFUSED),
    ],
)
def test_only_a_validators_own_transactions_are_signed(
    signer: FileSigner, made: TransactionBody, code: Code | None
) -> None:
    reply = greeted(signer).answer(wire.SignBody(encode(made)))
    if code is None:
        assert isinstance(reply, wire.SignedBody)
        check_signature(parse_transaction(reply.raw))
    else:
        assert refusal(reply) is code


def test_a_disk_that_fails_ends_the_session(
    signer: FileSigner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    session = greeted(signer)
    monkeypatch.setattr(os, "fdatasync", fail)
    reply = session.answer(wire.SignVote(notar(1), 0))
    assert refusal(reply) is Code.STORAGE_DAMAGED
    assert session.is_over


def test_frames_are_bounded() -> None:
    with pytest.raises(InvalidInput) as error:
        wire.frame_length((wire.FRAME_BYTES_MAX + 1).to_bytes(4, "big"))
    assert error.value.code is Code.TOO_LARGE
    with pytest.raises(InvalidInput):
        wire.frame_length(bytes(4))
    with pytest.raises(InvalidInput):
        wire.decode_request(b"\x00")


@asynccontextmanager
async def serving(signer: FileSigner, path: Path) -> AsyncIterator[asyncio.Task[None]]:
    listening = asyncio.Event()
    task = asyncio.create_task(SignerServer(signer, path).run(listening))  # noqa: TID251
    await asyncio.wait_for(listening.wait(), 5)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def connect(path: Path, reconnect_s: float = 5.0) -> SocketSigner:
    return await asyncio.to_thread(SocketSigner, CHAIN, path, reconnect_s=reconnect_s)


async def test_a_node_votes_through_the_socket(signer: FileSigner, tmp_path: Path) -> None:
    path = tmp_path / "s"
    async with serving(signer, path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        client = await connect(path)
        assert client.public_key == KEY.public
        signed: SignedVote = await asyncio.to_thread(client.sign, notar(1), 2)
        assert signed.vote == notar(1)
        with pytest.raises(InvalidInput) as refused:
            await asyncio.to_thread(client.sign, notar(1, BLOCK_B), 2)
        assert refused.value.code is Code.SIGN_REFUSED
        await asyncio.to_thread(client.advance, 0, 4)
        await asyncio.to_thread(client.check_not_older, 0, 4)
        with pytest.raises(Corrupt):
            await asyncio.to_thread(client.check_not_older, 1, 1)
        raw = await asyncio.to_thread(client.sign_transaction, body("models", "attest"))
        assert parse_transaction(raw).sender == KEY.public
        assert await asyncio.to_thread(client.votes) == ()
        client.close()


async def test_a_second_node_is_turned_away_until_the_first_has_gone(
    signer: FileSigner, tmp_path: Path
) -> None:
    path = tmp_path / "s"
    async with serving(signer, path):
        first = await connect(path)
        with pytest.raises(Unavailable) as locked:
            await connect(path)
        assert locked.value.code is Code.LOCKED
        first.close()
        await asyncio.sleep(0.1)
        (await connect(path)).close()


async def test_a_signer_that_restarts_is_found_again_with_its_memory(
    tmp_path: Path,
) -> None:
    path, state = tmp_path / "s", tmp_path / "sign_state"
    with SignStateFile(state, may_create=True) as file:
        async with serving(FileSigner(CHAIN, KEY, file), path):
            client = await connect(path)
            await asyncio.to_thread(client.sign, notar(1), 0)
    with SignStateFile(state, may_create=False) as file:
        async with serving(FileSigner(CHAIN, KEY, file), path):
            with pytest.raises(InvalidInput):
                await asyncio.to_thread(client.sign, Vote(VoteKind.NOTAR, 0, 1, BLOCK_B), 0)
            await asyncio.to_thread(client.sign, notar(2), 0)
            client.close()


async def test_a_signer_ends_at_once_though_its_node_stays_connected(
    signer: FileSigner, tmp_path: Path
) -> None:
    listening, path = asyncio.Event(), tmp_path / "s"
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        running = group.create_task(SignerServer(signer, path).run(listening))
        await listening.wait()
        reader, writer = await asyncio.open_unix_connection(path)
        await asyncio.sleep(0.05)
        running.cancel()
        assert await reader.read() == b""
        writer.close()
    assert running.cancelled()


async def test_a_signer_that_does_not_come_back_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as down:
        await connect(tmp_path / "nobody", reconnect_s=0.0)
    assert down.value.code is Code.SIGNER_DOWN


async def test_garbage_from_a_client_costs_its_connection_only(
    signer: FileSigner, tmp_path: Path
) -> None:
    path = tmp_path / "s"
    async with serving(signer, path):
        for garbage in (b"\xff" * 8, b"\x00\x00\x00\x05abcde", secrets.token_bytes(64)):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(garbage)
            writer.write_eof()
            await asyncio.wait_for(reader.read(), 5)
            writer.close()
        (await connect(path)).close()
    assert signer.votes() == ()


async def test_a_failed_disk_ends_the_process(
    signer: FileSigner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s"
    async with serving(signer, path) as server:
        client = await connect(path, reconnect_s=0.0)
        (tmp_path / "sign_state").unlink()
        monkeypatch.setattr(os, "pwrite", lambda *_: 0)
        with pytest.raises(Corrupt):
            await asyncio.to_thread(client.sign, notar(1), 0)
        with pytest.raises(Unavailable):
            await asyncio.wait_for(asyncio.shield(server), 5)
        client.close()

"""The signer's process: serves one node at a time on a Unix socket that only its owner may open."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from pathlib import Path

import structlog

from andon.core.errors import Code, InvalidInput, Unavailable
from node.signer.file_signer import FileSigner
from node.signer.protocol import (
    LENGTH_BYTES,
    ReplyFrame,
    decode_request,
    frame,
    frame_length,
    refused,
)
from node.signer.session import SignerSession

REQUEST_TIMEOUT_S = 10.0
"""How long the rest of a request may take once it has begun; a quiet node may be quiet for ever."""
_CREDENTIALS = struct.Struct("3i")

log = structlog.get_logger()


class SignerServer:
    """Listens at `path`; `run` lasts until it is cancelled or the sign state fails."""

    def __init__(self, signer: FileSigner, path: Path) -> None:
        self._signer = signer
        self._path = path
        self._talk_task: asyncio.Task[None] | None = None
        self._failed = asyncio.Event()

    async def run(self, listening: asyncio.Event | None = None) -> None:
        """Serve.

        Raises:
            Unavailable: SIGNER_DOWN after the sign state could not be written.
        """
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()  # of a process that was killed: the sign state's lock is ours
        before = os.umask(0o177)
        try:
            server = await asyncio.start_unix_server(self._serve, self._path)
        finally:
            os.umask(before)
        try:
            if listening is not None:
                listening.set()
            log.info("signer.started", key=self._signer.public_key.hex()[:16])
            await self._failed.wait()
        finally:
            # No connection outlives the sign state that it writes to. It is ended before anybody
            # waits for the server: since Python 3.12 that is to wait for all connections.
            server.close()
            if self._talk_task is not None:
                self._talk_task.cancel()
        raise Unavailable(Code.SIGNER_DOWN, "the sign state cannot be written")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if not _is_ours(writer) or self._talk_task is not None:
                # Two nodes that ask one signer are two validators with one key.
                busy = Unavailable(
                    Code.LOCKED,
                    "another node is connected to this signer",
                    hint="stop it first: two nodes with one key would sign against each other",
                )
                writer.write(frame(ReplyFrame(refused(busy, is_fatal=True))))
                return
            self._talk_task = asyncio.current_task()
            try:
                await self._talk(SignerSession(self._signer), reader, writer)
            finally:
                self._talk_task = None
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            log.info("signer.disconnected")
        except InvalidInput as error:
            log.warning("signer.malformed", reason=error.message)
            writer.write(frame(ReplyFrame(refused(error, is_fatal=False))))
        finally:
            writer.close()

    async def _talk(
        self,
        session: SignerSession,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        while not session.is_over:
            prefix = await reader.readexactly(LENGTH_BYTES)
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                data = await reader.readexactly(frame_length(prefix))
            request = decode_request(data)
            # One thread, one request: what is signed is ordered. The write takes a disk flush.
            reply = session.answer(request)
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                writer.write(frame(ReplyFrame(reply)))
                await writer.drain()
        self._failed.set()


def _is_ours(writer: asyncio.StreamWriter) -> bool:
    """The peer's process belongs to our user; where the system cannot say, the file's mode does."""
    connection = writer.get_extra_info("socket")
    if not hasattr(socket, "SO_PEERCRED") or connection is None:
        return True
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, user, _ = _CREDENTIALS.unpack(raw)
    return bool(user == os.geteuid())

"""The node's side of a signer that is its own process: blocking, reconnecting, bounded."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from threading import Lock

from andon.core.certificate import SignedVote, Vote
from andon.core.codec import encode
from andon.core.errors import Code, Corrupt, InvalidInput, Unavailable
from andon.core.keys import PublicKey
from andon.core.transaction import TransactionBody
from node.signer import protocol

TIMEOUT_S = 5.0
RECONNECT_S = 30.0
"""How long a request outlives its signer; then the node must end, for it cannot vote."""
RETRY_S = 0.2


class SocketSigner:
    """Implements the driver's `Signer` by asking a process. Safe in several threads."""

    def __init__(self, chain_id: str, path: Path, *, reconnect_s: float = RECONNECT_S) -> None:
        """Connect.

        Raises:
            Unavailable: SIGNER_DOWN, or LOCKED if another node is connected.
            InvalidInput: WRONG_CHAIN.
        """
        self._chain_id = chain_id
        self._path = path
        self._reconnect_s = reconnect_s
        self._lock = Lock()
        self._connection: socket.socket | None = None
        self.public_key = self._greet()

    def close(self) -> None:
        """Leave the signer to the next node."""
        with self._lock:
            self._drop()

    def sign(self, vote: Vote, validator: int) -> SignedVote:
        """Have a vote recorded and signed.

        Raises:
            InvalidInput: SIGN_REFUSED. Corrupt: STORAGE_DAMAGED. Unavailable: SIGNER_DOWN.
        """
        reply = self._ask(protocol.SignVote(vote, validator))
        assert isinstance(reply, protocol.Signed), reply
        return reply.signed

    def sign_transaction(self, body: TransactionBody) -> bytes:
        """Have an own transaction signed. Raises as `sign`."""
        reply = self._ask(protocol.SignBody(encode(body)))
        assert isinstance(reply, protocol.SignedBody), reply
        return reply.raw

    def votes(self) -> tuple[Vote, ...]:
        """What was signed and may still matter."""
        reply = self._ask(protocol.AskVotes())
        assert isinstance(reply, protocol.Votes), reply
        return reply.votes

    def advance(self, epoch: int, slot: int) -> None:
        """Close all slots up to here, durably."""
        self._ask(protocol.Advance(epoch, slot))

    def check_not_older(self, epoch: int, slot: int) -> None:
        """Raise Corrupt if the signer's record is older than the chain."""
        self._ask(protocol.CheckNotOlder(epoch, slot))

    def _greet(self) -> PublicKey:
        with self._lock:
            return self._connect_in_time()

    def _ask(self, request: protocol.Request) -> protocol.Reply:
        """Ask, again if the signer went away: every request may be repeated without harm."""
        with self._lock:
            try:
                if self._connection is not None:
                    return _judged(self._exchange(request))
            except OSError:
                self._drop()
            if self._connect_in_time() != self.public_key:
                self._drop()
                raise Unavailable(Code.SIGNER_DOWN, "the signer came back with another key")
            try:
                return _judged(self._exchange(request))
            except OSError as error:
                self._drop()
                raise _down(self._path, error) from None

    def _connect_in_time(self) -> PublicKey:
        deadline_s = time.monotonic() + self._reconnect_s
        while True:
            try:
                return self._connect()
            except OSError as error:
                self._drop()
                if time.monotonic() >= deadline_s:
                    raise _down(self._path, error) from None
                time.sleep(RETRY_S)

    def _connect(self) -> PublicKey:
        self._connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._connection.settimeout(TIMEOUT_S)
        self._connection.connect(str(self._path))
        try:
            reply = _judged(self._exchange(protocol.Hello(self._chain_id)))
        except (InvalidInput, Unavailable, Corrupt):
            self._drop()
            raise
        assert isinstance(reply, protocol.Welcome), reply
        return PublicKey(reply.public)

    def _exchange(self, request: protocol.Request) -> protocol.Reply:
        assert self._connection is not None, "connected by the caller"
        self._connection.sendall(protocol.frame(protocol.RequestFrame(request)))
        length = protocol.frame_length(self._exactly(protocol.LENGTH_BYTES))
        return protocol.decode_reply(self._exactly(length))

    def _exactly(self, count: int) -> bytes:
        assert self._connection is not None, "connected by the caller"
        data = bytearray()
        while len(data) < count:
            part = self._connection.recv(count - len(data))
            if not part:
                raise ConnectionResetError("the signer closed the connection")
            data += part
        return bytes(data)

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _judged(reply: protocol.Reply) -> protocol.Reply:
    if not isinstance(reply, protocol.Refused):
        return reply
    code = Code(reply.code)
    if code in (Code.LOCKED, Code.SIGNER_DOWN):
        raise Unavailable(code, reply.message, hint=reply.hint)
    if reply.is_fatal:
        raise Corrupt(code, reply.message, hint=reply.hint)
    raise InvalidInput(code, reply.message, hint=reply.hint)


def _down(path: Path, error: OSError) -> Unavailable:
    return Unavailable(
        Code.SIGNER_DOWN,
        f"the signer at {path} does not answer: {error.strerror or error}",
        hint="start it: python -m node.signer --home DIR",
    )

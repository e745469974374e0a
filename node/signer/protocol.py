"""Records between a node and a signer that runs as a process of its own, on a Unix socket.

A frame is a 4-byte big-endian length and one canonical `Request` or `Reply`; a client waits for
each reply before it asks again. The signer keeps key and sign state; the node has neither.
"""

from __future__ import annotations

from typing import Union

from andon.core.certificate import SignedVote, Vote
from andon.core.codec import Record, decode, encode
from andon.core.errors import AndonError, Code, InvalidInput

LENGTH_BYTES = 4
FRAME_BYTES_MAX = 256 * 1024


class Hello(Record, frozen=True, tag="hello"):
    """The first request: for which chain the node wants signatures."""

    chain_id: str


class SignVote(Record, frozen=True, tag="vote"):
    """Record durably, then sign."""

    vote: Vote
    validator: int


class SignBody(Record, frozen=True, tag="body"):
    """Sign a transaction of the validator itself: its canonical body."""

    body: bytes


class Advance(Record, frozen=True, tag="advance"):
    """Close all slots up to here."""

    epoch: int
    slot: int


class CheckNotOlder(Record, frozen=True, tag="check"):
    """Fail if the sign state ends before this place of the chain."""

    epoch: int
    slot: int


class AskVotes(Record, frozen=True, tag="votes"):
    """What was signed and may still matter?"""


Request = Union[Hello, SignVote, SignBody, Advance, CheckNotOlder, AskVotes]


class Welcome(Record, frozen=True, tag="welcome"):
    """The signer's public key."""

    public: bytes


class Signed(Record, frozen=True, tag="signed"):
    """A signed vote."""

    signed: SignedVote


class SignedBody(Record, frozen=True, tag="signed-body"):
    """A raw signed transaction."""

    raw: bytes


class Votes(Record, frozen=True, tag="voted"):
    """Answer to `AskVotes`."""

    votes: tuple[Vote, ...]


class Done(Record, frozen=True, tag="done"):
    """It is durable, or it holds."""


class Refused(Record, frozen=True, tag="refused"):
    """A typed error; `is_fatal` if the signer's disk or state is at fault, not the request."""

    code: int
    message: str
    hint: str
    is_fatal: bool


Reply = Union[Welcome, Signed, SignedBody, Votes, Done, Refused]


class RequestFrame(Record, frozen=True):
    """One request on the wire."""

    body: Request


class ReplyFrame(Record, frozen=True):
    """One reply on the wire."""

    body: Reply


def frame(message: RequestFrame | ReplyFrame) -> bytes:
    """Encode one message with its length in front."""
    data = encode(message)
    return len(data).to_bytes(LENGTH_BYTES, "big") + data


def frame_length(prefix: bytes) -> int:
    """Read a length prefix.

    Raises:
        InvalidInput: TOO_LARGE, MALFORMED.
    """
    length = int.from_bytes(prefix, "big")
    if length > FRAME_BYTES_MAX:
        raise InvalidInput(Code.TOO_LARGE, f"frame of {length} bytes exceeds {FRAME_BYTES_MAX}")
    if length == 0:
        raise InvalidInput(Code.MALFORMED, "frame is empty")
    return length


def decode_request(data: bytes) -> Request:
    """Decode a frame's content. Raises InvalidInput as `codec.decode` does."""
    return decode(RequestFrame, data, FRAME_BYTES_MAX).body


def decode_reply(data: bytes) -> Reply:
    """Decode a frame's content. Raises InvalidInput as `codec.decode` does."""
    return decode(ReplyFrame, data, FRAME_BYTES_MAX).body


def refused(error: AndonError, *, is_fatal: bool) -> Refused:
    """Turn an error into its wire form."""
    return Refused(error.code.value, error.message, error.hint, is_fatal)

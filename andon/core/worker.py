"""The records between a node and its prediction worker, and how they are framed.

A frame is a 4-byte big-endian length and that many bytes of one canonical `Request` or `Reply`.
The stream is a Unix domain socket. A client may have many requests in flight on one connection;
each reply carries the number of its request, and replies may come in any order. A worker answers
`Pong("warming")` until its backend is up; `Load`, `Predict` and `Conform` sent meanwhile wait.
Loads run beside predictions: whoever predicts waits for `Loaded` first.
An oversized or malformed frame gets a `Failed` numbered 0 and the connection is closed.
"""

from __future__ import annotations

from typing import Union

from andon.core.codec import Record, decode, encode
from andon.core.errors import Code, InvalidInput

LENGTH_BYTES = 4
FRAME_BYTES_MAX = 64 * 1024 * 1024
WINDOWS_MAX = 4096
BATCH_MULTIPLY_ADDS_MAX = 1 << 34
"""A batch is seconds of work: a client that hears nothing for longer takes the worker for hung."""
REQUESTS_IN_FLIGHT_MAX = 1024
"""Per connection; a worker stops reading a connection that has more outstanding."""

BACKENDS = ("cpu", "gpu", "tpu")
"""What a worker computes on, in the words of operators."""

WARMING = "warming"
READY = "ready"
BROKEN = "broken"


class Ping(Record, frozen=True, tag="ping"):
    """Ask for the worker's state."""


class Load(Record, frozen=True, tag="load"):
    """Open a package blob, check it, compile it and run its conformance vectors."""

    blob: bytes


class Predict(Record, frozen=True, tag="predict"):
    """Evaluate up to `WINDOWS_MAX` windows of one loaded model."""

    model_id: bytes
    windows: tuple[bytes, ...]


class Conform(Record, frozen=True, tag="conform"):
    """Run the conformance vectors of one loaded model again."""

    model_id: bytes


class Explain(Record, frozen=True, tag="explain"):
    """Say where a committed output of one window parts from what the model means."""

    model_id: bytes
    window: bytes
    committed: tuple[int, ...]


class Unload(Record, frozen=True, tag="unload"):
    """Forget a model."""

    model_id: bytes


class Stats(Record, frozen=True, tag="stats"):
    """Ask for the worker's counters."""


class Request(Record, frozen=True):
    """One numbered question; numbers start at 1 and are chosen by the client."""

    number: int
    body: Union[Ping, Load, Predict, Conform, Explain, Unload, Stats]


class Pong(Record, frozen=True, tag="pong"):
    """`state` is WARMING, READY or BROKEN; `detail` says why it is broken, else the backend."""

    state: str
    detail: str


class Loaded(Record, frozen=True, tag="loaded"):
    """The model is checked and ready; `manifest` is its canonical manifest."""

    model_id: bytes
    manifest: bytes


class Outputs(Record, frozen=True, tag="outputs"):
    """One tuple of integers a window, in the order of the windows."""

    outputs: tuple[tuple[int, ...], ...]


class Done(Record, frozen=True, tag="done"):
    """The request has no result but success."""


class Explained(Record, frozen=True, tag="explained"):
    """One divergence. `operation` is an index into the graph, `name` its tag.

    `at_fault`: "committed" (the chain's output is wrong), "backend" (ours is), or "nobody".
    """

    element: int
    expected: int
    committed: int
    found: int
    operation: int
    name: str
    at_fault: str


class Counters(Record, frozen=True, tag="counters"):
    """Totals since the worker started; `names` and `values` run in parallel."""

    names: tuple[str, ...]
    values: tuple[int, ...]


class Failed(Record, frozen=True, tag="failed"):
    """A typed error; `fields` are (name, text) pairs, sorted by name."""

    code: int
    message: str
    hint: str
    fields: tuple[tuple[str, str], ...]


def windows_max(multiply_adds: int, most: int) -> int:
    """How many windows of a model make one batch, by its work."""
    return max(1, min(most, BATCH_MULTIPLY_ADDS_MAX // max(1, multiply_adds)))


class Reply(Record, frozen=True):
    """The answer to the request of the same number."""

    number: int
    body: Union[Pong, Loaded, Outputs, Done, Explained, Counters, Failed]


def frame(message: Request | Reply) -> bytes:
    """Encode one message with its length in front.

    Raises:
        InvalidInput: TOO_LARGE above FRAME_BYTES_MAX.
    """
    data = encode(message)
    if len(data) > FRAME_BYTES_MAX:
        raise InvalidInput(Code.TOO_LARGE, f"frame of {len(data)} bytes exceeds {FRAME_BYTES_MAX}")
    return len(data).to_bytes(LENGTH_BYTES, "big") + data


def frame_length(prefix: bytes) -> int:
    """Read a length prefix.

    Raises:
        InvalidInput: TOO_LARGE above FRAME_BYTES_MAX, MALFORMED for an empty frame.
    """
    length = int.from_bytes(prefix[:LENGTH_BYTES], "big")
    if length > FRAME_BYTES_MAX:
        raise InvalidInput(Code.TOO_LARGE, f"frame of {length} bytes exceeds {FRAME_BYTES_MAX}")
    if length == 0:
        raise InvalidInput(Code.MALFORMED, "frame is empty")
    return length


def decode_request(data: bytes) -> Request:
    """Decode a frame's content. Raises InvalidInput as `codec.decode` does."""
    return decode(Request, data, FRAME_BYTES_MAX)


def decode_reply(data: bytes) -> Reply:
    """Decode a frame's content. Raises InvalidInput as `codec.decode` does."""
    return decode(Reply, data, FRAME_BYTES_MAX)


def failed(error: InvalidInput | Exception) -> Failed:
    """Turn an error into its wire form; what is not typed becomes INTERNAL without its text."""
    code = getattr(error, "code", None)
    if not isinstance(code, Code):
        return Failed(Code.INTERNAL.value, f"{type(error).__name__} in the worker", "", ())
    fields = getattr(error, "fields", {})
    pairs = tuple(sorted((str(name), str(value)[:512]) for name, value in fields.items()))
    return Failed(code.value, getattr(error, "message", ""), getattr(error, "hint", ""), pairs)

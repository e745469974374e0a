"""JSON-RPC over HTTP to any of several nodes: fails over, never hides what the node said."""

from __future__ import annotations

import asyncio
import http
import io
from collections.abc import Sequence
from typing import TypeVar

import aiohttp
import msgspec

from andon.client.credentials import Credentials
from andon.core.errors import AndonError, Code, Fault, InvalidInput, Misuse, Unavailable
from andon.core.json_text import read_json
from andon.core.rpc_schema import ErrorReply, Reply, Schema

R = TypeVar("R", bound=Reply)
T = TypeVar("T", bound=msgspec.Struct)
ROUNDS = 2
"""How often all endpoints are tried before giving up."""

ROUND_PAUSE_S = 0.25
CONNECT_TIMEOUT_S = 3.0
LARGE_BODY_BYTES = 1 << 20
_ELSEWHERE = (Code.SYNCING, Code.NOT_READY, Code.RATE_LIMITED)
"""Another node may serve what this one cannot now."""

_ERROR_CLASSES: dict[str, type[AndonError]] = {
    Fault.PEER.value: InvalidInput,
    Fault.ENVIRONMENT.value: Unavailable,
}
"""What a node may say; a bug over there (`caller`) is no bug here, and to us it is unavailable."""

_encoder = msgspec.json.Encoder()


class _Request(msgspec.Struct, frozen=True):
    method: str
    params: Schema
    jsonrpc: str = "2.0"
    id: int = 1


class _Envelope(msgspec.Struct, frozen=True):
    result: msgspec.Raw = msgspec.Raw(b"null")
    error: ErrorReply | None = None


class Transport:
    """One HTTP session over a list of base URLs; the first that answers is kept."""

    def __init__(
        self,
        endpoints: Sequence[str],
        timeout_ms: int,
        credentials: Credentials | None = None,
    ) -> None:
        if not endpoints:
            raise Misuse(Code.BAD_CONFIG, "a client needs at least one endpoint")
        self._endpoints = [endpoint.rstrip("/") for endpoint in endpoints]
        self._timeout_s = timeout_ms / 1000
        self._credentials = credentials or Credentials.of_environment()
        self._current = 0
        self._session: aiohttp.ClientSession | None = None

    @property
    def endpoint(self) -> str:
        """The node that is asked first now."""
        return self._endpoints[self._current]

    def session(self) -> aiohttp.ClientSession:
        """The HTTP session; opened at first use on the running loop."""
        if self._session is None or self._session.closed:
            tls = self._credentials.tls()
            self._session = aiohttp.ClientSession(
                headers=self._credentials.headers(),
                connector=aiohttp.TCPConnector(ssl=True if tls is None else tls),
                timeout=aiohttp.ClientTimeout(sock_connect=CONNECT_TIMEOUT_S),
                auto_decompress=False,
            )
        return self._session

    async def close(self) -> None:
        """Close the session."""
        if self._session is not None:
            await self._session.close()

    def fail_over(self) -> None:
        """Ask the next endpoint from now on."""
        self._current = (self._current + 1) % len(self._endpoints)

    async def ask(self, method: str, params: Schema, kind: type[R], *, wait_ms: int = 0) -> R:
        """Call a method; `wait_ms` is what the node itself may wait.

        Raises:
            Unavailable: UNREACHABLE if no endpoint answers. AndonError: what the node answers.
        """
        body = _encoder.encode(_Request(method, params))
        answer = await self._try_all("POST", "/rpc", body, wait_ms)
        try:
            envelope = msgspec.json.decode(answer, type=_Envelope)
            if envelope.error is not None:
                raise error_of(envelope.error)
            return msgspec.json.decode(envelope.result, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Unavailable(
                Code.UNREACHABLE,
                f"{self.endpoint} does not answer like a node: {error}",
                hint="check the URL and the versions of client and node",
            ) from None

    async def put(self, path: str, body: bytes, kind: type[R]) -> R:
        """Send bytes with PUT."""
        return await self._send("PUT", path, body, kind)

    async def post(self, path: str, body: bytes, kind: type[T]) -> T:
        """Send bytes with POST."""
        return await self._send("POST", path, body, kind)

    async def get(self, path: str, kind: type[R]) -> R:
        """Ask with GET."""
        return await self._send("GET", path, b"", kind)

    async def get_bytes(self, path: str, bytes_max: int) -> bytes:
        """Ask for bytes with GET; the node that is asked first answers, or nobody.

        Raises:
            Unavailable: UNREACHABLE, TOO_LARGE. AndonError: what the node answers.
        """
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self.session().get(self.endpoint + path) as response,
            ):
                answer = bytearray()
                async for chunk in response.content.iter_any():
                    answer += chunk
                    if len(answer) > bytes_max:
                        what = f"{self.endpoint} answers with more than {bytes_max} bytes"
                        raise Unavailable(Code.TOO_LARGE, what, hint="ask another node")
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            reason = str(error) or type(error).__name__
            raise Unavailable(Code.UNREACHABLE, f"{self.endpoint}: {reason}") from None
        if response.status != http.HTTPStatus.OK:
            raise problem_error(bytes(answer))
        return bytes(answer)

    async def _send(self, verb: str, path: str, body: bytes, kind: type[T]) -> T:
        answer = await self._try_all(verb, path, body, 0)
        try:
            return msgspec.json.decode(answer, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise problem_error(answer) from None

    async def _try_all(self, verb: str, path: str, body: bytes, wait_ms: int) -> bytes:
        reason: str = "no endpoint"
        for attempt in range(ROUNDS * len(self._endpoints)):
            if attempt and attempt % len(self._endpoints) == 0:
                await asyncio.sleep(ROUND_PAUSE_S)
            endpoint = self.endpoint
            try:
                answer = await self._once(verb, endpoint + path, body, wait_ms)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                reason = f"{endpoint}: {str(error) or type(error).__name__}"
                self.fail_over()
                continue
            if attempt + 1 < len(self._endpoints) and _is_for_elsewhere(answer):
                self.fail_over()
                continue
            return answer
        raise Unavailable(
            Code.UNREACHABLE,
            f"no node answers ({reason})",
            hint="`andon status` shows the network, `andon up` starts a local one",
        )

    async def _once(self, verb: str, url: str, body: bytes, wait_ms: int) -> bytes:
        # aiohttp wants a large body as a file, which it sends in pieces.
        data = aiohttp.BytesPayload(body) if len(body) < LARGE_BODY_BYTES else io.BytesIO(body)
        async with (
            asyncio.timeout(self._timeout_s + wait_ms / 1000),
            self.session().request(verb, url, data=data) as response,
        ):
            return await response.read()


def error_of(reply: ErrorReply) -> AndonError:
    """Turn an answered error into one that its reader handles, whatever the node wrote in it."""
    try:
        data = read_json(bytes(reply.data))
    except InvalidInput:
        data = None
    fields: dict[str, object] = dict(data) if isinstance(data, dict) else {}
    hint, fault = fields.pop("hint", ""), fields.pop("fault", "")
    fields.pop("doc", None)
    try:
        code, message = Code(reply.code), reply.message
    except ValueError:  # JSON-RPC's own codes, or a newer node's
        code, message = Code.BAD_REQUEST, f"{reply.name}: {reply.message}"
    kind = _ERROR_CLASSES.get(str(fault), Unavailable)
    error = kind(code, message, hint=str(hint))
    error.fields.update(fields)  # not as arguments: the names are the node's
    return error


class _Problem(msgspec.Struct, frozen=True):
    title: str
    detail: str
    code: int
    data: msgspec.Raw


def problem_error(body: bytes) -> AndonError:
    """Turn an application/problem+json body into the class that the node raised."""
    try:
        problem = msgspec.json.decode(body, type=_Problem)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return Unavailable(Code.UNREACHABLE, "the endpoint does not answer like a node")
    return error_of(
        ErrorReply(code=problem.code, name=problem.title, message=problem.detail, data=problem.data)
    )


def _is_for_elsewhere(answer: bytes) -> bool:
    if b'"error"' not in answer:
        return False
    try:
        envelope = msgspec.json.decode(answer, type=_Envelope)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False
    return envelope.error is not None and envelope.error.code in [c.value for c in _ELSEWHERE]

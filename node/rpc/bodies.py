"""Bodies of requests: read within a time, on every route; a test walks all of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from aiohttp import web

from andon.core.errors import Code, InvalidInput
from node.rpc.limits import BODY_TIMEOUT_S


async def read_body(request: web.Request) -> bytes:
    """Read a whole body; the application bounds its size.

    Raises:
        InvalidInput: BAD_REQUEST if it does not come in time.
    """
    async with body_deadline():
        return await request.read()


@contextlib.asynccontextmanager
async def body_deadline() -> AsyncIterator[None]:
    """Bound the time that reading a body takes.

    Raises:
        InvalidInput: BAD_REQUEST.
    """
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            yield
    except TimeoutError:
        raise InvalidInput(
            Code.BAD_REQUEST, f"the body did not arrive within {BODY_TIMEOUT_S:.0f} s"
        ) from None

"""Every entry of a map of the final state, page by page: a map may hold more than one answer does.

What is old sorts anywhere among what is new, so that a look at the first page alone would miss
entries for good.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

import structlog

PAGE_ENTRIES = 256
PAGES_MAX = 256

log = structlog.get_logger()


class Entries(Protocol):
    """The last final state."""

    async def entries(
        self, prefix: bytes, after: bytes | None, count_max: int
    ) -> list[tuple[bytes, bytes]]:
        """Read entries under a prefix, above the key `after`, ascending."""


async def every_entry(
    state: Entries, prefix: bytes, page: int = PAGE_ENTRIES, pages_max: int = PAGES_MAX
) -> AsyncIterator[tuple[bytes, bytes]]:
    """Give all entries under a prefix, up to `page * pages_max`; says in the log if that is less.

    Each page is of the state that is final then.
    """
    after: bytes | None = None
    for _ in range(pages_max):
        found = await state.entries(prefix, after, page)
        for entry in found:
            yield entry
        if len(found) < page:
            return
        after = found[-1][0]
    log.error("state.too_many_entries", prefix=prefix.hex(), read=page * pages_max)

"""Whether this validator has lost its vote, and at which height: looked up once an epoch."""

from __future__ import annotations

from typing import Protocol

import structlog

log = structlog.get_logger()


class Epochs(Protocol):
    """The executed chain."""

    def epoch(self) -> int:
        """Epoch of the next block."""


class Removals(Protocol):
    """The stored chain."""

    def removed_at(self, validator_key: bytes) -> int | None:
        """Height of the block that took the vote of a key; None if it has one, or had none."""


class Membership:
    """Follows the epochs for one validator key; None is an observer, which loses nothing."""

    def __init__(self, validator_key: bytes | None, chain: Epochs, stored: Removals) -> None:
        self._key = validator_key
        self._chain = chain
        self._stored = stored
        self._epoch = -1
        self._removed_at: int | None = None

    def removed_at(self) -> int | None:
        """Height of the block that took our vote; None while we have it, or never had one."""
        epoch = self._chain.epoch()
        if self._key is not None and epoch != self._epoch:
            found, self._epoch = self._stored.removed_at(self._key), epoch
            if found is not None and found != self._removed_at:
                log.error("validator.removed", validator=self._key.hex()[:16], height=found)
            self._removed_at = found
        return self._removed_at

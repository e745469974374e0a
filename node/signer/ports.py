"""What a node needs of whoever holds its validator key."""

from __future__ import annotations

from typing import Protocol

from andon.core.certificate import SignedVote, Vote
from andon.core.keys import PublicKey
from andon.core.transaction import TransactionBody


class ValidatorSigner(Protocol):
    """The key and its memory: in this process, or in another. All calls block."""

    @property
    def public_key(self) -> PublicKey:
        """The key that the validator set must hold for us to vote."""
        ...

    def sign(self, vote: Vote, validator: int) -> SignedVote:
        """Record durably, then sign. Raises InvalidInput SIGN_REFUSED."""
        ...

    def sign_transaction(self, body: TransactionBody) -> bytes:
        """Sign a transaction that the validator sends in its own name; gives its raw bytes."""
        ...

    def votes(self) -> tuple[Vote, ...]:
        """What was signed and may still matter."""
        ...

    def advance(self, epoch: int, slot: int) -> None:
        """Close all slots up to here."""
        ...

    def check_not_older(self, epoch: int, slot: int) -> None:
        """Raise Corrupt if the record is older than the chain."""
        ...

"""Errors by the stage at which a transaction ended; each carries its hash.

A build that is wrong is `Misuse`. What was signed then goes through three doors, with an error for
each: it is refused, its fate is open, or it is final and its contract failed.
"""

from __future__ import annotations

from andon.core.errors import AndonError, InvalidInput, Unavailable


class SubmitRefused(InvalidInput):
    """The node refused the transaction before it ran: it is in no block and costs nothing."""


class NotFinalYet(Unavailable):
    """The waiting time is over and the fate is open; sending the same bytes again is harmless."""


class ContractFailed(InvalidInput):
    """The transaction is final and changed nothing: fields tell contract, method, line."""


def refused(error: InvalidInput, identity: bytes) -> SubmitRefused:
    """Say that a node refused the transaction."""
    return SubmitRefused(error.code, error.message, hint=error.hint, **_fields(error, identity))


def not_final_yet(error: Unavailable, identity: bytes) -> NotFinalYet:
    """Say that the transaction may still become final."""
    return NotFinalYet(error.code, error.message, hint=error.hint, **_fields(error, identity))


def _fields(error: AndonError, identity: bytes) -> dict[str, object]:
    return {**error.fields, "hash": "0x" + identity.hex()}

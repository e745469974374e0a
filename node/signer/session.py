"""One node's talk with a signer, as a state machine without input or output: request to reply.

A signer that is its own process shall do one thing: sign votes under the rules of `state.py`, and
the few transactions that a validator sends in its own name. Whoever gets hold of the node gets
signatures under the same rules, and never the key or its memory.
"""

from __future__ import annotations

from typing import assert_never

from andon.core.codec import decode
from andon.core.errors import AndonError, Code, Corrupt, InvalidInput
from andon.core.transaction import TRANSACTION_BYTES_MAX, TransactionBody
from node.signer.file_signer import FileSigner
from node.signer.protocol import (
    Advance,
    AskVotes,
    CheckNotOlder,
    Done,
    Hello,
    Reply,
    Request,
    SignBody,
    Signed,
    SignedBody,
    SignVote,
    Votes,
    Welcome,
    refused,
)

OWN_CALLS = frozenset(
    {
        ("models", "attest"),
        ("evidence", "submit"),
        *(("committees", name) for name in ("measure", "enrol")),
        *(("predictions", name) for name in ("commit", "reveal", "advance")),
    }
)
"""What a validator calls in its own name; a signer signs no other transaction."""


class SignerSession:
    """One connection. After an answer with `is_fatal` the process must end."""

    def __init__(self, signer: FileSigner) -> None:
        self._signer = signer
        self._is_greeted = False
        self.is_over = False

    def answer(self, request: Request) -> Reply:
        """Do what is asked, durably where it has to be, and tell the outcome."""
        try:
            return self._answer(request)
        except Corrupt as error:
            # A check that the state is not too old is a question; a failed disk is an end.
            self.is_over = not isinstance(request, CheckNotOlder)
            return refused(error, is_fatal=True)
        except AndonError as error:
            return refused(error, is_fatal=False)

    def _answer(self, request: Request) -> Reply:
        if not self._is_greeted and not isinstance(request, Hello):
            raise InvalidInput(Code.BAD_REQUEST, "say for which chain first")
        match request:
            case Hello():
                return self._greet(request.chain_id)
            case SignVote():
                return Signed(self._signer.sign(request.vote, request.validator))
            case SignBody():
                return SignedBody(self._sign_body(request.body))
            case Advance():
                self._signer.advance(request.epoch, request.slot)
                return Done()
            case CheckNotOlder():
                self._signer.check_not_older(request.epoch, request.slot)
                return Done()
            case AskVotes():
                return Votes(self._signer.votes())
            case _:
                assert_never(request)

    def _greet(self, chain_id: str) -> Welcome:
        if chain_id != self._signer.chain_id:
            raise InvalidInput(
                Code.WRONG_CHAIN,
                f"this signer signs for {self._signer.chain_id!r}, not {chain_id!r}",
                hint="its genesis file and the node's must be the same",
            )
        self._is_greeted = True
        return Welcome(self._signer.public_key)

    def _sign_body(self, data: bytes) -> bytes:
        body = decode(TransactionBody, data, TRANSACTION_BYTES_MAX)
        calls = {(call.contract, call.method) for call in body.calls}
        if not calls or not calls <= OWN_CALLS:
            raise InvalidInput(
                Code.SIGN_REFUSED,
                "a validator's key signs attestations and evidence, no other transaction",
                hint="use a member's key",
            )
        return self._signer.sign_transaction(body)

"""`andon send --idempotency-key`: one order, one transaction, however often the command is run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from andon.cli.context import Context
from andon.cli.contracts import tell_hash
from andon.client.results import Submission
from andon.client.sent import SentBook
from andon.client.stages import SubmitRefused
from andon.core.errors import Code, InvalidInput
from andon.core.genesis import genesis_hash
from andon.core.transaction import Call, sign_transaction

if TYPE_CHECKING:
    from andon.client.async_client import Wait

FOLDER = "sent"


def submit_once(
    context: Context, call: Call, sender: str, wait: Wait, gas_limit: int, *, name: str
) -> Submission:
    """Submit what was signed under `name` before, or sign and write it down now.

    Raises:
        InvalidInput: BAD_ARGUMENTS if `name` was used for another call; EXPIRED if its time is
            over and the node knows no block with it.
    """
    key = context.key(sender)
    book = SentBook(context.home / FOLDER)
    with context.client(key) as client:
        network = genesis_hash(client.genesis())
        kept = book.find(network, key.public, name)
        if kept is None:
            body = client.build(call, sender=key.public, gas_limit=gas_limit)
            kept = book.keep(network, key.public, name, sign_transaction(body, key))
        if kept.body.calls != (call,):
            was = kept.body.calls[0]
            raise InvalidInput(
                Code.BAD_ARGUMENTS,
                f"key {name!r} was used for another call, of {was.contract}.{was.method}",
                hint="another order needs another key; arguments count too",
            )
        try:
            return client.submit_raw(
                kept.raw, wait=wait, timeout_ms=context.timeout_ms, on_hash=tell_hash
            )
        except SubmitRefused as error:
            if error.code is not Code.EXPIRED:
                raise
            raise InvalidInput(
                Code.EXPIRED,
                f"the transaction of key {name!r} could be final up to height "
                f"{kept.body.expires_height}; this node knows no block that holds it",
                hint="unless the node is pruned it never became final: another key makes another",
                hash="0x" + kept.id.hex(),
            ) from None

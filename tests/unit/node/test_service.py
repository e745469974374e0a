"""What comes of transactions that are submitted together."""

from __future__ import annotations

from types import SimpleNamespace
from typing import NoReturn, cast

from andon.core.errors import Code, InvalidInput, Unavailable
from andon.core.transaction import Transaction
from node.facade import Submitted, Wait
from node.mempool import Mempool, Verifier
from node.service import NodeService, Parts
from tests.unit.consensus.ledger.world import put, signed
from tests.unit.node.drivers.test_contract_engine import make_genesis
from tests.unit.node.mempool.test_mempool import OpenGate

BUSY = Unavailable(Code.LOCKED, "no reader is free")


class FinalGate(OpenGate):
    """Knows what a final block holds."""

    def check_admission(self, transaction: Transaction) -> None:
        if transaction.id in self.refused:
            raise InvalidInput(Code.DUPLICATE, "a final block has it")


class BusyQueries:
    """A store that cannot be read now, and what was spread until it was asked."""

    def __init__(self, spread: list[bytes]) -> None:
        self.spread = spread
        self.before: list[bytes] = []

    async def transaction(self, identity: bytes) -> NoReturn:
        assert len(identity) == 32
        self.before = list(self.spread)
        raise BUSY


async def test_a_read_that_fails_keeps_no_admitted_transaction_from_being_spread() -> None:
    first, final, last = (signed(put("a", number)) for number in range(3))
    gate, verifier, spread, timed = FinalGate(), Verifier(), list[bytes](), list[bytes]()
    gate.refused.add(final.id)
    queries = BusyQueries(spread)
    parts = SimpleNamespace(
        genesis=make_genesis(),
        execution=SimpleNamespace(subscribe=lambda _: None),
        mempool=Mempool(gate, verifier),
        finality=SimpleNamespace(admitted=timed.append),
        gossip=SimpleNamespace(spread=spread.append),
        queries=queries,
    )
    service = NodeService(cast("Parts", parts), lambda _: b"", lambda *_: None)  # type: ignore[arg-type] # neither is asked
    try:
        found = await service.submit_all((first.raw, final.raw, last.raw))
    finally:
        verifier.close()
    accepted = [Submitted(transaction_id=item.id, stage=Wait.ACCEPTED) for item in (first, last)]
    assert found == [accepted[0], BUSY, accepted[1]]
    assert spread == queries.before == [first.raw, last.raw]
    assert timed == [first.id, last.id]

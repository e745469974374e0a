"""The pure path of a block: execution and roots, tree updates, growth with the state's size.

Signatures are left out (see the limit line of the load benchmark) and the contract engine is a
fixed function of one read, one write and one event, so that what is measured is the ledger.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

from andon.core.block import Justification
from andon.core.codec import Value, encode_value
from andon.core.genesis import Genesis, Params, contract_at_genesis
from andon.core.keys import PrivateKey
from andon.core.state_key import state_key
from andon.core.transaction import (
    Call,
    Transaction,
    TransactionBody,
    make_call,
    parse_transaction,
    sign_transaction,
)
from consensus.ledger import (
    Context,
    Description,
    Host,
    MemoryState,
    Mode,
    Outcome,
    Overlay,
    Parent,
    PredictionUnavailable,
    Turn,
    build_block,
    check_and_execute_block,
    genesis_state,
    parent_of,
    update_tree,
)

TRANSACTIONS = 2_000
ROUNDS = 3
TREE_SIZES = (1_000, 10_000, 100_000)
TREE_BATCH = 1_000
CHAIN = "bench"
_nonces = itertools.count()


class CounterEngine:
    """Adds to a counter: the least that a call does."""

    gas_schedule = 1

    def check(self, source: bytes) -> Description:
        """Accept everything."""
        del source
        return Description()

    def execute(
        self, host: Host, context: Context, call: Call, gas_limit: int, *, mode: Mode
    ) -> Outcome:
        """Write a state of @init, or one counter with an event."""
        del gas_limit
        if mode is Mode.INIT:
            for name, value in _IDENTITY.items():
                host.write(state_key("identity", name), value)
            for key, value in _MEMBERS.items():
                host.write(key, value)
        else:
            key = state_key(call.contract, "counters", context.transaction_id[:4])
            host.read(key)
            host.write(key, call.args)
            host.emit(call.contract, "counted", call.args)
        return Outcome(ok=True, result=b"\xc0", gas_used=1_000, failure=None)


class NoModels:
    """Has no outputs."""

    def output(self, model_id: bytes, window: bytes, digest: bytes) -> tuple[int, ...]:
        """Refuse."""
        del digest
        raise PredictionUnavailable(model_id, window)


_sender = PrivateKey(b"s" * 32)
_organisation: Value = {"name": "org", "active": True}
_member: Value = {"org": "org", "roles": ["operator"], "active": True}
_validators: Value = [{"key": _sender.public, "weight": 1, "org": "org"}]
_IDENTITY = {"validators": encode_value(_validators), "next": encode_value(None)}
_MEMBERS = {
    state_key("identity", "organisations", "org"): encode_value(_organisation),
    state_key("identity", "members", _sender.public): encode_value(_member),
}


def full_block(count: int) -> tuple[CounterEngine, Parent, Turn, list[Transaction]]:
    """A genesis and so many single-call transactions for the block above it."""
    engine = CounterEngine()
    params = Params(block_gas_max=10**12, block_transactions_max=count)
    document = Genesis(CHAIN, 1, params, (contract_at_genesis("identity", b"", {}),))
    genesis = genesis_state(document, engine)
    state = MemoryState()
    state.apply(genesis.executed.overlay)
    above = parent_of(genesis.header, genesis.executed)
    parent = Parent(
        header=above.header,
        hash=above.hash,
        state=state,
        validators=above.validators,
        params=above.params,
    )
    turn = Turn(slot=1, justification=Justification(None, ()), time_ms=2)
    return engine, parent, turn, [_transaction() for _ in range(count)]


def main() -> None:
    """Print microseconds per transaction and per key."""
    engine, parent, turn, transactions = full_block(TRANSACTIONS)
    block, _, left_out = build_block(parent, turn, transactions, engine, NoModels())
    assert not left_out, left_out
    parse = _best(lambda: [parse_transaction(item.raw) for item in transactions])
    build = _best(lambda: build_block(parent, turn, transactions, engine, NoModels()))
    check = _best(lambda: check_and_execute_block(parent, block, engine, transactions))
    print(f"single-call transactions in one block: {TRANSACTIONS}")
    for name, seconds in (("parse", parse), ("build", build), ("validate", check)):
        print(f"  {name:10} {seconds / TRANSACTIONS * 1e6:8.1f} us/transaction")
    print(f"tree update of {TREE_BATCH} keys:")
    for size in TREE_SIZES:
        print(f"  {size:>9} keys in state {_tree_us(size):8.1f} us/key")


def _transaction() -> Transaction:
    body = TransactionBody(
        chain_id=CHAIN,
        sender=_sender.public,
        nonce=next(_nonces).to_bytes(8, "big"),
        expires_height=100,
        gas_limit=1_000_000,
        calls=(make_call("counter", "add", {"amount": 1}),),
    )
    return parse_transaction(sign_transaction(body, _sender))


def _best(run: Callable[[], object]) -> float:
    """Shortest of some runs, in seconds."""
    found = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        run()
        found.append(time.perf_counter() - start)
    return min(found)


def _tree_us(size: int) -> float:
    state = MemoryState()
    filled = Overlay(state)
    _, nodes = update_tree(filled, {b"key%d" % number: b"value" for number in range(size)})
    filled.tree_writes.update(nodes)
    state.apply(filled)
    step = max(1, size // TREE_BATCH)
    changes: dict[bytes, bytes | None] = {
        b"key%d" % (number * step): b"changed" for number in range(TREE_BATCH)
    }
    return _best(lambda: update_tree(state, changes)) / TREE_BATCH * 1e6


if __name__ == "__main__":
    main()

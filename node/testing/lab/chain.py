"""A chain that goes on from whatever a store holds: what is tested is the disk, not contracts.

The engine writes one entry a call, so every block adds to state, tree, receipts and indexes.
"""

from __future__ import annotations

from andon.core.block import Justification, block_hash
from andon.core.certificate import Certificate, Signer, Vote, VoteKind
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
    GenesisState,
    Host,
    Mode,
    Outcome,
    Overlay,
    Parent,
    PredictionUnavailable,
    Turn,
    build_block,
    genesis_state,
)
from node.storage import ChainStore, StoredBlock
from node.storage.snapshot import Snapshot

CHAIN_ID = "lab"
TRANSACTIONS_A_BLOCK = 2
GAS = 1_000
_SENDER = PrivateKey(b"l" * 32)
_ORGANISATION: Value = {"name": "org", "active": True}
_MEMBER: Value = {"org": "org", "roles": ["operator"], "active": True}
_VALIDATORS: Value = [{"key": _SENDER.public, "weight": 1, "org": "org"}]
_GENESIS_WRITES = {
    state_key("identity", "validators"): encode_value(_VALIDATORS),
    state_key("identity", "next"): encode_value(None),
    state_key("identity", "organisations", "org"): encode_value(_ORGANISATION),
    state_key("identity", "members", _SENDER.public): encode_value(_MEMBER),
}


class _Engine:
    """Writes the arguments of every call under the id of its transaction."""

    gas_schedule = 1

    def check(self, source: bytes) -> Description:
        del source
        return Description()

    def execute(
        self, host: Host, context: Context, call: Call, gas_limit: int, *, mode: Mode
    ) -> Outcome:
        del gas_limit
        if mode is Mode.INIT:
            for key, value in _GENESIS_WRITES.items():
                host.write(key, value)
        else:
            host.write(written_key(context.transaction_id), call.args)
        return Outcome(ok=True, result=b"\xc0", gas_used=GAS, failure=None)


class _NoModels:
    def output(self, model_id: bytes, window: bytes, digest: bytes) -> tuple[int, ...]:
        del digest
        raise PredictionUnavailable(model_id, window)


def written_key(transaction_id: bytes) -> bytes:
    """Where a transaction of the lab leaves its mark in the state."""
    return state_key("marks", "entries", transaction_id)


class LabChain:
    """Makes the genesis and, from a snapshot, the only possible next block."""

    def __init__(self) -> None:
        self._engine = _Engine()
        document = Genesis(CHAIN_ID, 1, Params(), (contract_at_genesis("identity", b"", {}),))
        self.genesis: GenesisState = genesis_state(document, self._engine)
        self.genesis_hash = block_hash(self.genesis.header)

    def open(self, store: ChainStore) -> None:
        """Begin or check a store, as a node does when it starts. Raises as `check` does."""
        if store.is_empty():
            store.initialise(self.genesis)
        store.check(self.genesis_hash)

    def next_block(self, snapshot: Snapshot) -> StoredBlock:
        """Build upon the stored head."""
        height = snapshot.height()
        header = snapshot.header(height)
        assert header is not None
        genesis = self.genesis.executed
        parent = Parent(
            header=header,
            hash=block_hash(header),
            state=Overlay(snapshot),
            validators=genesis.next_validators,
            params=genesis.next_params,
        )
        turn = Turn(
            slot=header.slot + 1, justification=Justification(None, ()), time_ms=header.time_ms + 5
        )
        transactions = [_transaction(height + 1, number) for number in range(TRANSACTIONS_A_BLOCK)]
        block, executed, left_out = build_block(
            parent, turn, transactions, self._engine, _NoModels()
        )
        assert not left_out, left_out
        vote = Vote(
            kind=VoteKind.FINAL,
            epoch=block.header.epoch,
            slot=block.header.slot,
            block=block_hash(block.header),
        )
        certificate = Certificate(vote=vote, signers=(Signer(0, bytes(64)),))
        return StoredBlock(block=block, executed=executed, certificate=certificate)


def _transaction(height: int, number: int) -> Transaction:
    body = TransactionBody(
        chain_id=CHAIN_ID,
        sender=_SENDER.public,
        nonce=height.to_bytes(7, "big") + bytes([number]),
        expires_height=height + 100,
        gas_limit=100_000,
        calls=(make_call("marks", "add", {"height": height}),),
    )
    return parse_transaction(sign_transaction(body, _SENDER))

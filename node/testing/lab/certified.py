"""A small factory chain with real contracts, real signatures and real certificates, made at once.

Four validators, an identity contract, a contract that writes entries and one that predicts with a
model whose outputs are a known sum. No consensus runs: every slot is used, every vote is given.
For tests and campaigns that need a chain which anybody can check from its genesis.
"""

from __future__ import annotations

import msgspec

from andon.core.block import Block, Header, Justification, block_hash
from andon.core.certificate import (
    Certificate,
    Signer,
    ValidatorSet,
    Vote,
    VoteKind,
    vote_signing_bytes,
)
from andon.core.codec import Value
from andon.core.genesis import Genesis, GenesisContract, Params, contract_at_genesis
from andon.core.keys import PrivateKey
from andon.core.transaction import (
    Call,
    Transaction,
    TransactionBody,
    make_call,
    parse_transaction,
    sign_transaction,
)
from consensus.ledger import (
    Executed,
    MemoryState,
    Parent,
    Turn,
    build_block,
    genesis_state,
    leader_key,
    parent_of,
)
from contracts_py.library import source
from node.drivers.contract_engine import ContractEngine
from node.storage import ChainStore, StoredBlock

VALIDATORS = 4
MODEL_ID = bytes(range(32))
WINDOW_BYTES = 4
GAS = 2_000_000
NOTES = b'''"""Keeps texts and assesses windows."""
notes = Map(key=str, value=str)
results = Map(key=str, value=value)
Written = Event(key=str)


@export
def write(key: str, text: str):
    notes[key] = text
    Written(key=key)


@export
def erase(key: str):
    notes.remove(key)


@export
def assess(key: str, window: bytes) -> int:
    results[key] = predict("sum", window)
    return 0


@export
def refuse(key: str):
    assert key == "", "never"
'''
MODELS = b'''"""Holds one model from the start."""
aliases = Map(key=str, value=bytes)
packages = Map(key=bytes, value=dict)


@init
def setup(model: bytes, window: int):
    aliases["sum"] = model
    found = {"input_bytes": window, "outputs": 1, "scale_num": 1, "scale_den": 1, "gas": 100}
    found["class"] = "exact"
    found["status"] = "ACTIVE"
    packages[model] = found
'''


def model_output(window: bytes) -> tuple[int, ...]:
    """What the model computes."""
    return (sum(window) - 100,)


class _Sums:
    def output(self, model_id: bytes, window: bytes, digest: bytes) -> tuple[int, ...]:
        del digest
        assert model_id == MODEL_ID, "the chain has one model"
        return model_output(window)


class CertifiedChain:
    """Makes blocks one after another; stores them where it is told."""

    def __init__(
        self,
        chain_id: str = "made",
        params: Params | None = None,
        *,
        contracts: tuple[GenesisContract, ...] = (),
        window_bytes: int = WINDOW_BYTES,
        gas_limit: int = GAS,
        second_admin: PrivateKey | None = None,
    ) -> None:
        """Make the genesis, with more `contracts` if told; the model takes `window_bytes`.

        With a `second_admin` there is a second organisation, and neither decides alone.
        """
        self.keys = [PrivateKey(bytes([65 + n]) * 32) for n in range(VALIDATORS + 1)]
        self.admin = PrivateKey(b"a" * 32)
        self.engine = ContractEngine()
        admins = [self.admin] if second_admin is None else [self.admin, second_admin]
        document = _genesis(chain_id, self.keys[:VALIDATORS], admins, params, window_bytes)
        self.genesis: Genesis = msgspec.structs.replace(
            document, contracts=document.contracts + contracts
        )
        self._gas_limit = gas_limit
        self._by_public = {bytes(key.public): key for key in self.keys}
        self._sums = _Sums()
        self._state = MemoryState()
        self._certificate: Certificate | None = None
        self._nonce = 0
        self.at_genesis = genesis_state(self.genesis, self.engine)
        self.parent = self._advance(self.at_genesis.block, self.at_genesis.executed)

    @property
    def genesis_hash(self) -> bytes:
        """Hash of the block of height 0."""
        return block_hash(self.at_genesis.header)

    def open(self, store: ChainStore) -> None:
        """Begin or check a store, as a node does when it starts."""
        if store.is_empty():
            store.initialise(self.at_genesis)
        store.check(self.genesis_hash)

    def transaction(self, *calls: Call) -> Transaction:
        """Sign calls as the admin of the first organisation."""
        self._nonce += 1
        body = TransactionBody(
            chain_id=self.genesis.chain_id,
            sender=self.admin.public,
            nonce=self._nonce.to_bytes(8, "big"),
            expires_height=self.parent.header.height
            + min(100, self.genesis.params.expiry_window_blocks),
            gas_limit=self._gas_limit,
            calls=calls,
        )
        return parse_transaction(sign_transaction(body, self.admin))

    def write(self, count: int, size: int = 20) -> Transaction:
        """A transaction that writes `count` fresh entries."""
        number = self._nonce * 64
        return self.transaction(
            *(
                make_call("notes", "write", {"key": f"k{number + n}", "text": "x" * size})
                for n in range(count)
            )
        )

    def schedule(self, keys: list[PrivateKey], height: int) -> Transaction:
        """A transaction that lets other validators take over at a height."""
        listed: list[Value] = [_validator(key, n) for n, key in enumerate(keys)]
        arguments: Value = {"height": height, "validators": listed}
        call = make_call("identity", "propose", {"kind": "set_validators", "arguments": arguments})
        return self.transaction(call)

    def extend(self, *transactions: Transaction, is_certified: bool = True) -> StoredBlock:
        """Make the next block; without `is_certified` only a descendant proves it final."""
        turn = self.turn()
        block, executed, left_out = build_block(
            self.parent, turn, transactions, self.engine, self._sums
        )
        assert not left_out, left_out
        return self.take(block, executed, is_certified=is_certified)

    def turn(self) -> Turn:
        """What the leader of the next block is given."""
        parent = self.parent
        return Turn(
            slot=1 if parent.header.closes_epoch else parent.header.slot + 1,
            justification=Justification(parent_certificate=self._certificate, skips=()),
            time_ms=parent.header.time_ms + 250,
        )

    def take(self, block: Block, executed: Executed, *, is_certified: bool = True) -> StoredBlock:
        """Go on upon a block that stands on the last one; gives it with its certificate."""
        parent = self.parent
        final = self._certify(VoteKind.FINAL, block.header, parent.validators)
        kind = VoteKind.FINAL if block.header.closes_epoch else VoteKind.NOTAR
        self._certificate = self._certify(kind, block.header, parent.validators)
        self.parent = self._advance(block, executed)
        return StoredBlock(
            block=block, executed=executed, certificate=final if is_certified else None
        )

    def _advance(self, block: Block, executed: Executed) -> Parent:
        above = parent_of(block.header, executed)
        self._state.apply(executed.overlay)
        return Parent(
            header=above.header,
            hash=above.hash,
            state=self._state,
            validators=above.validators,
            params=above.params,
        )

    def _certify(self, kind: VoteKind, header: Header, validators: ValidatorSet) -> Certificate:
        vote = Vote(kind=kind, epoch=header.epoch, slot=header.slot, block=block_hash(header))
        message = vote_signing_bytes(self.genesis.chain_id, vote)
        assert leader_key(validators, header.epoch, header.slot) == header.proposer
        count = len(validators.validators) * 2 // 3 + 1
        signers = tuple(
            Signer(index, self._by_public[member.key].sign(message))
            for index, member in enumerate(validators.validators[:count])
        )
        return Certificate(vote=vote, signers=signers)


def _genesis(
    chain_id: str,
    keys: list[PrivateKey],
    admins: list[PrivateKey],
    params: Params | None,
    window_bytes: int,
) -> Genesis:
    validators: list[Value] = [_validator(key, n) for n, key in enumerate(keys)]
    members: list[Value] = [
        {"account": key.public, "org": f"org-{number}", "roles": ["admin"]}
        for number, key in enumerate(admins, start=1)
    ]
    identity: dict[str, Value] = {
        "organisations": [f"org-{number}" for number in range(1, len(admins) + 1)],
        "members": members,
        "validators": validators,
        "policy": {},
    }
    contracts = (
        contract_at_genesis("identity", source("identity"), identity),
        contract_at_genesis("models", MODELS, {"model": MODEL_ID, "window": window_bytes}),
        contract_at_genesis("notes", NOTES, {}),
    )
    return Genesis(chain_id, 1_700_000_000_000, params or Params(), contracts)


def _validator(key: PrivateKey, number: int) -> Value:
    return {
        "key": key.public,
        "weight": 1,
        "org": "org-1",
        "address": f"127.0.0.1:{20_000 + number}",
        "node_key": PrivateKey(bytes([97 + number]) * 32).public,
    }

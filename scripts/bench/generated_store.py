"""A chain of any length, made without consensus: a home on which a real node starts.

`python -m scripts.bench.generated_store --blocks 1000000 --out DIR` makes a network of one
validator in DIR and fills its store by the node's own encoders: every header, vote and certificate
is valid and signed, every transaction is executed and proved, and one durable write holds
BATCH_BLOCKS blocks.
Every TRANSACTION_EVERY-th block carries a window of readings of one of MACHINES machines; the state
stays small, so that what grows is history alone. Run again, it goes on from the height that is
there. `andon up --home DIR` (or Cluster) then serves the chain; its worker is off.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from andon.core.block import Block, Header, Justification, block_hash
from andon.core.certificate import Certificate, Signer, Vote, VoteKind, vote_signing_bytes
from andon.core.genesis import genesis_from_json
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
    Overlay,
    Parent,
    PredictionUnavailable,
    Turn,
    build_block,
    genesis_state,
    parent_of,
)
from consensus.ledger.succession import read_params
from node.config import Home
from node.drivers.contract_engine import ContractEngine
from node.home import open_home
from node.keystore import VALIDATOR_KEY, load_key
from node.local_network import MANIFEST_FILE, Plan, prepare
from node.storage import ChainStore, StoredBlock

BATCH_BLOCKS = 2_000
PROGRESS_BLOCKS = 50_000
TRANSACTION_EVERY = 10
MACHINES = 20
BLOCK_MS = 250
GAS = 2_000_000
PORT = 31_956
NODE = "node-1"
SEED = 7
READINGS = 500
NUMBER_BITS = 16


class _NoModels:
    def output(self, model_id: bytes, window: bytes, digest: bytes) -> tuple[int, ...]:
        del digest
        raise PredictionUnavailable(model_id, window)


class GeneratedChain:
    """Makes the next block upon the head of a store whose only validator's key is at hand."""

    def __init__(
        self, home: Path, store: ChainStore, validator: PrivateKey, machines: int = 0
    ) -> None:
        """With `machines` each block with transactions has a window of every one of so many."""
        self._validator = validator
        self._machines = machines or MACHINES
        self._windows = machines or 1
        self._sender = load_key(home / "accounts" / "org-1-operator.key")
        self._engine = ContractEngine()
        genesis = genesis_from_json((home / "genesis.json").read_bytes())
        at_genesis = genesis_state(genesis, self._engine)
        if store.is_empty():
            store.initialise(at_genesis)
        store.check(block_hash(at_genesis.header))
        self._chain_id = genesis.chain_id
        self._state = MemoryState()
        self._notar: Certificate | None = None
        self.parent = self._read_head(store, at_genesis.executed)

    def extend(self, every: int) -> StoredBlock:
        """Make one block; every so many carries a transaction."""
        parent = self.parent
        height = parent.header.height + 1
        turn = Turn(
            slot=parent.header.slot + 1,
            justification=Justification(parent_certificate=self._notar, skips=()),
            time_ms=parent.header.time_ms + BLOCK_MS,
        )
        transactions = self._transactions(height) if height % every == 0 or height == 1 else []
        block, executed, left_out = build_block(
            parent, turn, transactions, self._engine, _NoModels()
        )
        assert not left_out, left_out
        return self._sealed(block, executed)

    def _sealed(self, block: Block, executed: Executed) -> StoredBlock:
        assert all(receipt.ok for receipt in executed.receipts), executed.receipts
        self._notar = self._certify(VoteKind.NOTAR, block.header)
        self._state.apply(executed.overlay)
        above = parent_of(block.header, executed)
        self.parent = Parent(
            header=above.header,
            hash=above.hash,
            state=self._state,
            validators=above.validators,
            params=above.params,
        )
        final = self._certify(VoteKind.FINAL, block.header)
        return StoredBlock(block=block, executed=executed, certificate=final)

    def _read_head(self, store: ChainStore, genesis: Executed) -> Parent:
        stored = Overlay(self._state)
        with store.snapshot() as snapshot:
            height = snapshot.height()
            header, validators = snapshot.header(height), snapshot.validators(0)
            stored.writes.update(snapshot.entries("state"))
            stored.tree_writes.update(
                (path.removeprefix(b"/"), content) for path, content in snapshot.entries("tree")
            )
        self._state.apply(stored)
        assert header is not None, "the store was checked"
        assert validators is not None, "the store was checked"
        if height:
            self._notar = self._certify(VoteKind.NOTAR, header)
        return Parent(
            header=header,
            hash=block_hash(header),
            state=self._state,
            validators=validators,
            params=read_params(stored) if height else genesis.next_params,
        )

    def _certify(self, kind: VoteKind, header: Header) -> Certificate:
        vote = Vote(kind=kind, epoch=header.epoch, slot=header.slot, block=block_hash(header))
        signature = self._validator.sign(vote_signing_bytes(self._chain_id, vote))
        return Certificate(vote=vote, signers=(Signer(0, signature),))

    def _transactions(self, height: int) -> list[Transaction]:
        if height == 1:
            calls = [_registration(number) for number in range(self._machines)]
            starts = range(0, len(calls), MACHINES)
            return [
                self._transaction(height, start, *calls[start : start + MACHINES])
                for start in starts
            ]
        return [
            self._transaction(height, number, _window(height, (height + number) % self._machines))
            for number in range(self._windows)
        ]

    def _transaction(self, height: int, number: int, *calls: Call) -> Transaction:
        body = TransactionBody(
            chain_id=self._chain_id,
            sender=self._sender.public,
            nonce=(height << NUMBER_BITS | number).to_bytes(8, "big"),
            expires_height=height + 10,
            gas_limit=GAS,
            calls=calls,
        )
        return parse_transaction(sign_transaction(body, self._sender))


def machine_name(number: int) -> str:
    """Name of a machine of the generated chain."""
    return f"press-{number}"


def _registration(number: int) -> Call:
    return make_call(
        "maintenance",
        "register",
        {
            "machine": machine_name(number),
            "path": f"works/north/hall-1/line-{number % 4}/{number}",
            "maintainer": "org-1",
            "subscribers": [],
        },
    )


def _window(height: int, machine: int) -> Call:
    return make_call(
        "telemetry",
        "record",
        {
            "machine": machine_name(machine),
            "sequence": height,
            "start_ms": height * BLOCK_MS,
            "end_ms": (height + 1) * BLOCK_MS,
            "count": READINGS,
            "late": height % 7,
            "bad": height % 3,
            "digest": height.to_bytes(32, "big"),
        },
    )


def generate(home: Path, blocks: int, every: int = TRANSACTION_EVERY, port: int = PORT) -> Path:
    """Make the network in `home` unless it is there, and fill its store up to a height.

    Returns the folder of the node's chain store.
    """
    if not (home / MANIFEST_FILE).exists():
        plan = Plan(home=home, validators=1, base_port=port, seed=SEED, worker_backend="none")
        prepare(plan)
    folder = home / NODE
    began, key = time.perf_counter(), load_key(Home(folder).keys / VALIDATOR_KEY)
    with open_home(folder) as opened:
        chain = GeneratedChain(home, opened.store, key)
        while (height := chain.parent.header.height) < blocks:
            count = min(BATCH_BLOCKS, blocks - height)
            made = [chain.extend(every) for _ in range(count)]
            # As a node does: the signer's slots are closed before their blocks are stored.
            assert opened.signer is not None, "the home of a validator"
            opened.signer.advance(chain.parent.header.epoch, chain.parent.header.slot)
            opened.store.append(made)
            if (height + count) % PROGRESS_BLOCKS == 0:
                passed_s = time.perf_counter() - began
                print(f"  {height + count:,} blocks after {passed_s:.0f} s", flush=True)
        return opened.home.data / "chain"


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the store and say where it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path, required=True, help="home of the network")
    parser.add_argument("--transaction-every", type=int, default=TRANSACTION_EVERY)
    parser.add_argument("--port", type=int, default=PORT)
    options = parser.parse_args(arguments)
    began = time.perf_counter()
    store = generate(options.out, options.blocks, options.transaction_every, options.port)
    size_mib = (store / "data.mdb").stat().st_blocks * 512 / 2**20
    print(
        f"{options.blocks:,} blocks in {time.perf_counter() - began:.0f} s, "
        f"{size_mib:.0f} MiB in {store}"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""A node in memory for tests of the faces: real keys, signatures, trees and proofs; no network.

Every submitted transaction becomes a block of its own, certified by four generated validators.
Contracts are two built-in verbs: `assess` predicts, writes state and may alert; `fail` fails.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence

from andon.core.block import (
    PROTOCOL_VERSION,
    Block,
    Failure,
    Header,
    Justification,
    PredictionOutput,
    PredictionRecord,
    Receipt,
    block_hash,
    justification_digest,
)
from andon.core.certificate import (
    Certificate,
    Signer,
    Validator,
    ValidatorSet,
    Vote,
    VoteKind,
    make_validator_set,
    validators_hash,
    vote_signing_bytes,
)
from andon.core.codec import Key, Value, decode_value, encode, encode_value
from andon.core.errors import Code, InvalidInput, Unavailable
from andon.core.genesis import Genesis, Params, contract_at_genesis, genesis_hash
from andon.core.hashing import ZERO_DIGEST
from andon.core.keys import PrivateKey
from andon.core.merkle import merkle_root
from andon.core.proof import FinalHeader
from andon.core.state_key import state_key
from andon.core.transaction import Transaction, check_signature, parse_transaction
from andon.core.wire import FinalBlock
from consensus.ledger.tree import state_proof, tree_root
from contracts_py.engine import Context, Engine, Mode
from contracts_py.engine.memory_host import MemoryHost
from node.facade import (
    BlockAnswer,
    CallAnswer,
    Change,
    Cursor,
    EventAnswer,
    Health,
    HealthCheck,
    NodeStatus,
    PredictionAnswer,
    StateAnswer,
    SubmitResult,
    Submitted,
    TransactionAnswer,
    Wait,
)
from node.testing.memory_blobs import MemoryBlobs
from node.testing.memory_ledger import MemoryTree, events_of, execute

TIME_MS = 1_700_000_000_000
VIEW_GAS_MAX = 50_000_000
CHAIN_ID = "memory-1"


class MemoryNode(MemoryBlobs):
    """A `NodeFacade` whose chain is a list."""

    def __init__(self, validators: int = 4, chain_id: str = CHAIN_ID) -> None:
        super().__init__()
        keys = [PrivateKey(bytes([index + 1]) * 32) for index in range(validators)]
        self.keys = sorted(keys, key=lambda key: key.public)
        self._set = make_validator_set(tuple(Validator(key.public, 1) for key in self.keys))
        self._genesis = _genesis(chain_id, self._set)
        self._tree = MemoryTree()
        self._state: dict[bytes, bytes] = {}
        self._blocks: list[BlockAnswer] = []
        self._raws: dict[bytes, bytes] = {}
        self._changes: dict[bytes, tuple[Change, ...]] = {}
        self._places: dict[bytes, tuple[int, int]] = {}
        self._grown = asyncio.Condition()
        self._host: MemoryHost | None = None
        self.is_holding = False
        """True keeps transactions pending for ever."""
        self.is_ready = True
        self.pruned_below = 0
        self.calls: list[str] = []
        self._append((), (), (), {})

    @property
    def genesis(self) -> Genesis:
        """The document of this chain."""
        return self._genesis

    async def submit(self, raw: bytes, wait: Wait, timeout_ms: int) -> Submitted:
        """Make a block of the transaction at once, unless holding."""
        self.calls.append("submit")
        transaction = parse_transaction(raw)
        check_signature(transaction)
        if transaction.body.chain_id != self._genesis.chain_id:
            raise InvalidInput(Code.WRONG_CHAIN, "transaction is of another chain")
        if transaction.body.expires_height <= len(self._blocks) - 1:
            raise InvalidInput(Code.EXPIRED, "transaction has expired", hint="sign it anew")
        self._raws.setdefault(transaction.id, raw)
        if transaction.id not in self._places and not self.is_holding:
            await self._commit(transaction)
        place = self._places.get(transaction.id)
        if place is None and wait is Wait.FINAL:
            await asyncio.sleep(timeout_ms / 1000)
            raise Unavailable(
                Code.CONFIRMATION_TIMEOUT,
                f"not final after {timeout_ms} ms",
                hint="ask for the transaction by its hash",
                transaction_id=transaction.id,
            )
        if place is None or wait is not Wait.FINAL:
            stage = Wait.NONE if wait is Wait.NONE else Wait.ACCEPTED
            return Submitted(transaction_id=transaction.id, stage=stage)
        block = self._blocks[place[0]]
        return Submitted(
            transaction_id=transaction.id,
            stage=Wait.FINAL,
            receipt=block.receipts[place[1]],
            height=place[0],
            index=place[1],
        )

    async def submit_all(self, raws: Sequence[bytes]) -> list[SubmitResult]:
        """Submit one after another."""
        found: list[SubmitResult] = []
        for raw in raws:
            try:
                found.append(await self.submit(raw, Wait.ACCEPTED, 1))
            except (InvalidInput, Unavailable) as error:
                found.append(error)
        return found

    async def call(
        self,
        contract: str,
        method: str,
        args: bytes,
        sender: bytes | None,
        *,
        height: int | None = None,
    ) -> CallAnswer:
        """`status` reads a machine; `bug` raises what no node should; no past state is kept."""
        del sender
        top = len(self._blocks) - 1
        if height not in (None, top):
            raise InvalidInput(Code.HEIGHT_UNKNOWN, f"the state after block {height} is not kept")
        if self._host is not None and contract in self._host.sources:
            return self._view(self._host, contract, method, args)
        if method == "bug":
            raise RuntimeError("secret detail")
        if method != "status":
            failure = Failure("E_NO_METHOD", contract, method, 0, f"no method {method}")
            return CallAnswer(ok=False, result=b"\xc0", gas_used=1, failure=failure, height=top)
        arguments = decode_value(args)
        machine = arguments.get("machine") if isinstance(arguments, dict) else None
        if not isinstance(machine, str):
            raise InvalidInput(Code.BAD_ARGUMENTS, "machine is text")
        value = self._state.get(state_key(contract, "machines", machine), b"\xc0")
        return CallAnswer(ok=True, result=value, gas_used=7, failure=None, height=top)

    async def transaction(self, identity: bytes) -> TransactionAnswer:
        """Find a transaction."""
        raw = self._raws.get(identity)
        if raw is None:
            raise InvalidInput(Code.NOT_FOUND, f"no transaction {identity.hex()[:16]}")
        place = self._places.get(identity)
        block, index = (None, None) if place is None else (self._blocks[place[0]], place[1])
        return TransactionAnswer(transaction_id=identity, raw=raw, block=block, index=index)

    async def changes(self, identity: bytes) -> tuple[Change, ...]:
        """Give what a transaction changed; below `pruned_below` nothing is kept."""
        if self._places.get(identity, (self.pruned_below,))[0] < self.pruned_below:
            raise InvalidInput(Code.HEIGHT_UNKNOWN, "the state before it is no longer kept")
        return self._changes.get(identity, ())

    async def block(self, reference: int | bytes | None) -> BlockAnswer:
        """Find a block."""
        if reference is None:
            return self._blocks[-1]
        if isinstance(reference, int):
            if reference < len(self._blocks):
                return self._blocks[reference]
            raise InvalidInput(Code.HEIGHT_UNKNOWN, f"height {reference} is not reached")
        for block in self._blocks:
            if block.hash == reference:
                return block
        raise InvalidInput(Code.NOT_FOUND, f"no block {reference.hex()[:16]}")

    async def epoch_closings(self) -> tuple[FinalHeader, ...]:
        """Never changes its validators."""
        return ()

    async def state(self, key: bytes) -> StateAnswer:
        """Read a state key with its proof."""
        return StateAnswer(
            key=key,
            value=self._state.get(key),
            proof=state_proof(self._tree, key),
            final=self._blocks[-1].final,
        )

    async def entries(
        self, prefix: bytes, after: bytes | None, count_max: int
    ) -> list[tuple[bytes, bytes]]:
        """Read state keys with a prefix."""
        found = [
            (key, value)
            for key, value in sorted(self._state.items())
            if key.startswith(prefix) and (after is None or key > after)
        ]
        return found[:count_max]

    async def busy_heights(self, below: int, count_max: int) -> list[int]:
        """Heights of blocks with receipts, newest first."""
        top = min(below, len(self._blocks)) - 1
        busy = [height for height in range(top, -1, -1) if self._blocks[height].receipts]
        return busy[:count_max]

    async def prediction(self, identity: bytes) -> PredictionAnswer:
        """Find a prediction."""
        for block in self._blocks:
            for index, record in enumerate(block.predictions):
                if record.id == identity:
                    return PredictionAnswer(record=record, index=index, block=block)
        raise InvalidInput(Code.NOT_FOUND, f"no prediction {identity.hex()[:16]}")

    def validators(self, epoch: int | None = None) -> ValidatorSet:
        """The one set."""
        if epoch not in (None, 0):
            raise InvalidInput(Code.WRONG_EPOCH, f"epoch {epoch} is not reached")
        return self._set

    def gathered(self, vote: Vote) -> Certificate | None:
        """Keeps no votes beside the certificates."""
        del vote
        return None

    async def events(self, after: Cursor | None) -> AsyncGenerator[EventAnswer, None]:
        """Stream events from the list of blocks."""
        if after is not None and after.height < self.pruned_below:
            raise Unavailable(Code.CURSOR_EXPIRED, "that history is pruned", oldest="5-0-0")
        cursor = Cursor(len(self._blocks), 0, 0) if after is None else after
        height = cursor.height
        while True:
            while height < len(self._blocks):
                for answer in events_of(self._blocks[height], height):
                    if after is None or answer.cursor > after:
                        yield answer
                height += 1
            async with self._grown:
                await self._grown.wait()

    def status(self) -> NodeStatus:
        """Where the chain stands."""
        header = self._blocks[-1].final.block.header
        return NodeStatus(
            version="0",
            chain_id=header.chain_id,
            genesis_hash=genesis_hash(self._genesis),
            node_key=self.keys[0].public,
            validator_key=self.keys[0].public,
            height=header.height,
            block_hash=self._blocks[-1].hash,
            state_root=header.state_root,
            time_ms=header.time_ms,
            epoch=0,
            slot=header.slot,
            is_syncing=False,
            mempool_count=len(self._raws) - len(self._places),
            mempool_bytes=0,
            worker_state="ready",
            worker_detail="",
            models_loaded=1,
            mismatch=None,
            peers=(),
        )

    def metrics_text(self) -> bytes:
        """One gauge."""
        return b"# TYPE height gauge\nheight %d\n" % (len(self._blocks) - 1)

    def health(self, probe: str) -> Health:
        """Ready as told; otherwise well."""
        is_ok = self.is_ready or probe != "ready"
        detail = "" if is_ok else "no quorum of peers"
        return Health(is_ok=is_ok, checks=(HealthCheck(name="peers", is_ok=is_ok, detail=detail),))

    def put(self, contract: str, variable: str, values: Mapping[Key, Value]) -> None:
        """Write map entries in a block without a transaction: what other contracts left."""
        changes: dict[bytes, bytes | None] = {
            state_key(contract, variable, key): encode_value(value) for key, value in values.items()
        }
        self._append((), (), (), changes)

    def adopt(self, host: MemoryHost) -> None:
        """Take over the state of contracts that ran in `host`, and answer their views from it."""
        self._host = host
        self._append((), (), (), dict(host.state))

    def _view(self, host: MemoryHost, contract: str, method: str, args: bytes) -> CallAnswer:
        height = len(self._blocks) - 1
        context = Context(
            chain_id=self._genesis.chain_id,
            height=height,
            time_ms=TIME_MS,
            sender=ZERO_DIGEST,
            transaction_id=ZERO_DIGEST,
        )
        found = Engine().execute(
            host, context, contract, method, args, VIEW_GAS_MAX, mode=Mode.VIEW
        )
        return CallAnswer(
            ok=found.ok, result=found.result, gas_used=found.gas_used, failure=None, height=height
        )

    async def _commit(self, transaction: Transaction) -> None:
        height = len(self._blocks)
        records: list[PredictionRecord] = []
        changes: dict[bytes, bytes | None] = {}
        receipt = execute(transaction, height, records, changes)
        self._places[transaction.id] = (height, 0)
        self._changes[transaction.id] = tuple(
            Change(key=key, before=self._state.get(key), after=changes[key])
            for key in sorted(changes)
        )
        self._append((transaction.raw,), (receipt,), tuple(records), changes)
        async with self._grown:
            self._grown.notify_all()

    def _append(
        self,
        raws: tuple[bytes, ...],
        receipts: tuple[Receipt, ...],
        records: tuple[PredictionRecord, ...],
        changes: dict[bytes, bytes | None],
    ) -> None:
        height = len(self._blocks)
        root = self._tree.write(changes) if changes else tree_root(self._tree)
        for key, value in changes.items():
            if value is not None:
                self._state[key] = value
        justification = Justification(parent_certificate=None, skips=())
        sethash = validators_hash(self._set)
        header = Header(
            version=PROTOCOL_VERSION,
            chain_id=self._genesis.chain_id,
            epoch=0,
            slot=height,
            height=height,
            time_ms=TIME_MS + 500 * height,
            parent=self._blocks[-1].hash if self._blocks else ZERO_DIGEST,
            proposer=self.keys[height % len(self.keys)].public,
            justification_digest=justification_digest(justification),
            transactions_root=merkle_root(raws),
            predictions_root=merkle_root([encode(record) for record in records]),
            receipts_root=merkle_root([encode(receipt) for receipt in receipts]),
            state_root=root,
            validators_hash=sethash,
            next_validators_hash=sethash,
            gas_used=sum(receipt.gas_used for receipt in receipts),
        )
        outputs = tuple(PredictionOutput(r.model_id, r.input_digest, r.output) for r in records)
        final = FinalBlock(
            block=Block(header, justification, raws, outputs),
            path=(),
            certificate=certify(self.keys, header),
        )
        self._blocks.append(
            BlockAnswer(
                hash=block_hash(header), final=final, receipts=receipts, predictions=records
            )
        )


def certify(keys: list[PrivateKey], header: Header) -> Certificate:
    """Sign a header Final by all keys, given in the order of their set."""
    vote = Vote(VoteKind.FINAL, header.epoch, max(1, header.slot), block_hash(header))
    message = vote_signing_bytes(header.chain_id, vote)
    signers = tuple(Signer(index, key.sign(message)) for index, key in enumerate(keys))
    return Certificate(vote, signers)


def _genesis(chain_id: str, validators: ValidatorSet) -> Genesis:
    entries: list[Value] = [
        {"key": item.key, "weight": item.weight, "org": f"org-{index}"}
        for index, item in enumerate(validators.validators)
    ]
    identity = contract_at_genesis("identity", b"# identity", {"validators": entries})
    return Genesis(chain_id, TIME_MS, Params(), (identity,))

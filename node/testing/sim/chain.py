"""A ledger in miniature behind the port of the real one: exact, tiny and fast.

Transactions are short texts: `predict:N` needs a prediction, `set:` and an encoded set changes the
validators from the next epoch on, `jail:` and two contradicting votes removes their signer for
good, anything else just counts. State is a hash over history.
"""

from __future__ import annotations

from dataclasses import dataclass

from andon.core.block import (
    PROTOCOL_VERSION,
    Block,
    Header,
    Justification,
    PredictionOutput,
    block_hash,
    justification_digest,
)
from andon.core.certificate import (
    Certificate,
    SignedVote,
    ValidatorSet,
    validators_hash,
    vote_signing_bytes,
)
from andon.core.codec import decode, encode
from andon.core.errors import Code, InvalidInput, Unavailable
from andon.core.genesis import Params
from andon.core.hashing import ZERO_DIGEST, Domain, digest
from andon.core.merkle import merkle_root
from andon.core.wire import FinalBlock
from consensus.bft import Base, Position, is_evidence, leader_of
from consensus.ledger import Turn
from node.testing.sim.disk import Disk, fake_signature

PREDICT = b"predict:"
SET = b"set:"
JAIL = b"jail:"
TRANSACTIONS_MAX = 3
KNOWN_MAX = 2048


@dataclass(frozen=True, slots=True)
class Known:
    """An executed block; `validators` rule its children, `jailed` keys never return."""

    block: Block
    validators: ValidatorSet
    jailed: tuple[bytes, ...] = ()


def genesis_header(chain_id: str, validators: ValidatorSet) -> Header:
    """Header of height 0."""
    rules = validators_hash(validators)
    empty = Justification(None, ())
    return Header(
        version=PROTOCOL_VERSION,
        chain_id=chain_id,
        epoch=0,
        slot=0,
        height=0,
        time_ms=0,
        parent=ZERO_DIGEST,
        proposer=ZERO_DIGEST,
        justification_digest=justification_digest(empty),
        transactions_root=ZERO_DIGEST,
        predictions_root=ZERO_DIGEST,
        receipts_root=ZERO_DIGEST,
        state_root=ZERO_DIGEST,
        validators_hash=rules,
        next_validators_hash=rules,
        gas_used=0,
    )


class ModelChain:
    """One node's chain over its disk. `lies` makes its worker compute wrong outputs."""

    def __init__(
        self, chain_id: str, genesis_set: ValidatorSet, params: Params, disk: Disk, *, lies: bool
    ) -> None:
        self.params = params
        self._disk = disk
        self._lies = lies
        genesis = genesis_header(chain_id, genesis_set)
        self._chain_id = chain_id
        self._final = Known(Block(genesis, Justification(None, ()), (), ()), genesis_set)
        self._final_hash: bytes = block_hash(genesis)
        self._known: dict[bytes, Known] = {}
        self._height_of: dict[bytes, int] = {self._final_hash: 0}
        self._included: dict[bytes, None] = {}
        self._sets: dict[int, ValidatorSet] = {0: genesis_set}
        for final in disk.finals:
            self._advance(self._execute(self._final, final.block), final.block)

    # -- where it stands ------------------------------------------------------------------

    @property
    def head(self) -> Header:
        """Last final header."""
        return self._final.block.header

    @property
    def epoch(self) -> int:
        """Epoch of the next block."""
        return _epoch_over(self.head)

    @property
    def jailed(self) -> tuple[bytes, ...]:
        """Keys that evidence removed for good."""
        return self._final.jailed

    def validators(self, epoch: int) -> ValidatorSet:
        """Set of an epoch that has begun."""
        if epoch not in self._sets:
            raise InvalidInput(Code.WRONG_EPOCH, f"epoch {epoch} has not begun")
        return self._sets[epoch]

    def position(self, key: bytes) -> Position:
        """What the core wants to know."""
        certificate = self._disk.finals[-1].certificate if self._disk.finals else None
        in_epoch = certificate is not None and certificate.vote.epoch == self.epoch
        base = Base(
            epoch=self.epoch,
            slot=certificate.vote.slot if certificate is not None and in_epoch else 0,
            height=self.head.height,
            block=self._final_hash,
            certificate=certificate,
        )
        validators = self._final.validators
        return Position(
            base=base,
            validators=validators,
            index=validators.index_of(key),
            params=self.params,
        )

    def block(self, identity: bytes) -> Block | None:
        """A block that was executed here or is final."""
        known = self._known.get(identity)
        if known is not None:
            return known.block
        height = self._height_of.get(identity, 0)
        return self._disk.finals[height - 1].block if height > 0 else None

    def is_included(self, transaction: bytes, parent: bytes) -> bool:
        """Tell whether a history holds a transaction."""
        while parent != self._final_hash:
            known = self._known.get(parent)
            if known is None:
                return False
            if transaction in known.block.transactions:
                return True
            parent = known.block.header.parent
        return transaction in self._included

    # -- blocks ---------------------------------------------------------------------------

    def build(self, parent: bytes, turn: Turn, pool: list[bytes]) -> Block:
        """Make a block on a known parent.

        Raises:
            Unavailable: NOT_FOUND.
        """
        above = self._parent(parent)
        chosen: list[bytes] = []
        for transaction in pool:
            if len(chosen) == TRANSACTIONS_MAX:
                break
            if transaction not in chosen and not self.is_included(transaction, parent):
                chosen.append(transaction)
        transactions = tuple(chosen)
        predictions = tuple(
            predict(item, lies=self._lies) for item in transactions if item.startswith(PREDICT)
        )
        header = self._header(above, turn, transactions, predictions)
        block = Block(header, turn.justification, transactions, predictions)
        self._put(block, Known(block, *self._after(above, transactions)))
        return block

    def validate(self, block: Block, *, is_certified: bool) -> None:
        """Check, execute, recompute.

        Raises:
            InvalidInput: the rule. Unavailable: the parent is not known.
        """
        identity = block_hash(block.header)
        if identity in self._known or identity in self._height_of:
            return
        above = self._parent(block.header.parent)
        known = self._execute(above, block)
        for index, transaction in enumerate(block.transactions):
            is_again = transaction in block.transactions[:index]
            if is_again or self.is_included(transaction, block.header.parent):
                raise InvalidInput(Code.DUPLICATE, "a transaction stands in the chain already")
        if not is_certified:
            for transaction, claimed in zip(
                [item for item in block.transactions if item.startswith(PREDICT)],
                block.predictions,
                strict=True,
            ):
                if predict(transaction, lies=self._lies) != claimed:
                    raise InvalidInput(Code.PREDICTION_MISMATCH, "our own output differs")
        self._put(block, known)

    def commit(self, identity: bytes, certificate: Certificate) -> list[Header]:
        """Make a block and its ancestors durable; gives the headers that are new.

        Raises:
            Unavailable: NOT_FOUND if the branch is not executed here.
        """
        if identity in self._height_of:
            return []
        branch: list[Known] = []
        cursor = identity
        while cursor != self._final_hash:
            known = self._known.get(cursor)
            if known is None:
                raise Unavailable(Code.NOT_FOUND, "the branch is not executed here")
            branch.append(known)
            cursor = known.block.header.parent
        branch.reverse()
        headers = [known.block.header for known in branch]
        for index, known in enumerate(branch):
            path = tuple(headers[index + 1 :])
            self._disk.finals.append(FinalBlock(known.block, path, certificate))
            self._advance(known, known.block)
        height = self.head.height
        for key in [k for k, v in self._known.items() if v.block.header.height <= height]:
            del self._known[key]
        return headers

    # -- helpers --------------------------------------------------------------------------

    def _advance(self, known: Known, block: Block) -> None:
        self._final = known
        self._final_hash = block_hash(block.header)
        self._height_of[self._final_hash] = block.header.height
        self._included.update(dict.fromkeys(block.transactions))
        self._sets[self.epoch] = known.validators

    def _put(self, block: Block, known: Known) -> None:
        if len(self._known) < KNOWN_MAX:
            self._known[block_hash(block.header)] = known

    def _parent(self, identity: bytes) -> Known:
        if identity == self._final_hash:
            return self._final
        known = self._known.get(identity)
        if known is None:
            raise Unavailable(Code.NOT_FOUND, "the parent is not known here")
        return known

    def _execute(self, above: Known, block: Block) -> Known:
        header = block.header
        least = above.block.header.slot + 1 if header.epoch == above.block.header.epoch else 1
        if header.slot < least or header.time_ms <= above.block.header.time_ms:
            raise InvalidInput(Code.BAD_BLOCK, "slot or time does not grow")
        if len(block.predictions) != sum(item.startswith(PREDICT) for item in block.transactions):
            raise InvalidInput(Code.BAD_BLOCK, "outputs are missing")
        turn = Turn(slot=header.slot, justification=block.justification, time_ms=header.time_ms)
        expected = self._header(above, turn, block.transactions, block.predictions)
        if expected != header:
            raise InvalidInput(Code.BAD_BLOCK, "execution gives another header")
        return Known(block, *self._after(above, block.transactions))

    def _header(
        self,
        above: Known,
        turn: Turn,
        transactions: tuple[bytes, ...],
        predictions: tuple[PredictionOutput, ...],
    ) -> Header:
        over = above.block.header
        epoch = _epoch_over(over)
        validators = above.validators.validators
        root = merkle_root(transactions)
        outputs = merkle_root(tuple(encode(item) for item in predictions))
        return Header(
            version=PROTOCOL_VERSION,
            chain_id=self._chain_id,
            epoch=epoch,
            slot=turn.slot,
            height=over.height + 1,
            time_ms=max(turn.time_ms, over.time_ms + 1),
            parent=block_hash(over),
            proposer=validators[leader_of(len(validators), epoch, turn.slot)].key,
            justification_digest=justification_digest(turn.justification),
            transactions_root=root,
            predictions_root=outputs,
            receipts_root=ZERO_DIGEST,
            state_root=digest(Domain.STATE_NODE, over.state_root + root + outputs),
            validators_hash=over.next_validators_hash,
            next_validators_hash=validators_hash(self._after(above, transactions)[0]),
            gas_used=0,
        )

    def _after(
        self, above: Known, transactions: tuple[bytes, ...]
    ) -> tuple[ValidatorSet, tuple[bytes, ...]]:
        """Give the set after a block, and all who were convicted so far."""
        validators, jailed = above.validators, above.jailed
        for transaction in transactions:
            if transaction.startswith(JAIL):
                key = self._convict(transaction[len(JAIL) :], _epoch_over(above.block.header))
                if key is not None and key not in jailed:
                    jailed = (*jailed, key)
        for transaction in transactions:
            if transaction.startswith(SET):
                validators = decode(ValidatorSet, transaction[len(SET) :])
                break
        free = tuple(member for member in validators.validators if member.key not in jailed)
        return (ValidatorSet(free) if free else validators), jailed

    def _convict(self, pair: bytes, epoch: int) -> bytes | None:
        """Give the key that signed two votes which contradict each other."""
        half = len(pair) // 2
        first, second = decode(SignedVote, pair[:half]), decode(SignedVote, pair[half:])
        if not is_evidence(first, second) or first.vote.epoch > epoch:
            return None
        key = self._sets[first.vote.epoch].validators[first.validator].key
        for signed in (first, second):
            message = vote_signing_bytes(self._chain_id, signed.vote)
            if fake_signature(key, message) != signed.signature:
                return None
        return key


def predict(transaction: bytes, *, lies: bool) -> PredictionOutput:
    """The model of the miniature world."""
    true = digest(Domain.PREDICTION, transaction)
    output = int.from_bytes(true[:4], "big") + (1 if lies else 0)
    return PredictionOutput(ZERO_DIGEST, true, (output,))


def _epoch_over(header: Header) -> int:
    return header.epoch + (1 if header.closes_epoch else 0)

"""A signer in this process: a key in memory or in a module, and a `SignStateFile`."""

from __future__ import annotations

from andon.core.certificate import SignedVote, Vote, vote_signing_bytes
from andon.core.errors import Code, Corrupt, InvalidInput
from andon.core.keys import PublicKey, SigningKey
from andon.core.transaction import TransactionBody, sign_transaction
from node.signer.file import SignStateFile
from node.signer.state import decide, raise_floor, votes_of


class FileSigner:
    """Signs votes for one chain. Blocking: every new vote costs one fdatasync."""

    def __init__(self, chain_id: str, key: SigningKey, file: SignStateFile) -> None:
        self.chain_id = chain_id
        self._key = key
        self._file = file

    @property
    def public_key(self) -> PublicKey:
        """The key that the validator set must hold for us to vote."""
        return self._key.public

    def sign(self, vote: Vote, validator: int) -> SignedVote:
        """Sign, after the record of it is durable. The same vote again costs no write.

        Raises:
            InvalidInput: SIGN_REFUSED. Corrupt: STORAGE_DAMAGED.
        """
        decision = decide(self._file.state, vote)
        if decision.is_new:
            self._file.write(decision.state)
        return SignedVote(vote, validator, self._key.sign(vote_signing_bytes(self.chain_id, vote)))

    def sign_transaction(self, body: TransactionBody) -> bytes:
        """Sign a transaction that the validator sends in its own name; gives its raw bytes.

        Raises:
            InvalidInput: SIGN_REFUSED for another sender, WRONG_CHAIN.
        """
        if body.sender != self._key.public:
            raise InvalidInput(Code.SIGN_REFUSED, "the sender is not this validator's key")
        if body.chain_id != self.chain_id:
            raise InvalidInput(Code.WRONG_CHAIN, f"this signer signs for {self.chain_id!r}")
        return sign_transaction(body, self._key)

    def votes(self) -> tuple[Vote, ...]:
        """What was signed and may still matter, for saying it again after a restart."""
        return votes_of(self._file.state)

    def advance(self, epoch: int, slot: int) -> None:
        """Close all slots up to here, durably; does nothing if the record is beyond already.

        Called before a block becomes final on disk: so a record older than the chain can only
        come from a backup.
        """
        if (epoch, slot) > self._file.state.position:
            self._file.write(raise_floor(self._file.state, epoch, slot))

    def check_not_older(self, epoch: int, slot: int) -> None:
        """Refuse to start upon a chain that the record has not seen.

        Raises:
            Corrupt: STORAGE_DAMAGED.
        """
        if self._file.state.position < (epoch, slot):
            at_epoch, at_slot = self._file.state.position
            raise Corrupt(
                Code.STORAGE_DAMAGED,
                f"the sign state ends at epoch {at_epoch}, slot {at_slot}; "
                f"the chain at epoch {epoch}, slot {slot}",
                hint="it was restored or copied; see 'The signer refuses' in docs/operator.md",
            )

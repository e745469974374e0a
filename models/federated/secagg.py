"""Secure sums: what one plant sends in an attempt, and how everybody takes the masks off.

The server of the literature is replaced by the ledger: announcements, dealings and the frozen
set of survivors are finalised before the step that depends on them, so nobody can be shown
another survivor set. Of one plant either the self-mask seed (it survived) or the mask key (it
dropped) is ever rebuilt, never both: the kind follows from the frozen set alone.

Source: Bonawitz et al. 2017; federated-learning reference 3.1.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from andon.core.codec import Record, encode
from andon.core.errors import Code, InvalidInput, Misuse
from models.federated import masks, shamir
from models.federated.ring import Sums, Words, centred

MEMBERS_MIN = 3
MEMBERS_MAX = 256
SALT_BYTES = 16
SELF_SEED = 0
MASK_KEY = 1


class Attempt(Record, frozen=True):
    """What every key, mask and share of one attempt at one group's sum is bound to.

    `members` are the accounts that announced keys, ascending; an index below is a place in it.
    A second attempt at a round has another number, hence fresh keys and masks.
    """

    chain_id: str
    run: str
    round: int
    attempt: int
    group: int
    threshold: int
    members: tuple[bytes, ...]


class Announcement(Record, frozen=True):
    """A member's public keys for the attempt, and the digest of its self-mask seed."""

    mask_key: bytes
    seal_key: bytes
    seed_digest: bytes


class Dealing(Record, frozen=True):
    """A member's shares, by holder index: sealed to each, and committed for everybody.

    `seed_commitments` and `key_commitments` hold `share_commitment` of each share, so that a
    wrong share is the holder's fault and cannot be blamed on the dealer.
    """

    sealed: tuple[bytes, ...]
    seed_commitments: tuple[bytes, ...]
    key_commitments: tuple[bytes, ...]


class Share(Record, frozen=True):
    """One revealed share: `kind` is SELF_SEED or MASK_KEY of the member `dealer`."""

    dealer: int
    kind: int
    share: bytes
    salt: bytes


def threshold_for(members: int) -> int:
    """More than two thirds: dropouts up to a third, collusion up to two thirds."""
    return 2 * members // 3 + 1


def check_attempt(attempt: Attempt) -> None:
    """Require 3 to 256 distinct members in order and a threshold above half.

    Raises:
        InvalidInput: BAD_ARGUMENTS.
    """
    count = len(attempt.members)
    if not MEMBERS_MIN <= count <= MEMBERS_MAX:
        raise InvalidInput(
            Code.BAD_ARGUMENTS,
            f"a secure sum of {count} members",
            hint=f"{MEMBERS_MIN} to {MEMBERS_MAX}: with two, each learns the other's update",
        )
    if list(attempt.members) != sorted(set(attempt.members)):
        raise InvalidInput(Code.BAD_ARGUMENTS, "members must be distinct and ascending")
    # At or below half, two disjoint sets of holders could rebuild both secrets of a member.
    if not count // 2 < attempt.threshold <= count:
        raise InvalidInput(
            Code.BAD_ARGUMENTS, f"threshold {attempt.threshold} of {count} is not above half"
        )


def attempt_digest(attempt: Attempt) -> bytes:
    """32 bytes that name the attempt."""
    return hashlib.sha256(b"andon/fl-attempt\0" + encode(attempt)).digest()


def contract_hash(content: bytes) -> bytes:
    """The digest that the contract language computes as `hash256(content)`."""
    return hashlib.sha256(b"andon/contract\0" + content).digest()


def share_commitment(share: bytes, salt: bytes) -> bytes:
    """Commit to a share, as contract `training` checks it; both parts have a fixed length."""
    return contract_hash(b"fl-share:" + share + salt)


def seed_digest(seed: bytes) -> bytes:
    """Commit to a self-mask seed."""
    return contract_hash(b"fl-seed:" + seed)


class Member:
    """One plant in one attempt. All it sends is a function of `secret` and the attempt.

    `secret` is 32 random bytes, fresh for every attempt and on disk before anything is sent: a
    plant that was killed says the same again, and never something else under the same masks.
    """

    def __init__(self, secret: bytes, attempt: Attempt, account: bytes) -> None:
        check_attempt(attempt)
        self.attempt = attempt
        self.index = attempt.members.index(account)
        self._digest = attempt_digest(attempt)
        self._secret = secret
        self._mask, self._seal, self._seed = _own_keys(secret)
        self._frozen: tuple[int, ...] | None = None

    @staticmethod
    def announce(secret: bytes) -> Announcement:
        """The public part, sent before it is known who else takes part.

        These keys are bound to the attempt by `secret` alone, which serves one attempt; every
        key agreed with them is bound to the attempt's digest.
        """
        mask, seal, seed = _own_keys(secret)
        return Announcement(mask.public, seal.public, seed_digest(seed))

    def announcement(self) -> Announcement:
        """The public part of this member."""
        return Member.announce(self._secret)

    def deal(self, announcements: tuple[Announcement, ...]) -> Dealing:
        """Share both secrets among the members; `announcements` are in member order."""
        self._check_own(announcements)
        seeds = self._shares(SELF_SEED)
        keys = self._shares(MASK_KEY)
        sealed = []
        for holder, peer in enumerate(announcements):
            content = b"".join(
                (seeds[holder].share, seeds[holder].salt, keys[holder].share, keys[holder].salt)
            )
            sealed.append(self._sealed(content, peer, holder))
        return Dealing(
            tuple(sealed),
            tuple(share_commitment(s.share, s.salt) for s in seeds),
            tuple(share_commitment(s.share, s.salt) for s in keys),
        )

    def mask(
        self, vector: Words, announcements: tuple[Announcement, ...], cohort: tuple[int, ...]
    ) -> Words:
        """Mask the ring vector for the `cohort`: the members whose dealings were finalised.

        Cost: one keystream for each member of the cohort.
        """
        self._check_own(announcements)
        if self.index not in cohort or len(cohort) < self.attempt.threshold:
            raise Misuse(Code.BAD_ARGUMENTS, "the cohort lacks this member or is below threshold")
        context = _mask_context(self._digest, cohort)
        masked = vector.copy()
        masks.add_keystream(masked, self_stream_key(self._seed, context), 1)
        for peer in cohort:
            if peer != self.index:
                key = masks.shared_key(
                    self._mask, announcements[peer].mask_key, "pair mask", context
                )
                masks.add_keystream(masked, key, 1 if peer > self.index else -1)
        return masked

    def reveal(
        self,
        announcements: tuple[Announcement, ...],
        dealings: dict[int, Dealing],
        survivors: tuple[int, ...],
    ) -> tuple[Share, ...]:
        """Reveal one share of each dealer: of the seed if it survived, of the key if not.

        Call it only with survivors from a finalised block whose certificate was checked. Shares
        that do not open or do not fit their commitment are left out: up to members - threshold
        missing shares do no harm.

        Raises:
            Misuse: BAD_ARGUMENTS when called again with other survivors, which would give both
                secrets of some member away.
        """
        check_survivors(self.attempt, tuple(sorted(dealings)), survivors)
        if self._frozen not in (None, survivors):
            raise Misuse(Code.BAD_ARGUMENTS, "shares were revealed for another survivor set")
        self._frozen = survivors
        found = []
        for dealer in sorted(dealings):
            kind = SELF_SEED if dealer in survivors else MASK_KEY
            share = self._received(dealer, kind, announcements, dealings[dealer])
            if share is not None:
                found.append(share)
        return tuple(found)

    def _received(
        self, dealer: int, kind: int, announcements: tuple[Announcement, ...], dealing: Dealing
    ) -> Share | None:
        if dealer == self.index:
            return self._shares(kind)[self.index]
        try:
            key = self._seal_key(announcements[dealer], dealer=dealer, holder=self.index)
            content = masks.unseal(key, dealing.sealed[self.index], self._digest)
        except (InvalidInput, IndexError):
            return None
        width = shamir.SHARE_BYTES + SALT_BYTES
        part = content[kind * width : (kind + 1) * width]
        share = Share(dealer, kind, part[: shamir.SHARE_BYTES], part[shamir.SHARE_BYTES :])
        return share if _fits(share, self.index, dealing) else None

    def _sealed(self, content: bytes, peer: Announcement, holder: int) -> bytes:
        try:
            key = self._seal_key(peer, dealer=self.index, holder=holder)
        except InvalidInput:
            return b""  # A bad key costs its own holder the share, and nobody else the round.
        return b"" if holder == self.index else masks.seal(key, content, self._digest)

    def _shares(self, kind: int) -> list[Share]:
        secret = self._seed if kind == SELF_SEED else self._mask.secret
        polynomial = masks.derive(self._secret, f"polynomial {kind}", self._digest)
        salts = masks.derive(self._secret, f"salts {kind}", self._digest)
        values = shamir.split(secret, self.attempt.threshold, len(self.attempt.members), polynomial)
        return [
            Share(self.index, kind, value, _salt(salts, holder))
            for holder, value in enumerate(values)
        ]

    def _seal_key(self, peer: Announcement, *, dealer: int, holder: int) -> bytes:
        # Both directions of a pair agree on one point; the context makes two keys of it.
        direction = dealer.to_bytes(2, "big") + holder.to_bytes(2, "big")
        return masks.shared_key(self._seal, peer.seal_key, "seal", self._digest + direction)

    def _check_own(self, announcements: tuple[Announcement, ...]) -> None:
        if len(announcements) != len(self.attempt.members):
            raise Misuse(Code.BAD_ARGUMENTS, "one announcement for each member is needed")
        if announcements[self.index] != self.announcement():
            raise InvalidInput(
                Code.BAD_KEY,
                "the ledger holds another announcement for this plant",
                hint="another process uses this account, or the plant's journal was lost",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that the ledger and the blob store hold of one attempt when shares are in.

    Indices are places in `attempt.members`. `masked` has exactly the survivors.
    """

    attempt: Attempt
    announcements: tuple[Announcement, ...]
    dealings: dict[int, Dealing]
    masked: dict[int, Words]
    reveals: dict[int, tuple[Share, ...]]


def unmask(evidence: Evidence) -> Sums:
    """Take all masks off the sum; every validator gets the same `i64[d]`, in any arrival order.

    Raises:
        InvalidInput: MALFORMED when fewer than the threshold of shares fit; DIGEST_MISMATCH
            with field `dealer` when the shares of a member do not give what it announced.
    """
    attempt = evidence.attempt
    cohort = tuple(sorted(evidence.dealings))
    survivors = tuple(sorted(evidence.masked))
    check_survivors(attempt, cohort, survivors)
    context = _mask_context(attempt_digest(attempt), cohort)
    total = evidence.masked[survivors[0]].copy()
    for index in survivors[1:]:
        total += evidence.masked[index]
    for dealer in cohort:
        kind = SELF_SEED if dealer in survivors else MASK_KEY
        secret = _rebuild(evidence, dealer, kind)
        if kind == SELF_SEED:
            masks.add_keystream(total, self_stream_key(secret, context), -1)
            continue
        pair = masks.key_pair(secret)
        for index in survivors:
            key = masks.shared_key(
                pair, evidence.announcements[index].mask_key, "pair mask", context
            )
            masks.add_keystream(total, key, -1 if dealer > index else 1)
    return centred(total)


def check_share(evidence_dealing: Dealing, holder: int, share: Share) -> None:
    """Require that a revealed share is the one its dealer committed to for `holder`.

    Raises:
        InvalidInput: DIGEST_MISMATCH; the holder is at fault.
    """
    if not _fits(share, holder, evidence_dealing):
        raise InvalidInput(
            Code.DIGEST_MISMATCH, f"the share of dealer {share.dealer} is not the committed one"
        )


def check_survivors(attempt: Attempt, cohort: tuple[int, ...], survivors: tuple[int, ...]) -> None:
    """Require survivors from the cohort, in order, not fewer than the threshold.

    Raises:
        InvalidInput: BAD_ARGUMENTS; the attempt must be aborted and nothing revealed.
    """
    if list(survivors) != sorted(set(survivors)) or not set(survivors) <= set(cohort):
        raise InvalidInput(Code.BAD_ARGUMENTS, "survivors are not an ascending part of the cohort")
    if len(survivors) < attempt.threshold:
        raise InvalidInput(
            Code.BAD_ARGUMENTS,
            f"{len(survivors)} survivors, {attempt.threshold} are needed",
            hint="abort the attempt; nothing was revealed",
        )


def self_stream_key(seed: bytes, context: bytes) -> bytes:
    """The keystream key of a self-mask seed in the context of an attempt and cohort."""
    return masks.derive(seed, "self mask", context)


def _rebuild(evidence: Evidence, dealer: int, kind: int) -> bytes:
    shares = {
        holder: share.share
        for holder, revealed in evidence.reveals.items()
        for share in revealed
        if share.dealer == dealer
        and share.kind == kind
        and _fits(share, holder, evidence.dealings[dealer])
    }
    if len(shares) < evidence.attempt.threshold:
        raise InvalidInput(
            Code.MALFORMED,
            f"{len(shares)} shares of dealer {dealer}, {evidence.attempt.threshold} are needed",
            hint="wait for more reveals or abort the attempt",
        )
    announced = evidence.announcements[dealer]
    try:
        secret = shamir.combine(shares, evidence.attempt.threshold)
    except InvalidInput:
        secret = b""
    if kind == SELF_SEED and secret and seed_digest(secret) == announced.seed_digest:
        return secret
    if kind == MASK_KEY and secret and masks.key_pair(secret).public == announced.mask_key:
        return secret
    raise InvalidInput(
        Code.DIGEST_MISMATCH,
        f"dealer {dealer} shared a secret that is not the announced one",
        hint="abort the attempt and leave the dealer out of the next",
        dealer=dealer,
    )


def seal_pair(secret: bytes) -> masks.Pair:
    """The pair behind the announced seal key of an attempt's secret."""
    return _own_keys(secret)[1]


def _own_keys(secret: bytes) -> tuple[masks.Pair, masks.Pair, bytes]:
    mask = masks.key_pair(masks.derive(secret, "mask key", b""))
    seal = masks.key_pair(masks.derive(secret, "seal key", b""))
    return mask, seal, masks.derive(secret, "self seed", b"")


def _fits(share: Share, holder: int, dealing: Dealing) -> bool:
    if len(share.share) != shamir.SHARE_BYTES or len(share.salt) != SALT_BYTES:
        return False
    kinds = {SELF_SEED: dealing.seed_commitments, MASK_KEY: dealing.key_commitments}
    commitments = kinds.get(share.kind, ())
    return holder < len(commitments) and (
        share_commitment(share.share, share.salt) == commitments[holder]
    )


def _mask_context(digest: bytes, cohort: tuple[int, ...]) -> bytes:
    places = b"".join(index.to_bytes(2, "big") for index in cohort)
    return hashlib.sha256(b"andon/fl-cohort\0" + digest + places).digest()


def _salt(seed: bytes, holder: int) -> bytes:
    return masks.derive(seed, "salt", holder.to_bytes(2, "big"))[:SALT_BYTES]

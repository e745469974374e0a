"""What the ledger reads natively from the `identity` contract: members, roles, validators.

The contract owns the rules by which this state changes; the ledger only obeys it. State that does
not have the expected shape gives no rights. Parsed values are remembered by their bytes, so every
look-up sees the latest write of the same block.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass
from functools import lru_cache

from andon.core.certificate import Validator, ValidatorSet, make_validator_set
from andon.core.codec import Value, decode_value, encode_value
from andon.core.errors import InvalidInput
from andon.core.state_key import state_key

MEMO_COUNT_MAX = 4096
SETS_COUNT_MAX = 64
"""Parsed validator sets that are remembered: checking a key costs as much as a signature."""
IDENTITY = "identity"
VALIDATOR_ROLE = "validator"
VALIDATORS_KEY = state_key(IDENTITY, "validators")
NEXT_KEY = state_key(IDENTITY, "next")

Read = Callable[[bytes], bytes | None]


@dataclass(frozen=True, slots=True)
class Member:
    """An active account: its organisation and roles."""

    organisation: str
    roles: frozenset[str]


_Known = tuple[bytes, bytes, Member]
"""The keys of an active account and of its organisation, and what stands there."""


class Directory:
    """Answers questions of authority from the present state."""

    __slots__ = (
        "_active_by_raw",
        "_is_one_version",
        "_known",
        "_members",
        "_read",
        "_validators",
        "_writes",
    )

    def __init__(self, read: Read, writes: Container[bytes] | None = None) -> None:
        """With `writes`, `read` shows one version of the state with these keys changed.

        None says that it may show another version each time: then every answer is read anew.
        """
        self._read = read
        self._writes: Container[bytes] = () if writes is None else writes
        self._is_one_version = writes is not None
        self._known: dict[bytes, _Known] = {}
        self._members: dict[bytes, Member | None] = {}
        self._active_by_raw: dict[bytes, bool] = {}
        self._validators: tuple[bytes | None, ValidatorSet | None] = (None, None)

    def member(self, account: bytes) -> Member | None:
        """Give the account if it and its organisation are active."""
        known, writes = self._known.get(account), self._writes
        # Every transaction asks for its sender: two reads of the store, as dear as a call.
        if known is not None and known[0] not in writes and known[1] not in writes:
            return known[2]
        key = state_key(IDENTITY, "members", account)
        raw = self._read(key)
        if raw is None:
            return None
        if raw not in self._members:
            if len(self._members) >= MEMO_COUNT_MAX:
                self._members.clear()
            self._members[raw] = _parse_member(raw)
        member = self._members[raw]
        if member is None or not self._is_active_organisation(member.organisation):
            return None
        self._remember(account, key, member)
        return member

    def _remember(self, account: bytes, key: bytes, member: Member) -> None:
        organisation = _organisation_key(member.organisation)
        if not self._is_one_version or key in self._writes or organisation in self._writes:
            return  # What was changed can be changed back, by a rollback.
        if len(self._known) >= MEMO_COUNT_MAX:
            self._known.clear()
        self._known[account] = (key, organisation, member)

    def has_role(self, account: bytes, role: str) -> bool:
        """Tell whether the account holds the role; `validator` means: has a vote now."""
        if role == VALIDATOR_ROLE:
            validators = self.validators()
            return validators is not None and validators.index_of(account) is not None
        member = self.member(account)
        return member is not None and role in member.roles

    def may_send(self, account: bytes) -> bool:
        """Members and validators may send transactions; nobody else."""
        return self.member(account) is not None or self.has_role(account, VALIDATOR_ROLE)

    def organisation(self, account: bytes) -> str:
        """Name of the organisation of a member or validator, empty for others."""
        member = self.member(account)
        if member is not None:
            return member.organisation
        for entry in validator_entries(self._read(VALIDATORS_KEY)):
            name = entry.get("org")
            if entry.get("key") == account and isinstance(name, str):
                return name
        return ""

    def validators(self) -> ValidatorSet | None:
        """Give the set that stands in the state, None if there is no valid one."""
        raw = self._read(VALIDATORS_KEY)
        if raw is None or raw != self._validators[0]:
            self._validators = (raw, parse_validators(raw))
        return self._validators[1]

    def _is_active_organisation(self, name: str) -> bool:
        raw = self._read(_organisation_key(name))
        if raw is None:
            return False
        is_active = self._active_by_raw.get(raw)
        if is_active is None:
            if len(self._active_by_raw) >= MEMO_COUNT_MAX:
                self._active_by_raw.clear()
            is_active = text_map(decode_value(raw)).get("active") is True
            self._active_by_raw[raw] = is_active
        return is_active


def _organisation_key(name: str) -> bytes:
    return state_key(IDENTITY, "organisations", name)


def validator_entries(raw: bytes | None) -> list[dict[str, Value]]:
    """Give the entries of an encoded validator list; nothing for another shape."""
    if raw is None:
        return []
    value = decode_value(raw)
    if not isinstance(value, list):
        return []
    return [text_map(item) for item in value if isinstance(item, dict)]


@lru_cache(SETS_COUNT_MAX)
def parse_validators(raw: bytes | None) -> ValidatorSet | None:
    """Make the checked set of an encoded validator list; None if it is not one."""
    entries = validator_entries(raw)
    validators: list[Validator] = []
    for entry in entries:
        key, weight = entry.get("key"), entry.get("weight")
        # A bool is an int to Python, and another value to the codec.
        if not isinstance(key, bytes) or type(weight) is not int:
            return None
        validators.append(Validator(key=key, weight=weight))
    try:
        return make_validator_set(tuple(validators))
    except InvalidInput:
        return None


def encode_entries(entries: list[dict[str, Value]]) -> bytes:
    """Encode a validator list as the identity contract keeps it."""
    listed: Value = [dict(entry.items()) for entry in entries]
    return encode_value(listed)


def text_map(value: Value) -> dict[str, Value]:
    """Give the entries of a map whose keys are text; an empty map for any other value."""
    if not isinstance(value, dict):
        return {}
    return {key: item for key, item in value.items() if isinstance(key, str)}


def _parse_member(raw: bytes) -> Member | None:
    entry = text_map(decode_value(raw))
    organisation, roles = entry.get("org"), entry.get("roles")
    if entry.get("active") is not True or not isinstance(organisation, str):
        return None
    if not isinstance(roles, list):
        return None
    named = [role for role in roles if isinstance(role, str)]
    return Member(organisation=organisation, roles=frozenset(named))

"""The contract's open values as types: a run's plan, a round's progress, what a member sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeVar

from andon.core.codec import Key, Value
from andon.core.errors import Code, InvalidInput
from models.federated.ring import Encoding, check_encoding
from models.federated.robust import RULES, Rule, RuleName
from models.federated.secagg import (
    Announcement,
    Attempt,
    Dealing,
    Share,
    check_attempt,
    threshold_for,
)
from models.federated.strategies import Strategy, StrategyName, check_strategy, vector_length

Mode = Literal["plain", "grouped", "full"]
Phase = Literal[
    "KEYS", "DEAL", "COMMIT", "HOLD", "REVEAL", "AGGREGATE", "ROUTE", "TAKE", "CLOSED", "ABORTED"
]
MODES: tuple[Mode, ...] = ("plain", "grouped", "full")
PHASES: tuple[Phase, ...] = (
    "KEYS",
    "DEAL",
    "COMMIT",
    "HOLD",
    "REVEAL",
    "AGGREGATE",
    "ROUTE",
    "TAKE",
    "CLOSED",
    "ABORTED",
)
STRATEGIES: tuple[StrategyName, ...] = (
    "average",
    "momentum",
    "adagrad",
    "adam",
    "yogi",
    "scaffold",
)
T = TypeVar("T")
Table = dict[Key, Value]


@dataclass(frozen=True, slots=True)
class MemberPlan:
    """A member's place: its group and public weight."""

    account: bytes
    group: int
    weight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A run, as contract `training` keeps it; `elements` are those of the vector a member sends.

    `root` is the account that trains on the public root set, for the rule `trust`; `validation`
    the blob that models are scored on. Models wander in `routes` rounds before each one that
    averages.
    """

    chain_id: str
    run: str
    members: tuple[MemberPlan, ...]
    mode: Mode
    elements: int
    encoding: Encoding
    rule: Rule
    strategy: Strategy
    root: bytes | None
    validation: bytes | None
    with_contributions: bool
    status: str
    round: int
    rho_budget: int
    routes: int
    benched: tuple[bytes, ...] = ()
    score: int | None = None

    @property
    def parameters(self) -> int:
        """Parameters of the model: half of the elements for SCAFFOLD."""
        return self.elements // vector_length(self.strategy, 1)

    @property
    def weight_of_all(self) -> int:
        """The weights of the members whose updates are averaged."""
        return sum(member.weight for member in self.members if member.account != self.root)

    def is_route(self, number: int) -> bool:
        """Whether models wander in this round."""
        return number % (self.routes + 1) != 0

    def averaged_before(self, number: int) -> int:
        """The round that bounds this one: the last to average; 0 for the first, and for routes."""
        return 0 if self.is_route(number) else number - self.routes - 1

    def accounts(self) -> tuple[bytes, ...]:
        """All members, ascending."""
        return tuple(member.account for member in self.members)

    def groups(self) -> tuple[int, ...]:
        """Group numbers, ascending."""
        return tuple(sorted({member.group for member in self.members}))

    def group_of(self, account: bytes) -> int:
        """The group of a member. Raises: InvalidInput NOT_A_MEMBER."""
        return self._member(account).group

    def weight(self, account: bytes) -> int:
        """The public weight of a member."""
        return self._member(account).weight

    def group_members(self, group: int, among: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """Members of the group that are in `among`, ascending."""
        return tuple(m.account for m in self.members if m.group == group and m.account in among)

    def attempt(self, progress: Progress, group: int) -> Attempt:
        """What keys and masks of one group are bound to.

        Raises:
            InvalidInput: BAD_ARGUMENTS when too few members announced keys.
        """
        members = self.group_members(group, progress.announced)
        attempt = Attempt(
            self.chain_id,
            self.run,
            progress.number,
            progress.attempt,
            group,
            threshold_for(len(members)),
            members,
        )
        check_attempt(attempt)
        return attempt

    def _member(self, account: bytes) -> MemberPlan:
        for member in self.members:
            if member.account == account:
                return member
        raise InvalidInput(
            Code.NOT_A_MEMBER,
            f"{account.hex()[:16]} is no member of run {self.run}",
            hint="ask the run's owner to create the run with this account",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A round. Accounts are ascending; `base` names the server state it starts from.

    `opened` and `deadline` are heights of the phase.
    """

    number: int
    attempt: int
    phase: Phase
    opened: int
    deadline: int
    base: bytes
    base_blob: bytes
    announced: tuple[bytes, ...]
    dealt: tuple[bytes, ...]
    committed: tuple[bytes, ...]
    frozen: tuple[bytes, ...]
    revealed: tuple[bytes, ...]
    given: tuple[bytes, ...]
    taken: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Parcel:
    """A model on its way, as contract `routes` keeps it: digests of sealed blob and content."""

    blob: bytes
    model: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What one member sent in an attempt; absent parts are None or empty."""

    announcement: Announcement | None = None
    dealing: Dealing | None = None
    blob: bytes = b""
    norm: int = 0
    reveal: tuple[Share, ...] = ()

    def required_announcement(self) -> Announcement:
        """The announcement. Raises: InvalidInput MALFORMED when there is none."""
        if self.announcement is None:
            raise InvalidInput(Code.MALFORMED, "a member of the attempt announced no keys")
        return self.announcement


def parse_plan(chain_id: str, run: str, value: Value) -> Plan:
    """Read `status(run)["run"]`.

    Raises:
        InvalidInput: MALFORMED or BAD_ARGUMENTS if the contract holds what it should refuse.
    """
    table = _table(value)
    recipe = _table(table["recipe"])
    members = tuple(_member_plan(row) for row in _list(table["members"]))
    scale_bits, limit, norm_limit, weight_max = (_int(v) for v in _row(table["encoding"], 4))
    encoding = Encoding(scale_bits, limit, norm_limit, weight_max, len(members))
    check_encoding(encoding)
    numbers = _row(recipe["strategy"], 5)
    name = _one_of(STRATEGIES, numbers[0])
    rate, first, second, floor = (_int(v) for v in numbers[1:])
    strategy = Strategy(name, rate, first, second, floor)
    check_strategy(strategy)
    rule_name: RuleName = _one_of(RULES, recipe["rule"])
    root, validation = recipe.get("root"), recipe.get("validation")
    return Plan(
        chain_id=chain_id,
        run=run,
        members=members,
        mode=_one_of(MODES, table["mode"]),
        elements=_int(table["elements"]),
        encoding=encoding,
        rule=Rule(name=rule_name, tolerated=_int(recipe.get("tolerated", 0))),
        strategy=strategy,
        root=None if root is None else _bytes(root),
        validation=None if validation is None else _bytes(validation),
        with_contributions=recipe.get("contributions") is True,
        status=_text(table["status"]),
        round=_int(table["round"]),
        rho_budget=_int(table["rho_budget"]),
        routes=_int(table["routes"]),
        benched=_accounts(table["benched"]),
        score=None if table["score"] is None else _int(table["score"]),
    )


def parse_progress(number: int, value: Value) -> Progress:
    """Read `status(run)["round"]`. Raises: InvalidInput MALFORMED."""
    table = _table(value)
    return Progress(
        number=number,
        attempt=_int(table["attempt"]),
        phase=_one_of(PHASES, table["phase"]),
        opened=_int(table["height"]),
        deadline=_int(table["deadline"]),
        base=_bytes(table["base"]),
        base_blob=_bytes(table["blob"]),
        announced=_accounts(table["announced"]),
        dealt=_accounts(table["dealt"]),
        committed=_accounts(table["committed"]),
        frozen=_accounts(table["frozen"]),
        revealed=_accounts(table["revealed"]),
        given=_accounts(table["given"]),
        taken=_accounts(table["taken"]),
    )


def parse_sent(value: Value) -> Sent:
    """Read `sent(run, number, attempt, account)`. Raises: InvalidInput MALFORMED."""
    table = _table(value)
    keys, dealing, commit = table["keys"], table["dealing"], table["commit"]
    return Sent(
        announcement=None if keys is None else _announcement(_table(keys)),
        dealing=None if dealing is None else _dealing(_table(dealing)),
        blob=b"" if commit is None else _bytes(_table(commit)["blob"]),
        norm=0 if commit is None else _int(_table(commit)["norm"]),
        reveal=() if table["reveal"] is None else tuple(map(_share, _list(table["reveal"]))),
    )


def bound_after(plan: Plan, before: Progress | None, norms: dict[bytes, int]) -> int:
    """The longest update of a round, in units, after round `before` in which `norms` were declared.

    In grouped mode the lower median over the members that survived `before`: a sum hides how long
    each update is, and the scale that most plants declare is one that a minority cannot move far.
    Without such a round, and in other modes, the encoding's limit.
    """
    limit = plan.encoding.norm_limit
    if plan.mode != "grouped" or before is None or not before.frozen:
        return limit
    declared = sorted(norms[account] for account in before.frozen)
    return min(limit, max(1, declared[(len(declared) - 1) // 2]))


def has_counted(plan: Plan, value: Value, account: bytes) -> bool:
    """Whether a round that has ended took the account's update into the run's state.

    A group is used as a whole or not at all. Raises: InvalidInput MALFORMED.
    """
    table = _table(value)
    if table.get("result") is None:
        return False
    result = _table(table["result"])
    left_out = _accounts(result["left_out"])
    own: tuple[bytes, ...] = (account,)
    if plan.mode != "plain":
        own = plan.group_members(plan.group_of(account), plan.accounts())
    is_used = account in _accounts(table["frozen"]) and not any(name in left_out for name in own)
    return is_used and result["kept"] is True and result["state"] != table["base"]


def parse_parcel(value: Value) -> Parcel:
    """Read an entry of `routes.given`. Raises: InvalidInput MALFORMED."""
    table = _table(value)
    return Parcel(_bytes(table["blob"]), _bytes(table["model"]))


def share_values(shares: tuple[Share, ...]) -> list[Value]:
    """The shares as argument of `reveal`."""
    return [[share.dealer, share.kind, share.share, share.salt] for share in shares]


def _member_plan(value: Value) -> MemberPlan:
    account, group, weight = _row(value, 3)
    return MemberPlan(_bytes(account), _int(group), _int(weight))


def _announcement(table: Table) -> Announcement:
    return Announcement(
        _bytes(table["mask_key"]), _bytes(table["seal_key"]), _bytes(table["seed_digest"])
    )


def _dealing(table: Table) -> Dealing:
    return Dealing(
        tuple(_bytes(v) for v in _list(table["sealed"])),
        tuple(_bytes(v) for v in _list(table["seed"])),
        tuple(_bytes(v) for v in _list(table["key"])),
    )


def _share(value: Value) -> Share:
    dealer, kind, share, salt = _row(value, 4)
    return Share(_int(dealer), _int(kind), _bytes(share), _bytes(salt))


def _accounts(value: Value) -> tuple[bytes, ...]:
    return tuple(_bytes(item) for item in _list(value))


def _table(value: Value) -> Table:
    if not isinstance(value, dict):
        raise _malformed("a map", value)
    return _Fields(value)


class _Fields(Table):
    """A map whose missing fields are the peer's fault, not a bug of ours."""

    def __missing__(self, key: Key) -> Value:
        raise InvalidInput(Code.MALFORMED, f"field {key!r} is missing")


def _list(value: Value) -> list[Value]:
    if not isinstance(value, list):
        raise _malformed("a list", value)
    return value


def _row(value: Value, count: int) -> list[Value]:
    row = _list(value)
    if len(row) != count:
        raise InvalidInput(Code.MALFORMED, f"{len(row)} values where {count} are expected")
    return row


def _int(value: Value) -> int:
    if type(value) is not int:
        raise _malformed("an integer", value)
    return value


def _bytes(value: Value) -> bytes:
    if not isinstance(value, bytes):
        raise _malformed("bytes", value)
    return value


def _text(value: Value) -> str:
    if not isinstance(value, str):
        raise _malformed("text", value)
    return value


def _one_of(choices: tuple[T, ...], value: Value) -> T:
    for choice in choices:
        if choice == value:
            return choice
    raise _malformed(f"one of {', '.join(map(str, choices))}", value)


def _malformed(wanted: str, value: Value) -> InvalidInput:
    return InvalidInput(Code.MALFORMED, f"{type(value).__name__} where {wanted} is expected")

"""Types of the contract language, for editors and type checkers.

A contract file imports nothing from here: the chain refuses it. `andon contract check --types` runs
mypy over contracts with these names; `contracts/__builtins__.pyi` of a new project shows them to
editors on Pyright. Nothing here runs on the chain; the engine reads the source text. The language
is described in docs/contracts.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Literal, NoReturn, TypeAlias, TypeVar, overload

__all__ = [
    "Event",
    "Map",
    "Var",
    "call",
    "ceil",
    "ctx",
    "dec",
    "decide",
    "decode",
    "encode",
    "export",
    "fail",
    "floor",
    "from_hex",
    "gas_left",
    "has_role",
    "hash256",
    "hex",
    "init",
    "is_validator",
    "migrate",
    "organisation_of",
    "predict",
    "predict_many",
    "request",
    "revert",
    "scheduled",
    "sha256",
    "signature_is_valid",
    "try_call",
    "type_of",
    "value",
    "view",
]

K = TypeVar("K")
V = TypeVar("V")
F = TypeVar("F", bound=Callable[..., object])
D = TypeVar("D")
value: TypeAlias = Any  # noqa: PYI042 - the language's own name; checked when it runs


class dec:  # noqa: N801 - the language's own name
    """A decimal of 18 places; mixes with int."""

    def __init__(self, number: str | int | dec) -> None: ...
    def __add__(self, other: dec | int) -> dec:
        raise NotImplementedError

    __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __add__

    def __neg__(self) -> dec:
        raise NotImplementedError

    def __abs__(self) -> dec:
        raise NotImplementedError

    def __lt__(self, other: dec | int) -> bool:
        raise NotImplementedError

    __le__ = __gt__ = __ge__ = __lt__

    def __round__(self, places: int = 0) -> dec:
        raise NotImplementedError

    def __int__(self) -> int:
        raise NotImplementedError


class Var(Generic[V]):
    """One value in state."""

    @overload
    def __init__(self, kind: type[V], *, default: V = ...) -> None: ...
    @overload
    def __init__(self: Var[value], kind: object, *, default: value = ...) -> None: ...
    def __init__(self, kind: object, *, default: value = None) -> None: ...

    def get(self) -> V:
        """Read; E_KEY if it was never set and has no default."""
        raise NotImplementedError

    def set(self, new: V) -> None:
        """Write."""
        raise NotImplementedError


class Map(Generic[K, V]):
    """Values in state by key; reads are copies. `Map(key=str, value=bool)` serves as a set."""

    @overload
    def __init__(self, *, key: type[K], value: type[V], default: V = ...) -> None: ...
    @overload
    def __init__(
        self: Map[K, Any], *, key: type[K], value: object, default: object = ...
    ) -> None: ...
    @overload
    def __init__(
        self: Map[tuple[Any, ...], V], *, key: tuple[object, ...], value: type[V], default: V = ...
    ) -> None: ...
    @overload
    def __init__(
        self: Map[Any, Any], *, key: object, value: object, default: object = ...
    ) -> None: ...
    def __init__(self, *, key: object, value: object, default: object = None) -> None: ...
    def __getitem__(self, key: K) -> V:
        raise NotImplementedError

    def __setitem__(self, key: K, new: V) -> None:
        raise NotImplementedError

    def __contains__(self, key: K) -> bool:
        raise NotImplementedError

    @overload
    def get(self, key: K) -> Any: ...  # noqa: ANN401 - the default of the map, or None
    @overload
    def get(self, key: K, otherwise: D) -> V | D: ...
    def get(self, key: K, otherwise: object = None) -> object:
        """Read, or give `otherwise`."""
        raise NotImplementedError

    def remove(self, key: K) -> None:
        """Delete; nothing happens if there is none."""
        raise NotImplementedError

    def page(self, after: K | None, count: int) -> list[list[value]]:
        """Up to `count` [key, value] above `after`, in the order of encoded keys."""
        raise NotImplementedError


class Event:
    """A declared event; call it with its fields by name."""

    def __init__(self, *, indexed: tuple[str, ...] = (), **fields: object) -> None: ...
    def __call__(self, **fields: value) -> None:
        """Record the event, with exactly its fields."""
        raise NotImplementedError


class _Context:
    sender: bytes
    caller: bytes | str
    this: str
    height: int
    time_ms: int
    transaction_id: bytes
    chain_id: str
    org: str


ctx = _Context()


def init(function: F) -> F:
    """Runs once, when the contract is deployed."""
    return function


def migrate(function: F) -> F:
    """Runs once, when the source is replaced."""
    return function


def view(function: F) -> F:
    """May be called by anyone; changes nothing."""
    return function


@overload
def export(function: F) -> F: ...
@overload
def export(
    *, role: str | tuple[str, ...] = (), org: str = "", reentrant: bool = False
) -> Callable[[F], F]: ...
def export(
    function: F | None = None,
    *,
    role: str | tuple[str, ...] = (),
    org: str = "",
    reentrant: bool = False,
) -> F | Callable[[F], F]:
    """May be called by transactions and contracts, within the restrictions given."""
    raise NotImplementedError


def scheduled(*, every: int) -> Callable[[F], F]:
    """Runs at the end of a block, every so many blocks; takes no parameters."""
    raise NotImplementedError


def predict(model: str, window: bytes | list[int]) -> value:
    """Output of an exact model: a dec; a list of dec if it has several outputs."""
    raise NotImplementedError


def predict_many(model: str, windows: bytes | list[value], count: int = 0) -> list[value]:
    """Outputs for several inputs, end to end in bytes or in a list."""
    raise NotImplementedError


def request(model: str, window: bytes | list[int], callback: str) -> int:
    """Ask for an attested prediction."""
    raise NotImplementedError


def gas_left() -> int:
    """What this activation may still spend."""
    raise NotImplementedError


def decide(
    number: dec | int, threshold: dec | int, margin: dec | int
) -> Literal["ABOVE", "BELOW", "UNDECIDED"]:
    """Compare with a margin in which nothing is decided."""
    raise NotImplementedError


def has_role(account: bytes, role: str) -> bool:
    """Tell whether an active member holds a role."""
    raise NotImplementedError


def is_validator(account: bytes) -> bool:
    """Tell whether the key has a vote now."""
    raise NotImplementedError


def organisation_of(account: bytes) -> str:
    """Organisation of an account, empty if none."""
    raise NotImplementedError


def call(contract: str, method: str, arguments: dict[str, value]) -> value:
    """Enter another contract whose name is known only now."""
    raise NotImplementedError


def try_call(
    contract: str, method: str, arguments: dict[str, value], gas: int
) -> tuple[bool, value]:
    """Enter another contract; its failure undoes only its own changes."""
    raise NotImplementedError


def revert(message: str = "") -> NoReturn:
    """Fail with a message."""
    raise NotImplementedError


fail = revert


def sha256(data: bytes) -> bytes:
    """Plain SHA-256."""
    raise NotImplementedError


def hash256(data: bytes) -> bytes:
    """SHA-256 under the tag of contracts."""
    raise NotImplementedError


def signature_is_valid(key: bytes, message: bytes, signature: bytes) -> bool:
    """Check an Ed25519 signature under the tag of messages."""
    raise NotImplementedError


def hex(data: bytes) -> str:  # noqa: A001 - the language's own name
    """Lower-case hexadecimal text of bytes."""
    raise NotImplementedError


def from_hex(text: str) -> bytes:
    """Bytes of lower-case hexadecimal text."""
    raise NotImplementedError


def encode(anything: value) -> bytes:
    """Canonical bytes of a value."""
    raise NotImplementedError


def decode(data: bytes) -> value:
    """Value of canonical bytes."""
    raise NotImplementedError


def type_of(anything: value) -> str:
    """Name of a value's type."""
    raise NotImplementedError


def floor(number: dec | int) -> int:
    """Largest int not above a number."""
    raise NotImplementedError


def ceil(number: dec | int) -> int:
    """Smallest int not below a number."""
    raise NotImplementedError

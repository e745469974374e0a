"""What a checked source declares: methods, state variables, events, and their types."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Final, Literal, TypeAlias

from andon.core.codec import Dec, Key, Value
from andon.core.errors import InvalidInput
from andon.core.hashing import Digest
from contracts_py.engine import gas
from contracts_py.engine.faults import Fault
from contracts_py.engine.run import Locals, Run, Unset
from contracts_py.engine.storage import pack, state_prefix

Kind: TypeAlias = Literal["private", "init", "export", "view", "migrate", "scheduled"]
PREFIXES_KEPT_MAX: Final = 64

_PLAIN: Final[dict[str, type]] = {
    "bool": bool,
    "int": int,
    "str": str,
    "bytes": bytes,
    "dec": Dec,
    "list": list,
    "tuple": tuple,
    "dict": dict,
}
TYPE_NAMES: Final = frozenset({*_PLAIN, "any"})


@dataclass(frozen=True, slots=True)
class TypeSpec:
    """A type as declared: `name` of the language, or `optional`; `items` are its parameters."""

    name: str
    items: tuple[TypeSpec, ...] = ()
    plain: type | None = field(init=False, compare=False, repr=False, default=None)
    """The host's type that alone fits, None if more has to be looked at."""

    def __post_init__(self) -> None:
        if not self.items:
            object.__setattr__(self, "plain", _PLAIN.get(self.name))

    def __str__(self) -> str:
        if self.name == "optional":
            return f"{self.items[0]} | None"
        if not self.items:
            return self.name
        return f"{self.name}[{', '.join(str(item) for item in self.items)}]"


ANY: Final = TypeSpec("any")


def fits(run: Run, spec: TypeSpec, value: Value) -> bool:
    """Tell whether a value has the declared type; a bool is no int. Pays for what it looks at."""
    name = spec.name
    if not spec.items and name != "any":
        return type(value) is _PLAIN[name]
    if name == "any":
        return True
    if name == "optional":
        return value is None or fits(run, spec.items[0], value)
    if type(value) is not _PLAIN[name]:
        return False
    if type(value) is list:
        run.charge(gas.NODE * len(value))
        return not [item for item in value if not fits(run, spec.items[0], item)]
    if type(value) is tuple:
        run.charge(gas.NODE * len(value))
        if len(value) != len(spec.items):
            return False
        for item_spec, item in zip(spec.items, value, strict=True):
            if not fits(run, item_spec, item):
                return False
        return True
    if type(value) is dict:
        run.charge(2 * gas.NODE * len(value))
        for key, item in value.items():
            if not fits(run, spec.items[0], key) or not fits(run, spec.items[1], item):
                return False
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A parameter; `default` is UNSET if a value must be given."""

    name: str
    spec: TypeSpec
    default: Value | Unset


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """A function of the contract with what may enter it from outside.

    `roles` and `organisation` restrict accounts; empty means no restriction. `every` is the period
    of a scheduled method in blocks, else 0. `gas_bound` is the most its body can cost apart from
    other contracts and sizes of data, None if a loop has no fixed bound.
    """

    name: str
    kind: Kind
    parameters: tuple[Parameter, ...]
    returns: TypeSpec
    roles: tuple[str, ...]
    organisation: str
    is_reentrant: bool
    every: int
    line: int
    gas_bound: int | None
    body: Callable[[Run, Locals], Value]
    names: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        names = tuple([parameter.name for parameter in self.parameters])
        object.__setattr__(self, "names", names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A state variable; `key` is None for a `Var`. `default` is UNSET if reading may fail."""

    name: str
    index: int
    key: TypeSpec | None
    value: TypeSpec
    default: Value | Unset


@dataclass(frozen=True, slots=True)
class EventField:
    """A field of an event; indexed fields are meant for look-up."""

    name: str
    spec: TypeSpec
    is_indexed: bool


@dataclass(frozen=True, slots=True)
class EventSchema:
    """A declared event; `names` are in the order of their encodings, `pick` orders values so.

    `plains` are the types that alone fit the fields, None where more has to be looked at; `pick` is
    None where the order of the fields is that of the encodings.
    """

    name: str
    fields: tuple[EventField, ...]
    plains: tuple[type | None, ...]
    names: tuple[str, ...]
    pick: Callable[[Sequence[Value]], Sequence[Value]] | None
    cost: int
    """Gas of the event besides that of its bytes."""

    @staticmethod
    def make(name: str, fields: tuple[EventField, ...]) -> EventSchema:
        """Declare an event; the order of its map is computed once."""
        keys = sorted((pack(item.name), item.name, place) for place, item in enumerate(fields))
        order = [place for _, _, place in keys]
        return EventSchema(
            name,
            fields,
            tuple([item.spec.plain for item in fields]),
            tuple([each for _, each, _ in keys]),
            None if order == sorted(order) else itemgetter(*order),
            gas.EVENT + gas.NODE_ENCODE * (len(fields) + 1),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """A checked and compiled source."""

    code_hash: Digest
    source_bytes: int
    document: str
    methods: dict[str, Method]
    variables: tuple[Variable, ...]
    events: tuple[EventSchema, ...]
    imports: tuple[str, ...]
    _prefixes: dict[str, tuple[bytes, ...]] = field(default_factory=dict)

    def prefixes(self, name: str) -> tuple[bytes, ...]:
        """State prefixes of the variables under a contract name."""
        found = self._prefixes.get(name)
        if found is None:
            if len(self._prefixes) >= PREFIXES_KEPT_MAX:
                self._prefixes.clear()
            try:
                found = tuple([state_prefix(name, variable.name) for variable in self.variables])
            except InvalidInput:
                raise Fault("E_NO_CONTRACT", "not a contract name") from None
            self._prefixes[name] = found
        return found

    def initialiser(self) -> Method | None:
        """The method marked @init."""
        return self._only("init")

    def migration(self) -> Method | None:
        """The method marked @migrate."""
        return self._only("migrate")

    def _only(self, kind: Kind) -> Method | None:
        for method in self.methods.values():
            if method.kind == kind:
                return method
        return None

    def abi(self) -> dict[Key, Value]:
        """Describe what can be called, read and observed, as an open value."""
        methods: list[Value] = [
            _method_abi(method) for method in self.methods.values() if method.kind != "private"
        ]
        variables: list[Value] = [
            {
                "name": variable.name,
                "key": None if variable.key is None else str(variable.key),
                "value": str(variable.value),
            }
            for variable in self.variables
        ]
        events: list[Value] = [
            {
                "name": event.name,
                "fields": [
                    {"name": item.name, "type": str(item.spec), "indexed": item.is_indexed}
                    for item in event.fields
                ],
            }
            for event in self.events
        ]
        return {
            "code_hash": bytes(self.code_hash),
            "document": self.document,
            "methods": methods,
            "variables": variables,
            "events": events,
            "imports": list(self.imports),
        }


def _method_abi(method: Method) -> Value:
    parameters: list[Value] = [
        {
            "name": parameter.name,
            "type": str(parameter.spec),
            "required": isinstance(parameter.default, Unset),
            "default": None if isinstance(parameter.default, Unset) else parameter.default,
        }
        for parameter in method.parameters
    ]
    return {
        "name": method.name,
        "kind": method.kind,
        "parameters": parameters,
        "returns": str(method.returns),
        "roles": list(method.roles),
        "organisation": method.organisation,
        "every": method.every,
        "gas_bound": method.gas_bound,
    }

"""A contract as an object: `evaluate` reads, `submit` writes (Fabric Gateway's vocabulary).

`load` asks for the contract's interface; then its methods are attributes, `press.report(count=3)`,
whose arguments are checked by name before anything is sent.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from andon.client.async_client import AsyncClient
from andon.client.notebook import rows_html
from andon.client.results import Outcome
from andon.client.sync import Client
from andon.core.codec import Key, Value
from andon.core.errors import Code, Misuse
from andon.core.state_key import ABSENT, Absent


@dataclass(frozen=True, slots=True)
class Method:
    """One method of an interface. `required` and `optional` are names of parameters."""

    name: str
    kind: str
    signature: str
    required: tuple[str, ...]
    optional: tuple[str, ...]

    def check(self, args: Mapping[str, Value]) -> None:
        """Check the names of arguments.

        Raises:
            Misuse: BAD_ARGUMENTS.
        """
        missing = [name for name in self.required if name not in args]
        unknown = [name for name in args if name not in self.required + self.optional]
        if missing or unknown:
            parts = [f"misses {', '.join(missing)}"] if missing else []
            parts += [f"takes no {', '.join(unknown)}"] if unknown else []
            raise Misuse(
                Code.BAD_ARGUMENTS, f"{self.name} {' and '.join(parts)}", hint=self.signature
            )


def methods_of(interface: Value) -> dict[str, Method]:
    """Methods by name out of an interface as `AsyncClient.interface` gives it."""
    found: dict[str, Method] = {}
    for entry in _rows(_named(interface), "methods"):
        name, kind = str(entry.get("name")), str(entry.get("kind"))
        if kind == "init":
            continue
        rows = _rows(entry, "parameters")
        names = {str(row.get("name")): row.get("required") is True for row in rows}
        given = ", ".join(f"{row.get('name')!s}: {row.get('type')!s}" for row in rows)
        found[name] = Method(
            name,
            kind,
            f"{name}({given}) -> {entry.get('returns')!s}",
            tuple(name for name, is_required in names.items() if is_required),
            tuple(name for name, is_required in names.items() if not is_required),
        )
    return found


def _rows(value: Mapping[str, Value], name: str) -> list[dict[str, Value]]:
    listed = value.get(name)
    return [_named(row) for row in (listed if isinstance(listed, list) else [])]


def _named(value: Value) -> dict[str, Value]:
    return {str(key): item for key, item in value.items()} if isinstance(value, dict) else {}


@dataclass(frozen=True, slots=True)
class AsyncContract:
    """One deployed contract behind an `AsyncClient`."""

    client: AsyncClient
    name: str
    methods: Mapping[str, Method] = field(default_factory=dict)

    @classmethod
    async def load(cls, client: AsyncClient, name: str) -> AsyncContract:
        """Ask for the interface, so that methods are attributes.

        Raises:
            InvalidInput: NO_CONTRACT.
        """
        return cls(client, name, methods_of(await client.interface(name)))

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Value | Outcome]]:
        method = _method(self.name, self.methods, name)

        async def run(**args: Value) -> Value | Outcome:
            method.check(args)
            if method.kind == "view":
                return await self.evaluate(name, **args)
            return await self.submit(name, **args)

        return run

    def __dir__(self) -> list[str]:
        return [*object.__dir__(self), *self.methods]

    def _repr_html_(self) -> str:
        return _show(self.name, self.methods)

    async def evaluate(self, method: str, /, **args: Value) -> Value:
        """Run a view."""
        return await self.client.call(self.name, method, args)

    async def submit(self, method: str, /, **args: Value) -> Outcome:
        """Submit a call, wait until it is final, require success."""
        return await self.client.send(self.name, method, **args)

    async def state(self, variable: str, key: Key | Literal[Absent.ABSENT] = ABSENT) -> Value:
        """Read a variable with proof."""
        return await self.client.state(self.name, variable, key)


@dataclass(frozen=True, slots=True)
class Contract:
    """One deployed contract behind a blocking `Client`."""

    client: Client
    name: str
    methods: Mapping[str, Method] = field(default_factory=dict)

    @classmethod
    def load(cls, client: Client, name: str) -> Contract:
        """Ask for the interface, so that methods are attributes.

        Raises:
            InvalidInput: NO_CONTRACT.
        """
        return cls(client, name, methods_of(client.interface(name)))

    def __getattr__(self, name: str) -> Callable[..., Value | Outcome]:
        method = _method(self.name, self.methods, name)

        def run(**args: Value) -> Value | Outcome:
            method.check(args)
            if method.kind == "view":
                return self.evaluate(name, **args)
            return self.submit(name, **args)

        return run

    def __dir__(self) -> list[str]:
        return [*object.__dir__(self), *self.methods]

    def _repr_html_(self) -> str:
        return _show(self.name, self.methods)

    def evaluate(self, method: str, /, **args: Value) -> Value:
        """Run a view."""
        return self.client.call(self.name, method, args)

    def submit(self, method: str, /, **args: Value) -> Outcome:
        """Submit a call, wait until it is final, require success."""
        return self.client.send(self.name, method, **args)

    def state(self, variable: str, key: Key | Literal[Absent.ABSENT] = ABSENT) -> Value:
        """Read a variable with proof."""
        return self.client.state(self.name, variable, key)


def _method(contract: str, methods: Mapping[str, Method], name: str) -> Method:
    # Notebooks and copiers probe for attributes with underscores: they get the usual error.
    if name.startswith("_") or name not in methods:
        raise AttributeError(f"contract {contract} has no method {name}")
    return methods[name]


def _show(name: str, methods: Mapping[str, Method]) -> str:
    rows = [(item.kind, item.signature) for item in methods.values()]
    return rows_html(f"Contract {name}", ("kind", "method"), rows)

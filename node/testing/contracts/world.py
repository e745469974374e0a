"""A world for contracts: accounts, models, time; deploy, call, look, go back.

The engine is the one that nodes run, over a state in memory. What a call reads and writes, its
events and its gas are in what it gives back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from andon.core.codec import Key, Value, decode_value, encode_arguments
from andon.core.state_key import ABSENT, state_key
from consensus.ledger.schedule import RUN_GAS_MAX
from contracts_py.engine import (
    Context,
    Engine,
    Failure,
    Mode,
    Outcome,
    Prediction,
    PredictionFailed,
    Profile,
)
from contracts_py.engine.memory_host import MemoryHost
from contracts_py.library import names, source

GAS = 5_000_000
BLOCK_MS = 1_000
NOBODY = bytes(32)
Fake = Callable[[bytes], int | tuple[int, ...]]
"""A stand-in for a model: from the bytes of a window to integers, one for each output."""


class CallFailed(AssertionError):
    """A call that had to succeed failed; `code`, `line` and `message` say why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(
            f"{failure.code} in {failure.contract}.{failure.method}, line {failure.line}: "
            f"{failure.message}"
        )
        self.code = failure.code
        self.line = failure.line
        self.message = failure.message


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """How a call ended: value or failure, gas, events, keys read and written."""

    value: Value
    failure: Failure | None
    gas_used: int
    events: tuple[tuple[str, str, Value], ...]
    reads: tuple[bytes, ...]
    writes: tuple[bytes, ...]

    @property
    def ok(self) -> bool:
        """Tell whether it succeeded."""
        return self.failure is None

    @property
    def code(self) -> str:
        """Code of the failure, empty if it succeeded."""
        return "" if self.failure is None else self.failure.code


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A moment to which the world can go back."""

    host: MemoryHost
    height: int
    time_ms: int
    due: dict[tuple[str, str], int]


class Contracts:
    """One state and one engine. Contracts of the library are imported by name when needed."""

    def __init__(self, *, profile: Profile | None = None, height: int = 1) -> None:
        self.host = MemoryHost()
        self.height = height
        self.time_ms = 1_000_000
        self._engine = Engine(profile=profile)
        self._due: dict[tuple[str, str], int] = {}

    def member(self, name: str, *roles: str, org: str = "org") -> bytes:
        """Make an account with roles in an organisation; the same name is the same account."""
        account = sha256(name.encode()).digest()
        self.host.roles[account] = roles
        self.host.organisations[account] = org
        return account

    def model(self, alias: str, fake: Fake, *, scale: tuple[int, int] = (1, 1)) -> None:
        """Let `predict(alias, ...)` give what a function says; value = output * scale."""

        def predict(window: bytes) -> Prediction:
            found = fake(window)
            output = found if isinstance(found, tuple) else (found,)
            return Prediction(output, *scale, 1_000)

        self.host.models[alias] = predict

    def real_model(self, alias: str, path: Path) -> None:
        """Let `predict(alias, ...)` run a model package, by the meaning that binds validators."""
        import numpy as np  # noqa: PLC0415 - contracts without models need none of it

        from models.commands import open_package  # noqa: PLC0415
        from models.interpreter import interpret  # noqa: PLC0415

        package = open_package(path)
        manifest = package.manifest

        def predict(window: bytes) -> Prediction:
            if len(window) != manifest.input_bytes:
                text = f"the input has {len(window)} bytes, not {manifest.input_bytes}"
                raise PredictionFailed("E_MODEL_INPUT", text)
            values = np.frombuffer(window, np.int8).reshape(1, *manifest.input_shape)
            output = interpret(package.graph, package.weights, values)[0]
            numbers = tuple(int(number) for number in output.reshape(-1))
            return Prediction(numbers, manifest.scale_num, manifest.scale_den, manifest.gas)

        self.host.models[alias] = predict

    def deploy(
        self, name: str, text: str | bytes | Path, /, *, sender: bytes = NOBODY, **args: Value
    ) -> Called:
        """Put a source (text, or the path of a file) under a name and run its @init.

        Raises:
            ContractRefused: the source is outside the language.
            CallFailed: @init failed; nothing is deployed.
        """
        before = self.host.sources.get(name)
        return self._publish(name, text, before, sender, Mode.INIT, args)

    def upgrade(self, name: str, text: str | bytes | Path, /, *, sender: bytes = NOBODY) -> Called:
        """Replace a source and run its @migrate. Raises as `deploy`."""
        return self._publish(name, text, self.host.sources[name], sender, Mode.MIGRATE, {})

    def use(self, name: str, /, **args: Value) -> Called:
        """Deploy a contract of the standard library under its own name."""
        assert name in names(), f"the library has {', '.join(names())}"
        return self._publish(name, source(name), None, NOBODY, Mode.INIT, args)

    def call(
        self, target: str, /, *, sender: bytes = NOBODY, gas: int = GAS, **args: Value
    ) -> Value:
        """Call contract.method and give its result. Raises CallFailed."""
        called = self.attempt(target, sender=sender, gas=gas, **args)
        if called.failure is not None:
            raise CallFailed(called.failure)
        return called.value

    def attempt(
        self, target: str, /, *, sender: bytes = NOBODY, gas: int = GAS, **args: Value
    ) -> Called:
        """Call contract.method and give how it ended, whatever that is."""
        return self.run(target, args, sender=sender, gas=gas)

    def run(
        self, target: str, args: Mapping[str, Value], *, sender: bytes = NOBODY, gas: int = GAS
    ) -> Called:
        """As `attempt`, for arguments whose names are ours too."""
        contract, _, method = target.partition(".")
        return self._execute(contract, method, sender, gas, Mode.CALL, args)

    def dry_run(
        self, target: str, /, *, sender: bytes = NOBODY, gas: int = GAS, **args: Value
    ) -> Called:
        """As `attempt`, and undo everything: what it would read, write, cost."""
        before = self.snapshot()
        try:
            return self.attempt(target, sender=sender, gas=gas, **args)
        finally:
            self.restore(before)

    def state(self, contract: str, variable: str, *key: Key) -> Value:
        """Value of a `Var`, or of a `Map` entry; None if it is absent."""
        raw = self.host.state.get(state_key(contract, variable, key[0] if key else ABSENT))
        return None if raw is None else decode_value(raw)

    def snapshot(self) -> Snapshot:
        """Remember the present."""
        return Snapshot(_copied(self.host), self.height, self.time_ms, dict(self._due))

    def restore(self, moment: Snapshot) -> None:
        """Return to a moment, as often as wanted."""
        self.host = _copied(moment.host)
        self.height, self.time_ms = moment.height, moment.time_ms
        self._due = dict(moment.due)

    def travel(self, blocks: int = 1, *, block_ms: int = BLOCK_MS) -> list[Called]:
        """Let blocks pass, with what is scheduled in them; gives the runs."""
        runs: list[Called] = []
        for _ in range(blocks):
            self.height += 1
            self.time_ms += block_ms
            ready = sorted((at, *key) for key, at in self._due.items() if at <= self.height)
            for _, contract, method in ready:
                runs.append(
                    self._execute(contract, method, NOBODY, RUN_GAS_MAX, Mode.SCHEDULED, {})
                )
                every = self._engine.check(self.host.sources[contract]).methods[method].every
                self._due[contract, method] = self.height + every
        return runs

    def _publish(  # noqa: PLR0917 - what a deployment is
        self,
        name: str,
        text: str | bytes | Path,
        before: bytes | None,
        sender: bytes,
        mode: Mode,
        args: Mapping[str, Value],
    ) -> Called:
        data = text.read_bytes() if isinstance(text, Path) else text
        encoded = data.encode() if isinstance(data, str) else data
        contract = self._engine.check(encoded)
        self.host.sources[name] = encoded
        called = self._execute(name, "", sender, GAS, mode, args)
        if called.failure is not None:
            del self.host.sources[name]
            if before is not None:
                self.host.sources[name] = before
            raise CallFailed(called.failure)
        self._due = {key: at for key, at in self._due.items() if key[0] != name}
        for method in contract.methods.values():
            if method.kind == "scheduled":
                self._due[name, method.name] = self.height + method.every
        return called

    def _execute(  # noqa: PLR0917 - what a call is
        self,
        contract: str,
        method: str,
        sender: bytes,
        gas: int,
        mode: Mode,
        args: Mapping[str, Value],
    ) -> Called:
        host = self.host
        host.forget()
        context = Context(
            chain_id="test",
            height=self.height,
            time_ms=self.time_ms,
            sender=sender,
            transaction_id=sha256(f"{self.height} {contract} {method}".encode()).digest(),
        )
        outcome = self._engine.execute(
            host, context, contract, method, encode_arguments(args), gas, mode=mode
        )
        return _called(host, outcome)


def _called(host: MemoryHost, outcome: Outcome) -> Called:
    return Called(
        value=decode_value(outcome.result),
        failure=outcome.failure,
        gas_used=outcome.gas_used,
        events=tuple((name, event, decode_value(raw)) for name, event, raw in host.events),
        reads=tuple(dict.fromkeys(host.reads)),
        writes=tuple(host.written()),
    )


def _copied(host: MemoryHost) -> MemoryHost:
    return replace(
        host,
        state=dict(host.state),
        sources=dict(host.sources),
        roles=dict(host.roles),
        organisations=dict(host.organisations),
        models=dict(host.models),
        paused=set(host.paused),
        events=list(host.events),
        reads=[],
        _journal=[],
    )

"""A host with contracts for tests: deploy, call, look."""

from __future__ import annotations

from dataclasses import dataclass, field

from andon.core.codec import Key, Value, decode_value, encode_arguments, encode_value
from andon.core.state_key import state_key
from contracts_py.engine import Context, Engine, Mode, Outcome, Prediction
from contracts_py.engine.memory_host import MemoryHost

GAS = 5_000_000
ALICE, BOB, CAROL = b"a" * 32, b"b" * 32, b"c" * 32


@dataclass
class World:
    """One engine and one state."""

    host: MemoryHost = field(default_factory=MemoryHost)
    engine: Engine = field(default_factory=Engine)
    height: int = 5
    time_ms: int = 1_000

    def put(self, name: str, source: str | bytes, **args: Value) -> World:
        """Deploy a contract and run its @init."""
        self.host.sources[name] = source.encode() if isinstance(source, str) else source
        outcome = self.run(name, "", mode=Mode.INIT, **args)
        assert outcome.ok, outcome.failure
        return self

    def run(
        self,
        name: str,
        method: str,
        /,
        *,
        sender: bytes = ALICE,
        limit: int = GAS,
        mode: Mode = Mode.CALL,
        **args: Value,
    ) -> Outcome:
        """Execute one call."""
        context = Context(
            chain_id="test",
            height=self.height,
            time_ms=self.time_ms,
            sender=sender,
            transaction_id=b"t" * 32,
        )
        encoded = encode_arguments(args)
        return self.engine.execute(self.host, context, name, method, encoded, limit, mode=mode)

    def value(self, name: str, method: str, /, sender: bytes = ALICE, **args: Value) -> Value:
        """Call and give the result."""
        outcome = self.run(name, method, sender=sender, **args)
        assert outcome.ok, outcome.failure
        return decode_value(outcome.result)

    def code(self, name: str, method: str, /, sender: bytes = ALICE, **args: Value) -> str:
        """Call and give the failure's code."""
        before = dict(self.host.state)
        outcome = self.run(name, method, sender=sender, **args)
        assert outcome.failure is not None, decode_value(outcome.result)
        assert outcome.result == encode_value(None)
        assert self.host.state == before
        return outcome.failure.code

    def state(self, name: str, variable: str, *key: Key) -> Value:
        """Read a variable."""
        raw = self.host.state.get(state_key(name, variable, *key))
        return None if raw is None else decode_value(raw)

    def events(self) -> list[tuple[str, Value]]:
        """Names and fields of all events."""
        return [(name, decode_value(fields)) for _, name, fields in self.host.events]


def one(source: str) -> World:
    """A world with contract `c`."""
    return World().put("c", source)


def constant_model(*output: int) -> Prediction:
    """An output scaled by 1/10."""
    return Prediction(output=output, scale_num=1, scale_den=10, gas=1_000)

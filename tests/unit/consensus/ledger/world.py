"""A small chain for tests: keys, a table-like contract engine, a model with a known function."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from andon.core.block import Block, Failure, Header, Justification
from andon.core.codec import Value, decode_value, encode_value
from andon.core.errors import AndonError, Code, InvalidInput
from andon.core.genesis import Genesis, Params, contract_at_genesis
from andon.core.keys import PrivateKey
from andon.core.state_key import state_key
from andon.core.transaction import (
    Call,
    Transaction,
    TransactionBody,
    make_call,
    parse_transaction,
    sign_transaction,
)
from consensus.ledger import (
    Context,
    Description,
    Engine,
    Executed,
    GenesisState,
    Host,
    MemoryState,
    Mode,
    Outcome,
    Parent,
    PredictionFailed,
    Turn,
    build_block,
    genesis_state,
    parent_of,
)

CHAIN = "test-chain"
MODEL = bytes(range(32))
WINDOW_BYTES = 4
CALL_GAS = 1_000
NO_SKIPS = Justification(parent_certificate=None, skips=())
validator_keys = sorted((PrivateKey(bytes([i]) * 32) for i in range(1, 5)), key=lambda k: k.public)
operator = PrivateKey(b"o" * 32)
deployer = PrivateKey(b"d" * 32)
stranger = PrivateKey(b"s" * 32)
_nonces = itertools.count()


class TableEngine:
    """A contract engine without a language: every contract has the same few methods.

    INIT writes `vars` (name -> value) and `maps` (name -> list of [key, value]).
    """

    def __init__(self) -> None:
        self.calls = 0

    gas_schedule = 1

    def check(self, source: bytes) -> Description:
        if not source.startswith(b"table"):
            raise InvalidInput(Code.CONTRACT_REFUSED, "no table", rule="table", line=7)
        return Description()

    def execute(
        self, host: Host, context: Context, call: Call, gas_limit: int, *, mode: Mode
    ) -> Outcome:
        self.calls += 1
        mark = host.checkpoint()
        gas = CALL_GAS
        try:
            self.require(gas <= gas_limit, "E_GAS")
            self.require(host.source(call.contract) is not None, "E_CONTRACT")
            args = decode_value(call.args)
            assert isinstance(args, dict)
            method = call.method if mode in (Mode.CALL, Mode.VIEW) else mode.value
            result = getattr(self, "do_" + method)(host, call.contract, args)
        except PredictionFailed as failed:
            host.rollback(mark)
            failure = Failure(failed.code, call.contract, call.method, 3, failed.message)
            return Outcome(ok=False, result=b"\xc0", gas_used=min(gas, gas_limit), failure=failure)
        return Outcome(ok=True, result=encode_value(result), gas_used=gas, failure=None)

    def require(self, holds: object, code: str) -> None:
        if not holds:
            raise PredictionFailed(code, "refused")

    def do_init(self, host: Host, contract: str, args: dict) -> Value:
        for name, value in args.get("vars", {}).items():
            host.write(state_key(contract, name), encode_value(value))
        for name, entries in args.get("maps", {}).items():
            for key, value in entries:
                host.write(state_key(contract, name, key), encode_value(value))
        return None

    def do_migrate(self, host: Host, contract: str, args: dict) -> Value:
        assert args == {}
        host.write(state_key(contract, "migrated"), encode_value(1))
        return None

    def do_put(self, host: Host, contract: str, args: dict) -> Value:
        value = args["value"]
        encoded = None if value is None else encode_value(value)
        host.write(state_key(contract, "table", args["key"]), encoded)
        host.emit(contract, "put", encode_value({"key": args["key"]}))
        return True

    def do_set(self, host: Host, contract: str, args: dict) -> Value:
        host.write(state_key(contract, args["name"]), encode_value(args["value"]))
        return True

    def do_get(self, host: Host, contract: str, args: dict) -> Value:
        raw = host.read(state_key(contract, "table", args["key"]))
        return None if raw is None else decode_value(raw)

    def do_fail(self, host: Host, contract: str, args: dict) -> Value:
        host.write(state_key(contract, "table", "failed"), encode_value(1))
        raise PredictionFailed("E_REVERT", args.get("message", "as asked"))

    def do_predict(self, host: Host, contract: str, args: dict) -> Value:
        outputs = []
        for window in args["windows"]:
            prediction = host.predict(args["model"], window)
            outputs.append(prediction.output[0])
            host.write(state_key(contract, "table", window), encode_value(prediction.output[0]))
        if args.get("fail"):
            raise PredictionFailed("E_REVERT", "after predicting")
        return outputs


def model_output(window: bytes) -> tuple[int, ...]:
    """What the test model computes."""
    return (sum(window) - 100,)


class ModelSource:
    """Outputs of the test model; counts how often it is asked."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []

    def output(self, model_id: bytes, window: bytes, digest: bytes) -> tuple[int, ...]:
        assert model_id == MODEL
        self.asked.append(window)
        return model_output(window)


def validator_entries(keys: list[PrivateKey]) -> list[Value]:
    return [
        {"key": key.public, "weight": 1, "org": f"org{i}", "address": "", "node_key": key.public}
        for i, key in enumerate(keys)
    ]


def make_genesis(params: Params | None = None) -> Genesis:
    identity: dict[str, Value] = {
        "vars": {"validators": validator_entries(validator_keys), "next": None},
        "maps": {
            "organisations": [["org0", {"name": "org0", "active": True}]],
            "members": [
                [operator.public, {"org": "org0", "roles": ["operator"], "active": True}],
                [deployer.public, {"org": "org0", "roles": ["deployer"], "active": True}],
            ],
        },
    }
    package: Value = {
        "name": "sum",
        "input_bytes": WINDOW_BYTES,
        "outputs": 1,
        "scale_num": 1,
        "scale_den": 10,
        "gas": 500,
        "class": "exact",
        "status": "ACTIVE",
    }
    models: dict[str, Value] = {
        "maps": {"packages": [[MODEL, package]], "aliases": [["sum", MODEL]]}
    }
    return Genesis(
        chain_id=CHAIN,
        time_ms=1_000,
        params=params or Params(),
        contracts=(
            contract_at_genesis("identity", b"table identity", identity),
            contract_at_genesis("models", b"table models", models),
            contract_at_genesis("table", b"table", {}),
        ),
    )


def signed(
    *calls: Call,
    key: PrivateKey = operator,
    expires_height: int = 100,
    gas_limit: int = 1_000_000,
    chain_id: str = CHAIN,
) -> Transaction:
    body = TransactionBody(
        chain_id=chain_id,
        sender=key.public,
        nonce=next(_nonces).to_bytes(8, "big"),
        expires_height=expires_height,
        gas_limit=gas_limit,
        calls=calls,
    )
    return parse_transaction(sign_transaction(body, key))


def put(key: str, value: Value) -> Call:
    return make_call("table", "put", {"key": key, "value": value})


def predict(*windows: bytes, model: str = "sum", fail: bool = False) -> Call:
    return make_call("table", "predict", {"model": model, "windows": list(windows), "fail": fail})


class Chain:
    """A chain in memory that builds, and keeps every executed block."""

    def __init__(
        self,
        params: Params | None = None,
        *,
        genesis: Genesis | None = None,
        engine: Engine | None = None,
    ) -> None:
        self.engine = engine or TableEngine()
        self.source = ModelSource()
        self.genesis: GenesisState = genesis_state(genesis or make_genesis(params), self.engine)
        self.state = MemoryState()
        self.state.apply(self.genesis.executed.overlay)
        self.parent = self._above(self.genesis.header, self.genesis.executed)

    def _above(self, header: Header, executed: Executed) -> Parent:
        above = parent_of(header, executed)
        return Parent(
            header=header,
            hash=above.hash,
            state=self.state,
            validators=above.validators,
            params=above.params,
        )

    def turn(self) -> Turn:
        slot = 1 if self.parent.header.closes_epoch else self.parent.header.slot + 1
        time_ms = self.parent.header.time_ms + 10
        return Turn(slot=slot, justification=NO_SKIPS, time_ms=time_ms)

    def build(
        self, *transactions: Transaction
    ) -> tuple[Block, Executed, Mapping[bytes, AndonError]]:
        return build_block(self.parent, self.turn(), transactions, self.engine, self.source)

    def extend(self, *transactions: Transaction) -> Executed:
        """Build a block, flush it, stand on it; every transaction must be included."""
        block, executed, left_out = self.build(*transactions)
        assert left_out == {}
        self.state.apply(executed.overlay)
        self.parent = self._above(block.header, executed)
        return executed

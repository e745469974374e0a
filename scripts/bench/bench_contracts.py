"""Contracts: transfers a second, a loop's turn, deployment, and nanoseconds a gas by operation.

The last table says how honest the gas schedule is: one gas should cost about the same time
whatever it is spent on. Host in memory, one core, best of several runs of processor time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

from andon.core.codec import Value, encode, encode_arguments
from andon.core.genesis import Genesis, Params, contract_at_genesis
from andon.core.keys import PrivateKey
from andon.core.transaction import (
    Transaction,
    TransactionBody,
    make_call,
    parse_transaction,
    sign_transaction,
)
from consensus.ledger import (
    BlockExecution,
    Environment,
    MemoryState,
    PredictionUnavailable,
    genesis_state,
)
from contracts_py.engine import DEFAULT_LIMITS, SCHEDULE, Context, Engine, Mode
from contracts_py.engine.memory_host import MemoryHost
from contracts_py.engine.run import Run, Totals
from contracts_py.library import source
from node.drivers.contract_engine import ContractEngine
from scripts.bench.timing import best

ALICE, BOB = b"a" * 32, b"b" * 32
GAS = 100_000_000
LEDGER_TRANSFERS = 1_500
GAS_OF_ONE = 200_000
SPREAD_MAX = 3.0
TURNS = 60
ROUNDS = 100
TOKEN = b"""balances = Map(key=bytes, value=int, default=0)
Transferred = Event(source=bytes, target=bytes, amount=int)


@init
def setup(owner: bytes):
    balances[owner] = 1000000000000


@export
def transfer(target: bytes, amount: int) -> bool:
    assert amount > 0, "amount is positive"
    held = balances[ctx.sender]
    assert held >= amount, "too little"
    assert target != ctx.sender, "to another account"
    balances[ctx.sender] = held - amount
    balances[target] += amount
    Transferred(source=ctx.sender, target=target, amount=amount)
    return True


@export
def loop(n: int) -> int:
    s = 0
    for i in range(n):
        s = (s * 31 + i) % 1000003
    return s
"""
OPERATIONS = {
    "add": "x = i + 7",
    "multiply 256 bit": "x = big * 3 // 3",
    "compare": "x = i < 7",
    "and": "x = i > 0 and i < 9",
    "call": "x = g(i)",
    "len": "x = len(words)",
    "list display": "x = [i, i, i]",
    "dict display": "x = {'a': i, 'b': i}",
    "subscript": "x = words[1]",
    "dict item": "x = table['k']",
    "set item": "table['k'] = i",
    "append": "words.append(i)",
    "text concat": "x = text + text",
    "f-string": "x = f'{i} of {i}'",
    "str": "x = str(i)",
    "equal lists": "x = words == words",
    "in list": "x = 99 in words",
    "sorted": "x = sorted(words)",
    "comprehension": "x = [w for w in words]",
    "decimal multiply": "x = half * half",
    "decimal divide": "x = half / 3",
    "sha256": "x = sha256(b'abc')",
    "encode": "x = encode(words)",
    "state read": "x = m['k']",
    "state write": "m['k'] = i",
    "state dict read": "x = d['k']",
    "event": "E(x=i)",
}
SETUP = """m = Map(key=str, value=int)
d = Map(key=str, value=dict)
E = Event(x=int)


def g(n: int) -> int:
    return n


@export
def f(n: int):
    big = 2 ** 250
    half = dec("0.5")
    words = [3, 1, 2, 5, 4, 9, 8, 7]
    table = {"k": 1}
    text = "some text of thirty characters"
    m["k"] = 1
    d["k"] = {"state": "HEALTHY", "count": 7, "height": 9}
    x = 0
    for i in range(n):
        BODY
"""


def main() -> None:
    """Print three tables."""
    engine, host = Engine(), MemoryHost()
    for name in ("identity", "models", "maintenance"):
        text = source(name)
        spent = best(lambda text=text: Engine().check(text), count=1, repeats=20)  # type: ignore[misc] # bound
        print(f"deploy {name:12} {text.count(10):4} lines  {spent / 1e6:7.2f} ms")
    spent = best(lambda: Engine().check(TOKEN), count=1, repeats=20)
    print(f"deploy {'token':12} {TOKEN.count(10):4} lines  {spent / 1e6:7.2f} ms")
    host.sources["token"] = TOKEN
    run(engine, host, "token", "", Mode.INIT, owner=ALICE)
    args = encode_arguments({"target": BOB, "amount": 1})
    context = context_of()

    def transfer() -> None:
        engine.execute(host, context, "token", "transfer", args, GAS, mode=Mode.CALL)
        host.forget()

    for name, action in (
        ("transfer: decode, types, roles, gas, result", transfer),
        ("transfer: body alone, with gas and state", body_of(engine, host, context)),
        ("transfer: transaction with fee and receipt", ledger_transfer()),
    ):
        spent = best(action, count=20, repeats=300)
        print(f"{name:44} {spent / 1000:7.2f} us   {1e9 / spent:9.0f} a second")
    spent = best(lambda: run(engine, host, "token", "loop", n=1_000), count=1, repeats=60)
    print(f"loop       {spent / 1_000:7.0f} ns a turn")
    calibrate(engine)


def body_of(engine: Engine, host: MemoryHost, context: Context) -> Callable[[], object]:
    """A transfer without entering: no decoding, no types of arguments, no result bytes."""
    contract = engine.check(TOKEN)
    method = contract.methods["transfer"]

    def refuse(run: Run, name: str, wanted: str, named: dict[str, Value], gas: int) -> Value:
        raise AssertionError(run, name, wanted, named, gas)

    run = Run(
        host=host, context=context, limits=DEFAULT_LIMITS, totals=Totals(), contract=contract,
        name="token", caller=ALICE, gas=GAS, is_view=False, stack=("token",), depth=0,
        external=refuse, prefixes=contract.prefixes("token"),
    )  # fmt: skip

    def transfer() -> None:
        run.gas, run.totals = GAS, Totals()
        method.body(run, [BOB, 1])
        host.forget()

    return transfer


def ledger_transfer() -> Callable[[], object]:
    """A transaction whose signature is checked: rules, fee, call, events, receipt bytes."""
    key = PrivateKey(ALICE)
    admin: Value = {"account": key.public, "org": "a", "roles": ["admin"]}
    validator: Value = {
        "key": key.public, "weight": 1, "org": "a", "address": "", "node_key": key.public,
    }  # fmt: skip
    contracts = (
        contract_at_genesis("identity", source("identity"), {
            "organisations": ["a"], "members": [admin], "validators": [validator], "policy": {},
        }),
        contract_at_genesis("token", TOKEN, {"owner": key.public}),
    )  # fmt: skip
    engine = ContractEngine()
    state = MemoryState()
    state.apply(genesis_state(Genesis("bench", 1, Params(), contracts), engine).executed.overlay)
    environment = Environment(chain_id="bench", epoch=0, height=1, time_ms=2, params=Params())
    call = make_call("token", "transfer", {"target": BOB, "amount": 1})
    transactions = [
        parse_transaction(sign_transaction(
            TransactionBody("bench", key.public, number.to_bytes(8, "big"), 9, GAS_OF_ONE, (call,)),
            key,
        ))
        for number in range(LEDGER_TRANSFERS)
    ]  # fmt: skip
    execution = [BlockExecution(state, environment, engine, NoOutputs())]
    left: list[Transaction] = []

    def transfer() -> None:
        if not left:
            execution[0] = BlockExecution(state, environment, engine, NoOutputs())
            left.extend(transactions)
        encode(execution[0].apply(left.pop()))

    return transfer


class NoOutputs:
    """No model is asked."""

    def output(self, model_id: bytes, window: bytes, digest: bytes) -> tuple[int, ...]:
        """Refuse."""
        del digest
        raise PredictionUnavailable(model_id, window)


def calibrate(engine: Engine) -> None:
    """Print time and gas of single operations, without the loop around them.

    Processor time, the least of many rounds over all operations: other work on the machine comes
    and goes, and would otherwise fall on some of them.
    """
    bodies = {"nothing": "pass", **OPERATIONS}
    hosts, used = dict[str, MemoryHost](), dict[str, int]()
    for name, body in bodies.items():
        hosts[name] = MemoryHost()
        hosts[name].sources["c"] = SETUP.replace("BODY", body).encode()
        used[name] = run(engine, hosts[name], "c", "f", n=TURNS)
    spent = dict.fromkeys(bodies, float("inf"))
    for _ in range(ROUNDS):
        for name, host in hosts.items():
            began = time.perf_counter_ns()
            run(engine, host, "c", "f", n=TURNS)
            spent[name] = min(spent[name], time.perf_counter_ns() - began)
    print(f"\ngas schedule {SCHEDULE}\n{'operation':18} {'ns':>9} {'gas':>8} {'ns/gas':>7}")
    prices: list[float] = []
    for name in OPERATIONS:
        nanoseconds = (spent[name] - spent["nothing"]) / TURNS
        amount = (used[name] - used["nothing"]) / TURNS
        prices.append(nanoseconds / amount)
        print(f"{name:18} {nanoseconds:9.0f} {amount:8.0f} {nanoseconds / amount:7.2f}")
    middle, spread = median(prices), max(prices) / min(prices)
    verdict = "within" if spread <= SPREAD_MAX else "above"
    print(f"dearest to cheapest gas: {spread:.2f}, {verdict} {SPREAD_MAX:.0f}")
    print(f"dearest to median: {max(prices) / middle:.2f}")
    print(f"median to cheapest: {middle / min(prices):.2f}")


def run(
    engine: Engine,
    host: MemoryHost,
    contract: str,
    method: str,
    mode: Mode = Mode.CALL,
    **args: Value,
) -> int:
    """Execute one call that must succeed; gives its gas."""
    outcome = engine.execute(
        host, context_of(), contract, method, encode_arguments(args), GAS, mode=mode
    )
    host.forget()
    assert outcome.ok, outcome.failure
    return outcome.gas_used


def context_of() -> Context:
    """A context of no interest."""
    return Context(chain_id="bench", height=1, time_ms=1, sender=ALICE, transaction_id=b"t" * 32)


if __name__ == "__main__":
    main()

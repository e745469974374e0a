"""Golden receipts: sources, calls, and the gas, state and encoded receipt that every Python gives.

`tests/hostile/receipts.py` replays them on interpreters that have none of our packages.
"""

from __future__ import annotations

from andon.core.block import Event, Failure, Receipt
from andon.core.codec import Value, encode, encode_arguments, encode_value
from andon.core.hashing import Domain, digest
from contracts_py.engine import Context, Engine, Mode, Outcome
from contracts_py.engine.memory_host import MemoryHost
from contracts_py.library import source
from node.testing.oracle.programs import integer_program, value_program

ACCOUNT, OTHER = b"a" * 32, b"b" * 32
TRANSACTION = b"t" * 32
GAS_LIMIT = 300_000
PROGRAMS = 40
KINDS = ("assert", "revert", "zero", "key", "overflow", "type", "depth", "gas")
Entry = dict[str, object]

VALUES = """kept = Map(key=tuple, value=any)
Told = Event(what=str, amount=dec, data=bytes, rows=list, indexed=("what",))
HALF = dec("0.5")


@export
def everything(n: int, text: str, raw: bytes, rows: list) -> dict:
    share = dec(n) / 3
    kept[(text, n)] = {"share": share, "raw": raw, "rows": rows, "none": None, "yes": True}
    kept[(text, -n)] = (n, [text, (raw,)], {})
    Told(what=text, amount=share * HALF, data=sha256(raw), rows=rows)
    found = kept[(text, n)]
    rest = {"share": found["share"], "text": f"{n} of {text}"}
    return {"n": -n, "big": 2 ** 255 - n, "page": kept.page(None, 5), "rest": rest}


@export
def fails(kind: str) -> int:
    kept[(kind, 1)] = 1
    Told(what=kind, amount=HALF, data=b"", rows=[])
    if kind == "assert":
        assert kind == "other", "x" * 300
    if kind == "revert":
        revert("no")
    if kind == "zero":
        return 1 // 0
    if kind == "key":
        return kept[("nothing", 0)]
    if kind == "overflow":
        return 2 ** 255 * 2
    if kind == "type":
        return 1 + "1"
    if kind == "depth":
        return deeper(0)
    while True:
        kept[(kind, 1)] = 2


def deeper(n):
    return deeper(n + 1)
"""
OUTER = """import inner
@export
def both(n: int) -> list:
    first = inner.add(n=n)
    second = try_call("inner", "add", {"n": -1}, 50000)
    third = try_call("inner", "burn", {}, 20000)
    return [first, second, third, gas_left() > 0]
"""
INNER = """total = Var(int, default=0)
Added = Event(n=int, by=any)
@export
def add(n: int) -> int:
    total.set(total.get() + n)
    Added(n=n, by=ctx.caller)
    assert n >= 0, "no negative numbers"
    return total.get()
@export
def burn():
    while True:
        total.set(0)
"""


def receipt_vectors() -> dict[str, list[Entry]]:
    """Chains of calls: each of one world, a receipt a call."""
    worlds: list[tuple[str, dict[str, str], list[tuple[str, str, dict[str, Value]]]]] = [
        ("values", {"c": VALUES}, [
            ("c", "everything", {"n": 7, "text": "abc", "raw": b"\x00\xff", "rows": [1, "a", []]}),
            ("c", "everything", {"n": 2**64, "text": "", "raw": b"", "rows": []}),
            ("c", "everything", {"n": True, "text": "", "raw": b"", "rows": []}),
            *[_failing(kind) for kind in KINDS],
            ("c", "nothing", {}),
        ]),
        ("calls", {"outer": OUTER, "inner": INNER}, [("outer", "both", {"n": 5})] * 2),
        ("scores", {"scores": source("scores").decode()}, [
            ("scores", "add", {"kind": "model", "name": "rul", "amounts": {"hits": 1}}),
            ("scores", "of", {"contract": "c", "kind": "model", "name": "rul"}),
        ]),
    ]  # fmt: skip
    for seed in range(PROGRAMS):
        program = integer_program(seed) if seed % 2 else value_program(seed)
        calls: dict[str, Value] = {"a": program.a, "b": program.b}
        worlds.append((f"program {seed}", {"c": program.source}, [("c", "f", calls)] * 2))
    return {"receipts": [_world(*each) for each in worlds]}


def _failing(kind: str) -> tuple[str, str, dict[str, Value]]:
    return "c", "fails", {"kind": kind}


def _world(
    name: str, sources: dict[str, str], calls: list[tuple[str, str, dict[str, Value]]]
) -> Entry:
    engine = Engine()
    host = MemoryHost(sources={key: text.encode() for key, text in sources.items()})
    rows: list[Entry] = []
    for contract, method, named in calls:
        args = encode_arguments(named)
        host.forget()
        outcome = engine.execute(host, context(), contract, method, args, GAS_LIMIT, mode=Mode.CALL)
        rows.append({
            "contract": contract,
            "method": method,
            "args": args.hex(),
            "gas_used": outcome.gas_used,
            "result": outcome.result.hex(),
            "receipt": encode(receipt(outcome, host)).hex(),
            "state_digest": state_digest(host),
        })  # fmt: skip
    return {"name": name, "sources": sources, "calls": rows}


def context() -> Context:
    """What every call of the vectors sees."""
    return Context(
        chain_id="vectors", height=7, time_ms=1_000, sender=ACCOUNT, transaction_id=TRANSACTION
    )


def receipt(outcome: Outcome, host: MemoryHost) -> Receipt:
    """The receipt of a transaction with this one call, its own price left out."""
    found = outcome.failure
    failure: Failure | None = None
    if found is not None:
        failure = Failure(found.code, found.contract, found.method, found.line, found.message)
    events = tuple(Event(contract=c, name=n, fields=f) for c, n, f in host.events)
    return Receipt(
        transaction_id=TRANSACTION,
        ok=outcome.ok,
        gas_used=outcome.gas_used,
        results=(outcome.result,) if outcome.ok else (),
        failure=failure,
        events=events,
    )


def state_digest(host: MemoryHost) -> str:
    """Over all entries, ascending."""
    rows: Value = [[key, value] for key, value in sorted(host.state.items())]
    return digest(Domain.SOURCE, encode_value(rows)).hex()

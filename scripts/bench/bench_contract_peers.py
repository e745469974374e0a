"""The same transfer and loop in other embeddable Pythons, where they are installed.

RestrictedPython and Starlark (starlark-pyo3) are no dependencies of Andon; what is absent is said.
They meter neither gas nor memory from Python, and keep no state of their own: a dict stands for it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable

from andon.core.codec import encode_arguments
from contracts_py.engine import Engine, Mode
from contracts_py.engine.memory_host import MemoryHost
from scripts.bench.bench_contracts import ALICE, BOB, GAS, TOKEN, best, context_of, run

TURNS = 1_000
PEER = """
def transfer(balances, sender, target, amount):
    if not amount > 0:
        return False
    held = balances.get(sender, 0)
    if held < amount or sender == target:
        return False
    balances[sender] = held - amount
    balances[target] = balances.get(target, 0) + amount
    return True

def loop(n):
    s = 0
    for i in range(n):
        s = (s * 31 + i) % 1000003
    return s
"""


def main() -> None:
    """Print one line a system."""
    print(f"{'system':18} {'transfer us':>12} {'loop ns/turn':>13}  metered")
    for name, measure, metered in (
        ("andon", _andon, "gas and memory, exact"),
        ("CPython exec", _native, "no"),
        ("RestrictedPython", _restricted, "no"),
        ("starlark-pyo3", _starlark, "no"),
    ):
        try:
            transfer_ns, turn_ns = measure()
        except ImportError:
            print(f"{name:18} {'absent':>12}")
            continue
        print(f"{name:18} {transfer_ns / 1000:12.2f} {turn_ns:13.0f}  {metered}")


def _times(transfer: Callable[[], object], loop: Callable[[], object]) -> tuple[float, float]:
    return best(transfer, count=20, repeats=200), best(loop, count=1, repeats=40) / TURNS


def _andon() -> tuple[float, float]:
    engine, host = Engine(), MemoryHost()
    host.sources["token"] = TOKEN
    run(engine, host, "token", "", Mode.INIT, owner=ALICE)
    args, context = encode_arguments({"target": BOB, "amount": 1}), context_of()

    def transfer() -> None:
        engine.execute(host, context, "token", "transfer", args, GAS, mode=Mode.CALL)
        host.forget()

    return _times(transfer, lambda: run(engine, host, "token", "loop", n=TURNS))


def _native() -> tuple[float, float]:
    names: dict[str, Callable[..., object]] = {}
    exec(PEER, names)  # noqa: S102 - the measure of what guards cost
    balances = {ALICE: 10**12}
    return _times(lambda: names["transfer"](balances, ALICE, BOB, 1), lambda: names["loop"](TURNS))


def _restricted() -> tuple[float, float]:
    restricted = importlib.import_module("RestrictedPython")
    guards = importlib.import_module("RestrictedPython.Guards")
    evaluation = importlib.import_module("RestrictedPython.Eval")
    names: dict[str, Callable[..., object]] = {
        "__builtins__": guards.safe_builtins,
        "_getattr_": getattr,
        "_getitem_": evaluation.default_guarded_getitem,
        "_getiter_": evaluation.default_guarded_getiter,
        "_write_": lambda target: target,
    }
    exec(restricted.compile_restricted(PEER, "peer", "exec"), names)  # noqa: S102 - its own way
    balances = {"a": 10**12}
    return _times(lambda: names["transfer"](balances, "a", "b", 1), lambda: names["loop"](TURNS))


def _starlark() -> tuple[float, float]:
    starlark = importlib.import_module("starlark")
    module = starlark.Module()
    starlark.eval(module, starlark.parse("peer.star", PEER), starlark.Globals.standard())
    frozen = module.freeze()
    # Values are converted at each call: the callee changes its own copy of the balances.
    balances = {"a": 10**12, "b": 0}
    return _times(
        lambda: frozen.call("transfer", balances, "a", "b", 1), lambda: frozen.call("loop", TURNS)
    )


if __name__ == "__main__":
    main()

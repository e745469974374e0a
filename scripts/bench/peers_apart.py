"""The peers of `bench_contract_peers`, measured in an environment that has them; started by it.

Prints one line of JSON a system: microseconds of a transfer, nanoseconds of a turn of the loop and
how it meters, or why there are none. Imports nothing of Andon, which that environment lacks.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable

from scripts.bench import peer_evm
from scripts.bench.timing import best

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
Case = tuple[Callable[[], object], Callable[[], object], str]
"""A transfer, a loop, how they are metered."""


def main() -> None:
    """Print one line a system."""
    for name, make, turns in (
        ("CPython exec", _native, TURNS),
        ("RestrictedPython", _restricted, TURNS),
        ("starlark-pyo3", _starlark, TURNS),
        ("py-evm", peer_evm.evm, peer_evm.TURNS),
    ):
        row: dict[str, object] = {"name": name}
        try:
            transfer, loop, metered = make()
        except ImportError as absent:
            row["absent"] = str(absent)
        else:
            row |= {
                "transfer_us": best(transfer, count=20, repeats=40) / 1000,
                "turn_ns": best(loop, count=1, repeats=20) / turns,
                "metered": metered,
            }
        print(json.dumps(row), flush=True)


def _native() -> Case:
    names: dict[str, Callable[..., object]] = {}
    exec(PEER, names)  # noqa: S102 - the measure of what guards cost
    balances = {"a": 10**12}
    return (
        lambda: names["transfer"](balances, "a", "b", 1),
        lambda: names["loop"](TURNS),
        "no",
    )


def _restricted() -> Case:
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
    return (
        lambda: names["transfer"](balances, "a", "b", 1),
        lambda: names["loop"](TURNS),
        "no",
    )


def _starlark() -> Case:
    starlark = importlib.import_module("starlark")
    module = starlark.Module()
    starlark.eval(module, starlark.parse("peer.star", PEER), starlark.Globals.standard())
    frozen = module.freeze()
    # Values are converted at each call: the callee changes its own copy of the balances.
    balances = {"a": 10**12, "b": 0}
    return (
        lambda: frozen.call("transfer", balances, "a", "b", 1),
        lambda: frozen.call("loop", TURNS),
        "no",
    )


if __name__ == "__main__":
    main()

"""One generated program on the engine, on CPython and on the walker: all must agree.

For integer programs the walker gives the gas. For value programs gas is checked by its meaning:
the gas that a call reports is enough for it, one less is not, and a cold engine charges the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from andon.core.codec import Value, decode_value, encode_arguments
from contracts_py.engine import Context, Engine, Mode, Outcome, gas
from contracts_py.engine.memory_host import MemoryHost
from node.testing.oracle.programs import Program, integer_program, value_program
from node.testing.oracle.walker import GAS_MAX, Stopped, by_walker

GAS_LIMIT: Final = 5_000_000
NOTHING_RESULT: Final = gas.NODE_ENCODE + 1
"""A method that does nothing pays for encoding None; an int result pays nothing."""

_CONTEXT: Final = Context(
    chain_id="oracle", height=1, time_ms=1, sender=b"a" * 32, transaction_id=b"t" * 32
)
_CODES: Final[dict[type[Exception], str]] = {
    ZeroDivisionError: "E_ZERO",
    IndexError: "E_INDEX",
    KeyError: "E_KEY",
    AssertionError: "E_ASSERT",
    ValueError: "E_RANGE",
}
INTEGER_BOUND: Final = 2**256


class Differs(Exception):
    """Two executors disagree about a program."""

    def __init__(self, program: Program, what: str) -> None:
        super().__init__(f"{what}\n{program.source}\nf(a={program.a}, b={program.b})")


def compare(engine: Engine, seed: int) -> str:
    """Run the program of a seed everywhere; gives how it ended: `value` or a code.

    Raises:
        Differs: with the program and what the executors say.
    """
    if seed % 2:
        return compare_integers(engine, integer_program(seed))
    return compare_values(engine, value_program(seed))


def compare_integers(engine: Engine, program: Program) -> str:
    """Compare value, failure and gas with the walker, and the value with CPython."""
    try:
        walked, spent = by_walker(program.source, program.a, program.b)
    except Stopped:
        # It may never end: then the engine's gas must.
        if _code(_run(engine, program, GAS_MAX)) != "E_OOG":
            raise Differs(program, "the engine runs on where gas is spent") from None
        return "E_OOG"
    outcome = _run(engine, program, GAS_LIMIT)
    found = _found(outcome)
    if found != walked:
        raise Differs(program, f"engine {found!r}, walker {walked!r}")
    if found != "E_OVERFLOW" and found != by_cpython(program):
        raise Differs(program, f"engine {found!r}, CPython {by_cpython(program)!r}")
    counted = outcome.gas_used - _entry_gas(engine, program)
    if counted != spent:
        raise Differs(program, f"gas: engine {counted}, walker {spent}")
    return _code(outcome) or "value"


def compare_values(engine: Engine, program: Program) -> str:
    """Compare the value with CPython, and gas with what it means."""
    outcome = _run(engine, program, GAS_LIMIT)
    found = _found(outcome)
    if _code(outcome) not in ("E_OVERFLOW", "E_OOG", "E_SIZE"):
        wanted = by_cpython(program)
        if found != wanted or not _same_kinds(found, wanted):
            raise Differs(program, f"engine {found!r}, CPython {wanted!r}")
    if _run(Engine(), program, GAS_LIMIT) != outcome:
        raise Differs(program, "a cold engine gives another outcome")
    if _run(engine, program, outcome.gas_used) != outcome:
        raise Differs(program, "the reported gas is not enough")
    short = _run(engine, program, outcome.gas_used - 1)
    if _code(short) != "E_OOG" or short.gas_used != outcome.gas_used - 1:
        raise Differs(program, "one gas less does not end in E_OOG")
    return _code(outcome) or "value"


def by_cpython(program: Program) -> Value | str:
    """The value by exec of the same source, or the code that its exception stands for."""
    names: dict[str, Callable[..., Value]] = {"export": lambda function: function, "zip": _zip}
    exec(compile(program.source, "generated", "exec", dont_inherit=True, optimize=0), names)  # noqa: S102 - own source
    try:
        return names["f"](program.a, program.b)
    except tuple(_CODES) as error:
        return _CODES[type(error)]


def _zip(left: list[Value], right: list[Value]) -> Value:
    """The language pairs lists of one length only."""
    return list(zip(left, right, strict=True))


def _same_kinds(left: Value, right: Value) -> bool:
    """Python takes True for 1; contracts do not."""
    if type(left) is not type(right):
        return False
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return all(_same_kinds(one, two) for one, two in zip(left, right, strict=True))
    if isinstance(left, dict) and isinstance(right, dict):
        return all(_same_kinds(left[key], right[key]) for key in left)
    return True


def _run(engine: Engine, program: Program, gas_limit: int) -> Outcome:
    host = MemoryHost(sources={"c": program.source.encode()})
    arguments = encode_arguments({"a": program.a, "b": program.b})
    return engine.execute(host, _CONTEXT, "c", "f", arguments, gas_limit, mode=Mode.CALL)


def _code(outcome: Outcome) -> str:
    return "" if outcome.failure is None else outcome.failure.code


def _found(outcome: Outcome) -> Value | str:
    return _code(outcome) or decode_value(outcome.result)


def _entry_gas(engine: Engine, program: Program) -> int:
    """What entering costs: the same arguments into a method that does nothing."""
    empty = "@export\ndef f(a: int, b: int) -> any:\n    pass\n"
    padded = empty + "#" * max(0, len(program.source) - len(empty))
    used = _run(engine, Program(padded, program.a, program.b), GAS_LIMIT).gas_used
    return used - gas.STATEMENT - NOTHING_RESULT

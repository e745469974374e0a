"""How contracts fail: a refusal of the source, or a fault while it runs.

Both are deterministic: no text of the Python version, no address, no time.
"""

from __future__ import annotations

from andon.core.errors import Code, InvalidInput


class ContractRefused(InvalidInput):
    """The source is outside the language. `fix` says how to write it instead."""

    def __init__(self, rule: str, message: str, *, line: int, column: int, fix: str = "") -> None:
        where = f"line {line}, column {column}: " if line else ""
        super().__init__(
            Code.CONTRACT_REFUSED,
            f"{where}{message}",
            hint=fix,
            rule=rule,
            line=line,
            column=column,
            fix=fix,
        )
        self.rule = rule
        self.line = line
        self.column = column
        self.fix = fix


class Fault(Exception):
    """A contract's failure on its way out; line, method and contract are filled in passing."""

    __slots__ = ("code", "contract", "line", "message", "method")

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code)
        self.code = code
        self.message = message
        self.line = 0
        self.method = ""
        self.contract = ""


def out_of_gas() -> Fault:
    """Give the fault of a spent gas limit."""
    return Fault("E_OOG", "out of gas")

"""One activation of a contract: its gas, its memory, its place among the others on the stack."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Final, TypeAlias, Union

import msgspec

from andon.core.codec import Value
from contracts_py.engine import gas
from contracts_py.engine.faults import Fault, out_of_gas
from contracts_py.engine.limits import Limits
from contracts_py.engine.ports import Context, Host

if TYPE_CHECKING:
    from contracts_py.engine.contract import Contract


class Unset(Enum):
    """The type of `UNSET`: a local that no statement has assigned yet."""

    UNSET = "unset"


UNSET: Final = Unset.UNSET

Locals: TypeAlias = list[Union[Value, Unset]]
Expression: TypeAlias = "Callable[[Run, Locals], Value]"
Statement: TypeAlias = "Callable[[Run, Locals], int]"

_SHIFT: Final = gas.BYTES_PER_GAS_SHIFT
_FRESH: Final = gas.FRESH
NEXT: Final = 0
BREAK: Final = 1
CONTINUE: Final = 2
RETURN: Final = 3


class Totals(msgspec.Struct, eq=False, gc=False):
    """What one execution has used over all its activations, never given back."""

    memory_bytes: int = 0
    written_bytes: int = 0
    events: int = 0
    events_bytes: int = 0


External: TypeAlias = "Callable[[Run, str, str, dict[str, Value], int], Value]"
"""(caller, contract, method, arguments, gas slice) -> result; raises the callee's Fault."""


class Run(msgspec.Struct, eq=False, gc=False):
    """What closures get besides their locals; `prefixes` are those of the contract's variables.

    Nothing that it holds leads back to it, so the collector need not watch one for every call.
    """

    host: Host
    context: Context
    limits: Limits
    totals: Totals
    external: External
    contract: Contract
    name: str
    prefixes: tuple[bytes, ...]
    stack: tuple[str, ...]
    is_view: bool
    caller: str | bytes
    gas: int
    depth: int = 0
    result: Value = None

    def charge(self, amount: int) -> None:
        """Pay gas before the work. Raises Fault E_OOG."""
        self.gas -= amount
        if self.gas < 0:
            raise out_of_gas()

    def allocate(self, size_bytes: int) -> None:
        """Pay for memory before it is taken. Raises Fault E_OOG or E_SIZE."""
        self.gas -= size_bytes >> _SHIFT
        if self.gas < 0:
            raise out_of_gas()
        totals = self.totals
        totals.memory_bytes += size_bytes
        if totals.memory_bytes > self.limits.memory_bytes_max:
            raise _exhausted(self.limits)

    def remember(self, size_bytes: int) -> None:
        """Count memory whose gas is paid. Raises Fault E_SIZE."""
        totals = self.totals
        totals.memory_bytes += size_bytes
        if totals.memory_bytes > self.limits.memory_bytes_max:
            raise _exhausted(self.limits)

    def text(self, length: int) -> None:
        """Pay for a text or bytes of this length. Raises Fault E_SIZE above the limit."""
        limits = self.limits
        if length > limits.text_length_max:
            raise Fault("E_SIZE", f"text of more than {limits.text_length_max}")
        # As `allocate` does: a frame less in half of all operations on text.
        size_bytes = gas.TEXT_BYTES + length
        self.gas -= _FRESH + (size_bytes >> _SHIFT)
        if self.gas < 0:
            raise out_of_gas()
        totals = self.totals
        totals.memory_bytes += size_bytes
        if totals.memory_bytes > limits.memory_bytes_max:
            raise _exhausted(limits)

    def elements(self, count: int) -> None:
        """Pay for a list or tuple of this length."""
        self.allocate(gas.LIST_BYTES + gas.ELEMENT_BYTES * count)


def _exhausted(limits: Limits) -> Fault:
    return Fault("E_SIZE", f"more than {limits.memory_bytes_max} bytes of memory in one call")

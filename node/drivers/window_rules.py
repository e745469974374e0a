"""Which argument of a method holds a model's inputs: learnt from dry runs, used instead of them.

A dry run executes a transaction only to see which predictions it asks for. Most senders repeat
themselves: one argument is the inputs of one model, end to end. Once that was seen LEARNT_AFTER
times of a sender and a method, it is read off the arguments; every RECHECK_EVERY-th time the dry
run decides again. A rule is a hint: a block that lacks an output has it computed by a real dry run,
and whatever is wrong costs time, never a verdict. It is kept by sender, so that nobody has others
compute what his own transactions were never seen to pay for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from andon.core.codec import Value, decode_value
from andon.core.errors import InvalidInput
from andon.core.transaction import Call, Transaction
from consensus.ledger.directory import text_map

LEARNT_AFTER = 2
RECHECK_EVERY = 64
RULES_COUNT_MAX = 4096
WINDOWS_MAX = 1024
"""What one call may ask for at most; more is left to the dry run."""
_REFUSED = b"\x80"
"""An int8 that no model takes: a worker would refuse its whole batch."""

Question = tuple[bytes, bytes]
_Place = tuple[bytes, str, str]


@dataclass(slots=True)
class _Rule:
    model_id: bytes
    argument: str
    size: int
    seen: int = 1
    used: int = 0


class WindowRules:
    """The rules of one node. The event loop reads, the execution thread learns."""

    def __init__(self) -> None:
        self._rules: dict[_Place, _Rule] = {}

    def __len__(self) -> int:
        return len(self._rules)

    def questions(self, transaction: Transaction) -> list[Question] | None:
        """Give what the transaction will ask for; None if a dry run has to find out."""
        call = _only_call(transaction)
        rule = None if call is None else self._rules.get(_place(transaction, call))
        if call is None or rule is None or rule.seen < LEARNT_AFTER:
            return None
        rule.used += 1
        if rule.used % RECHECK_EVERY == 0:
            return None
        given = _arguments(call).get(rule.argument)
        if not isinstance(given, bytes) or not given or len(given) % rule.size:
            return None
        if len(given) > WINDOWS_MAX * rule.size or _REFUSED in given:
            return None
        size, model_id = rule.size, rule.model_id
        return [(model_id, given[at : at + size]) for at in range(0, len(given), size)]

    def learn(self, transaction: Transaction, asked: Sequence[Question]) -> None:
        """Compare with what a dry run asked for, in its order; nothing ends the rule."""
        call = _only_call(transaction)
        if call is None:
            return
        place = _place(transaction, call)
        rule, found = self._rules.get(place), _rule(call, asked)
        if found is None:
            self._rules.pop(place, None)
        elif rule is not None and (rule.model_id, rule.argument, rule.size) == (
            found.model_id,
            found.argument,
            found.size,
        ):
            rule.seen += 1
        else:
            if len(self._rules) >= RULES_COUNT_MAX:
                self._rules.clear()
            self._rules[place] = found


def _only_call(transaction: Transaction) -> Call | None:
    calls = transaction.body.calls
    return calls[0] if len(calls) == 1 else None


def _place(transaction: Transaction, call: Call) -> _Place:
    return transaction.body.sender, call.contract, call.method


def _arguments(call: Call) -> dict[str, Value]:
    try:
        return text_map(decode_value(call.args))
    except InvalidInput:
        return {}


def _rule(call: Call, asked: Sequence[Question]) -> _Rule | None:
    """Find the argument that is the inputs asked for, end to end."""
    if not asked:
        return None
    model_id, first = asked[0]
    if not first or any(model != model_id or len(item) != len(first) for model, item in asked):
        return None
    joined = b"".join(window for _, window in asked)
    names = [name for name, item in _arguments(call).items() if item == joined]
    return _Rule(model_id, names[0], len(first)) if len(names) == 1 else None

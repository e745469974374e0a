"""`andon assert`: wait for a condition on nodes, for scripts and CI; exit 8 shows what was seen."""

from __future__ import annotations

import operator
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

import click

from andon.cli.context import EXIT_ASSERTION, Context, end
from andon.cli.status import Row, ask_all
from andon.core.errors import Code, InvalidInput
from andon.core.json_value import Json

_FORM = re.compile(
    r"\s*(?P<field>[a-z_]+)\s*(?P<sign>>=|<=|==|!=|>|<)\s*(?P<value>[A-Za-z0-9_.]+)"
    r"(?:\s+within\s+(?P<seconds>[0-9]+(?:\.[0-9]+)?)\s*s)?"
    r"(?:\s+on\s+(?P<where>all|any))?\s*\Z"
)
_SIGNS: dict[str, Callable[[int, int], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class Condition:
    """A parsed condition over a field of the status."""

    field: str
    sign: str
    value: str
    seconds: float
    on_all: bool

    def holds(self, row: Row) -> bool:
        """Tell whether one node's answer satisfies it; no answer never does."""
        if row.reply is None or self.field not in row.reply:
            return False
        seen = text_of(row.reply[self.field])
        if self.sign in ("==", "!="):
            return (seen == self.value) == (self.sign == "==")
        if not seen.isdecimal() or not self.value.isdecimal():
            return False
        return _SIGNS[self.sign](int(seen), int(self.value))


def parse_condition(text: str) -> Condition:
    """Read `field >= value [within N s] [on all|any]`.

    Raises:
        InvalidInput: BAD_ARGUMENTS.
    """
    match = _FORM.match(text)
    if match is None:
        raise InvalidInput(
            Code.BAD_ARGUMENTS, f"{text!r} is no condition", hint="'height >= 10 within 30s on all'"
        )
    return Condition(
        field=match["field"],
        sign=match["sign"],
        value=match["value"],
        seconds=float(match["seconds"] or 0),
        on_all=match["where"] != "any",
    )


@click.command("assert")
@click.argument("conditions", nargs=-1, required=True)
@click.pass_obj
def assert_command(context: Context, *, conditions: tuple[str, ...]) -> None:
    """Wait until each of CONDITIONS holds on all (or any) nodes; exit 8 if one does not."""
    for text in conditions:
        condition = parse_condition(text)
        deadline = time.monotonic() + condition.seconds
        while True:
            rows = ask_all(context.endpoints())
            held = [condition.holds(row) for row in rows]
            if all(held) if condition.on_all else any(held):
                break
            if time.monotonic() >= deadline:
                _fail(context, text, condition, rows)
            time.sleep(POLL_S)
    context.show({"ok": True}, "ok")


def text_of(value: Json) -> str:
    """A status field as text; booleans are true and false."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _fail(context: Context, text: str, condition: Condition, rows: list[Row]) -> None:
    seen: dict[str, Json] = {
        row.url: None if row.reply is None else row.reply.get(condition.field) for row in rows
    }
    lines = [f"  {url}: {'no answer' if value is None else value}" for url, value in seen.items()]
    context.show(
        {"ok": False, "condition": text, "seen": seen},
        "\n".join([f"does not hold: {text}", *lines]),
    )
    end(EXIT_ASSERTION)

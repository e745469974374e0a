# ruff: noqa: S311 - draws programs, not secrets
"""Random programs of the contract language that are Python too, with the same meaning.

`integer_program` stays in the family that the walker knows. `value_program` adds text, bytes,
lists, dicts, tuples, comprehensions, own functions and failures on purpose; it avoids what the
language defines differently: a bool is no int, texts of values are narrower, no floats.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

NAMES: Final = ("a", "b", "c")
INTEGER_OPERATORS: Final = ("+", "-", "*", "//", "%", "&", "|", "^")
COMPARISONS: Final = ("<", "<=", ">", ">=", "==", "!=")
DEPTH: Final = 3


@dataclass(frozen=True, slots=True)
class Program:
    """A source with a method f(a: int, b: int) and the arguments to call it with."""

    source: str
    a: int
    b: int


def integer_program(seed: int) -> Program:
    """Give a program over integers: assignments, branches, loops, jumps."""
    chance = random.Random(seed)
    body = ["c = 5", *_integer_block(chance, 2, is_loop=False), "return a + b + c"]
    lines = "".join(f"    {line}\n" for line in body)
    source = "@export\ndef f(a: int, b: int) -> int:\n" + lines
    return Program(source, chance.randrange(101), chance.randrange(101))


def value_program(seed: int) -> Program:
    """Give a program over values of all kinds that ends with a tuple of what it computed."""
    return _Values(random.Random(seed)).program()


def _integer(chance: random.Random, depth: int) -> str:
    if depth == 0 or chance.random() < 0.3:
        return chance.choice(NAMES) if chance.random() < 0.6 else str(chance.randrange(51))
    inner = [_integer(chance, depth - 1) for _ in range(4)]
    match chance.randrange(6):
        case 0 | 1 | 2:
            return f"({inner[0]} {chance.choice(INTEGER_OPERATORS)} {inner[1]})"
        case 3:
            return f"(-{inner[0]})"
        case 4:
            test = f"{inner[0]} {chance.choice(COMPARISONS)} {inner[1]}"
            return f"({inner[2]} if {test} else {inner[3]})"
        case _:
            return f"({inner[0]} {chance.choice(('and', 'or'))} {inner[1]})"


def _indented(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def _integer_block(chance: random.Random, depth: int, *, is_loop: bool) -> list[str]:
    lines: list[str] = []
    for _ in range(chance.randint(1, 3)):
        name, value = chance.choice(NAMES), _integer(chance, DEPTH - 1)
        match chance.choice(("assign", "augment", "if", "for", "while", "jump", "return")):
            case "augment":
                lines.append(f"{name} {chance.choice(('+=', '-=', '*='))} {value}")
            case "if" if depth:
                lines.append(f"if {value} {chance.choice(COMPARISONS)} {_integer(chance, 1)}:")
                lines += _indented(_integer_block(chance, depth - 1, is_loop=is_loop))
                if chance.random() < 0.5:
                    inner = _integer_block(chance, depth - 1, is_loop=is_loop)
                    lines += ["else:", *_indented(inner)]
            case "for" if depth:
                lines.append(f"for {name} in range({chance.randrange(5)}):")
                lines += _indented(_integer_block(chance, depth - 1, is_loop=True))
            case "while" if depth:
                inner = _integer_block(chance, depth - 1, is_loop=True)
                lines += ["while c > 0 and c < 9:", "    c -= 1", *_indented(inner)]
            case "jump" if is_loop:
                lines.append(chance.choice(("break", "continue")))
            case "return" if chance.random() < 0.3:
                lines.append(f"return {value}")
            case _:
                lines.append(f"{name} = {value}")
    return lines


_START: Final = (
    "n = a",
    's = "abc"',
    'x = b"abc"',
    "w = [a, b, 3]",
    'd = {"a": a, "b": b}',
    "t = (a, b)",
    "p = a < b",
)
_HELPER: Final = """def g(m: int, k: int = 2) -> int:
    if m > 20:
        return m - k
    return m * k


def h(items: list) -> int:
    total = 0
    for item in items:
        total += item
    return total


"""


class _Values:
    """Draws expressions by the kind of their value, so that programs rarely fail by type."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def program(self) -> Program:
        """Draw a whole program."""
        chance = self._chance
        body = [*_START, *self.block(2), "return (n, s, x, w, d, t, p)"]
        lines = "".join(f"    {line}\n" for line in body)
        source = f"{_HELPER}@export\ndef f(a: int, b: int):\n{lines}"
        return Program(source, chance.randrange(30), chance.randrange(30))

    def integer(self, depth: int) -> str:
        """Draw an integer expression."""
        chance = self._chance
        if depth == 0:
            return chance.choice(("n", "a", "b", str(chance.randrange(9))))
        one, two = self.integer(depth - 1), self.integer(depth - 1)
        return chance.choice(
            (
                f"({one} {chance.choice(INTEGER_OPERATORS)} {two})",
                f"({one} if {self.truth(depth - 1)} else {two})",
                f"len({self.any_sized(depth - 1)})",
                f"min({one}, {two})",
                f"max({self.listed(depth - 1)})",
                f"sum({self.listed(depth - 1)})",
                f"abs({one})",
                f"w[{one} % 4]",
                f"t[{chance.randrange(2)}]",
                f'd["{chance.choice("abz")}"]',
                f'd.get("{chance.choice("abz")}", {one})',
                f"g({one})",
                f"g({one}, k={two})",
                f"h({self.listed(depth - 1)})",
                f"ord({self.text(0)}[0])",
                f"int({self.truth(depth - 1)})",
                f"{self.text(depth - 1)}.find({self.text(0)})",
                f"{self.listed(0)}.count({one})",
                f"({one} % 8 << {chance.randrange(5)})",
            )
        )

    def truth(self, depth: int) -> str:
        """Draw a boolean expression."""
        chance = self._chance
        if depth == 0:
            return chance.choice(("p", "True", "False"))
        one, two = self.integer(depth - 1), self.integer(depth - 1)
        text = self.text(depth - 1)
        return chance.choice(
            (
                f"({one} {chance.choice(COMPARISONS)} {two})",
                f"({text} {chance.choice(COMPARISONS)} {self.text(0)})",
                f"({one} in {self.listed(depth - 1)})",
                f'("{chance.choice("abz")}" in d)',
                f"({self.text(0)} not in {text})",
                f"({self.listed(depth - 1)} == w)",
                f"({one} < {two} <= {self.integer(0)})",
                f"(not {self.truth(depth - 1)})",
                f"({self.truth(depth - 1)} and {self.truth(0)})",
                f"any([{one} > 3, {self.truth(0)}])",
                f"all([{self.truth(0)}, {one} > 3])",
                f'{text}.startswith("{chance.choice("abz")}")',
            )
        )

    def text(self, depth: int) -> str:
        """Draw a text expression."""
        chance = self._chance
        if depth == 0:
            return chance.choice(("s", '"b"', '"xyz"', '""'))
        one = self.text(depth - 1)
        return chance.choice(
            (
                f"({one} + {self.text(0)})",
                f"({one} * ({self.integer(0)} % 4))",
                f"str({self.integer(depth - 1)})",
                f"{one}[{chance.randrange(3)}:{chance.randrange(5)}]",
                f"{one}.upper()",
                f'{one}.replace("b", {self.text(0)})',
                f'",".join([{one}, {self.text(0)}])',
                f"{one}.strip()",
                "f'{n}-{a}'",
                f"({one} if {self.truth(depth - 1)} else {self.text(0)})",
            )
        )

    def listed(self, depth: int) -> str:
        """Draw a list of integers."""
        chance = self._chance
        if depth == 0:
            return chance.choice(("w", "[a, b]", "[4, 1, 7]", "list(t)"))
        one = self.listed(depth - 1)
        number = self.integer(depth - 1)
        return chance.choice(
            (
                f"({one} + {self.listed(0)})",
                f"sorted({one})",
                f"list(reversed({one}))",
                f"{one}[{chance.randrange(3)}:]",
                f"[i * 2 for i in {one}]",
                f"[i + {number} for i in range({chance.randrange(6)}) if i % 2 == 0]",
                f"[i - j for i, j in zip({one}, {self.listed(0)})]",
                f"[i * j for i, j in enumerate({one})]",
                f"[{number}, {self.integer(0)}]",
                f"({one} * ({self.integer(0)} % 3))",
            )
        )

    def any_sized(self, depth: int) -> str:
        """Draw something with a length."""
        return self._chance.choice((self.text(depth), self.listed(depth), "d", "t", "x"))

    def block(self, depth: int, *, is_loop: bool = False) -> list[str]:
        """Draw two to four statements."""
        lines: list[str] = []
        for _ in range(self._chance.randint(2, 4)):
            lines += self.statement(depth, is_loop=is_loop)
        return lines

    def statement(self, depth: int, *, is_loop: bool) -> list[str]:
        """Draw one statement with what it holds."""
        chance = self._chance
        kind = chance.randrange(16)
        if kind < 4 and depth:
            head = (
                f"if {self.truth(2)}:",
                f"for n in range({chance.randrange(5)}):",
                f"for n in {self.listed(1)}[0:]:",
                "for i, n in enumerate(w[0:]):",
            )[kind]
            inner = self.block(depth - 1, is_loop=is_loop or kind > 0)
            return [head, *_indented(inner)]
        if kind == 4 and is_loop:
            return [chance.choice(("break", "continue"))]
        if kind == 5:
            return [f'assert {self.truth(2)} or n < 50, "generated"']
        return [
            chance.choice(
                (
                    f"n = {self.integer(DEPTH)}",
                    f"n {chance.choice(('+=', '-=', '*='))} {self.integer(2)}",
                    f"s = {self.text(DEPTH)}[0:20]",
                    "x = x + b'z'",
                    f"w = {self.listed(DEPTH)}[0:12]",
                    f"w.append({self.integer(2)})",
                    f"w[{self.integer(1)} % 4] = {self.integer(1)}",
                    f'd["{chance.choice("abz")}"] = {self.integer(2)}',
                    f'd["{chance.choice("ab")}"] += {self.integer(1)}',
                    f"t = ({self.integer(2)}, {self.integer(1)})",
                    f"p = {self.truth(DEPTH)}",
                    f"n, s = {self.integer(1)}, {self.text(1)}",
                )
            )
        ]

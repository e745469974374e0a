"""Refuse before parsing: whatever Python versions parse differently, slowly or not at all.

`ast.parse` answers by version, flags and memory for deep, long or exotic sources. This scan admits
only texts on which every supported version agrees, so that acceptance is a rule of the chain and
not of the interpreter that a node happens to run.

Source: contracts reference 3.2 stage A.
"""

from __future__ import annotations

import re
from typing import Final

from contracts_py.engine.faults import ContractRefused
from contracts_py.engine.limits import Limits

# Controls, bidirectional and zero-width characters, tags, surrogates: fixed here, because
# categories of characters change with the Unicode version.
_HIDDEN: Final = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\ud800-\udfff\ufeff\ufff9-\uffff\U000e0000-\U000e0fff]"
)
_TOKEN: Final = re.compile(
    r"(?P<newline>\n)|(?P<space> +)|(?P<comment>\#[^\n]*)"
    r"|(?P<string>(?P<prefix>[A-Za-z]{0,3})(?P<quote>\"\"\"|'''|\"|'))"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<number>[0-9][A-Za-z0-9_.]*)"
    r"|(?P<operator>->|\*\*=|//=|<<=|>>=|\*\*|//|<<|>>|<=|>=|==|!=|[-+*/%&|^]="
    r"|[-+*/%&|^~<>=()\[\]{},:.@])"
)
_NUMBER: Final = re.compile(r"(?:0|[1-9][0-9]*(?:_[0-9]+)*|0x[0-9a-f]+)\Z")
_FIELD: Final = re.compile(r"[A-Za-z0-9_.,+*/%() \[\]-]+\Z")
_ESCAPES: Final = re.compile(r"\\(?:[\\'\"nt]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4})")
_SURROGATE: Final = re.compile(r"(?<!\\)(?:\\\\)*\\u[dD][89a-fA-F]")
_DIGITS: Final = re.compile(r"(?<![A-Za-z0-9_])[0-9][A-Za-z0-9_.]*")
_SIGNS: Final = re.compile(r"(?:(?:[-+~]|\bnot\b) *){5}")
FIELD_LENGTH_MAX: Final = 120
FIELD_BRACKETS_MAX: Final = 8
_CLOSING: Final = {")": "(", "]": "[", "}": "{"}
_FORBIDDEN: Final = {
    "lambda": "name a function with def and call it by that name",
    "class": "declare state with Map and Var, use dict for records",
    "async": "contracts run to their end at once",
    "await": "contracts run to their end at once",
    "yield": "build a list",
    "try": "check first; a failure undoes the whole call, try_call() isolates another contract",
    "except": "check first; a failure undoes the whole call",
    "finally": "a failure undoes the whole call",
    "raise": "use revert(message) or assert",
    "with": "not needed: nothing has to be closed",
    "global": "keep state in a Var or Map",
    "nonlocal": "pass values as arguments",
    "del": "use map.remove(key) or list.pop(index)",
    "from": "import a contract with: import name",
    "match": "use if and elif",
    "case": "use if and elif",
    "type": "use another name",
}
_OPERANDS: Final = frozenset({"name", "number", "string"})
_KEYWORDS: Final = frozenset(
    ("and", "or", "not", "if", "elif", "else", "in", "is", "return", "assert", "for", "while")
)


def scan(source: bytes, limits: Limits) -> str:
    """Give the text of a source that every supported Python parses alike.

    Raises:
        ContractRefused: rules encoding, size, character, string, number, nesting or keyword.
    """
    if len(source) > limits.source_bytes_max:
        raise _refused("size", f"source has {len(source)} bytes, at most {limits.source_bytes_max}")
    try:
        text = source.decode("utf-8")
    except UnicodeDecodeError:
        raise _refused("encoding", "source is not UTF-8 text") from None
    hidden = _HIDDEN.search(text)
    if hidden is not None:
        line = text.count("\n", 0, hidden.start()) + 1
        column = hidden.start() - (text.rfind("\n", 0, hidden.start()) + 1) + 1
        raise ContractRefused(
            "character",
            f"character U+{ord(hidden[0]):04X} is not allowed",
            line=line,
            column=column,
            fix="use spaces for indentation and visible characters only",
        )
    _Scanner(text, limits).run()
    return text


class _Scanner:
    """One pass over the tokens; owns the counters."""

    def __init__(self, text: str, limits: Limits) -> None:
        self._text = text
        self._limits = limits
        self._position = 0
        self._line = 1
        self._line_start = 0
        self._brackets: list[str] = []
        self._tokens = 0
        self._line_tokens = 0
        self._elifs = 0
        self._unaries = 0
        self._previous_kind = ""
        self._previous = ""
        self._previous_previous = ""

    def run(self) -> None:
        end = len(self._text)
        self._check_indent()
        while self._position < end:
            match = _TOKEN.match(self._text, self._position)
            if match is None:
                character = self._text[self._position]
                raise self._refused("character", f"{character!a} is not allowed here")
            self._take(match)
        if self._brackets:
            raise self._refused("syntax", f"{self._brackets[-1]!r} is never closed")

    def _take(self, match: re.Match[str]) -> None:
        kind = match.lastgroup or ""
        if match["string"] is not None:
            kind = "string"
        if kind == "newline":
            self._position = match.end()
            self._end_line()
            return
        if kind in ("space", "comment"):
            self._position = match.end()
            return
        self._count()
        text = match[0]
        if kind == "string":
            self._string(match)
        elif kind == "number":
            self._number(text)
        elif kind == "name":
            self._name(text)
        else:
            self._operator(text)
        if kind != "string":
            self._position = match.end()
        self._previous_previous = self._previous
        self._previous_kind, self._previous = kind, text

    def _end_line(self) -> None:
        self._line += 1
        self._line_start = self._position
        if not self._brackets:
            self._line_tokens = 0
            self._previous_kind = self._previous = ""
            self._check_indent()

    def _check_indent(self) -> None:
        text, start = self._text, self._position
        width = 0
        while start + width < len(text) and text[start + width] == " ":
            width += 1
        rest = text[start + width : start + width + 1]
        if rest in ("", "\n", "#"):
            return
        if width % 4 or width > 4 * self._limits.indents_max:
            raise self._refused(
                "nesting",
                f"indentation of {width} spaces",
                f"indent by 4 spaces, at most {self._limits.indents_max} levels",
            )

    def _count(self) -> None:
        self._tokens += 1
        self._line_tokens += 1
        if self._tokens > self._limits.tokens_max:
            raise self._refused("size", f"more than {self._limits.tokens_max} tokens")
        if self._line_tokens > self._limits.line_tokens_max:
            raise self._refused(
                "size", f"more than {self._limits.line_tokens_max} tokens in one statement"
            )

    def _name(self, text: str) -> None:
        if len(text) > self._limits.identifier_length_max:
            raise self._refused(
                "name", f"name of {len(text)} letters, at most {self._limits.identifier_length_max}"
            )
        fix = _FORBIDDEN.get(text)
        if fix is not None and self._previous != ".":
            raise self._refused("keyword", f"{text!r} is not part of the language", fix)
        if self._previous_previous == "def" and self._previous_kind == "name":
            raise self._refused("syntax", f"{text!r} after the name of a function")
        self._unaries = self._unaries + 1 if text == "not" else 0
        self._limit_unaries()
        if text == "elif":
            self._elifs += 1
            if self._elifs > self._limits.elifs_max:
                raise self._refused("nesting", f"more than {self._limits.elifs_max} elif")

    def _number(self, text: str) -> None:
        self._unaries = 0
        if _NUMBER.match(text) is None or len(text) > self._limits.number_length_max:
            raise self._refused(
                "number",
                f"{text[:24]!r} is not a number of the language",
                'write whole numbers as 12 or 1_000 or 0xff, and decimals as dec("0.5")',
            )

    def _operator(self, text: str) -> None:
        is_operand_before = self._previous_kind in _OPERANDS or self._previous in (")", "]", "}")
        is_value_before = is_operand_before and self._previous not in _KEYWORDS
        if text in "([{":
            if text == "[" and self._previous_previous == "def":
                raise self._refused("syntax", "functions have no type parameters")
            self._brackets.append(text)
            if len(self._brackets) > self._limits.brackets_max:
                raise self._refused(
                    "nesting", f"brackets nested deeper than {self._limits.brackets_max}"
                )
        elif text in ")]}":
            if not self._brackets or self._brackets.pop() != _CLOSING[text]:
                raise self._refused("syntax", f"{text!r} closes nothing")
        elif text in ("*", "**") and not is_value_before:
            raise self._refused(
                "syntax", f"{text!r} without a value before it", "pass and name each value"
            )
        is_unary = text in ("-", "+", "~") and not is_value_before
        self._unaries = self._unaries + 1 if is_unary else 0
        self._limit_unaries()

    def _limit_unaries(self) -> None:
        if self._unaries > self._limits.unaries_max:
            raise self._refused("nesting", f"more than {self._limits.unaries_max} signs in a row")

    def _string(self, match: re.Match[str]) -> None:
        self._unaries = 0
        prefix, quote = match["prefix"], match["quote"]
        if prefix not in ("", "f", "b") or (prefix and len(quote) == 3):
            raise self._refused(
                "string", f"string prefix {match[0]!r}", "only f and b, and not on triple quotes"
            )
        start = match.end()
        end = self._string_end(start, quote)
        body = self._text[start:end]
        if len(body) > self._limits.string_length_max:
            raise self._refused(
                "string", f"string of {len(body)}, at most {self._limits.string_length_max}"
            )
        if "\\" in _ESCAPES.sub("", body) or _SURROGATE.search(body):
            raise self._refused(
                "string", "unknown escape in a string", "escapes are \\\\ \\' \\\" \\n \\t \\x \\u"
            )
        if prefix == "f":
            self._fields(body)
        if prefix == "b" and (not body.isascii() or "\\u" in body):
            raise self._refused("string", "bytes are written in ASCII and \\x escapes")
        lines = body.count("\n")
        if lines:
            self._line += lines
            self._line_start = start + body.rindex("\n") + 1
        self._position = end + len(quote)

    def _string_end(self, start: int, quote: str) -> int:
        position = start
        while True:
            if position >= len(self._text):
                raise self._refused("syntax", "a string is never closed")
            if self._text.startswith(quote, position):
                return position
            character = self._text[position]
            if character == "\n" and len(quote) == 1:
                raise self._refused("syntax", "a string is never closed")
            position += 2 if character == "\\" else 1

    def _fields(self, body: str) -> None:
        """Check the fields of an f-string: on this set 3.11 and later grammars agree."""
        position = 0
        while position < len(body):
            character = body[position]
            if character in "{}" and body.startswith(character * 2, position):
                position += 2
            elif character == "{":
                end = body.find("}", position)
                field = body[position + 1 : end] if end > 0 else ""
                if not _is_plain(field):
                    raise self._refused(
                        "string",
                        "field of an f-string is not plain",
                        "compute the value before; no quotes, formats, ! or = inside braces",
                    )
                position = end + 1
            elif character == "}":
                raise self._refused("syntax", "single '}' in an f-string")
            else:
                position += 1

    def _refused(self, rule: str, message: str, fix: str = "") -> ContractRefused:
        column = self._position - self._line_start + 1
        return ContractRefused(rule, message, line=self._line, column=column, fix=fix)


def _refused(rule: str, message: str) -> ContractRefused:
    return ContractRefused(rule, message, line=0, column=0)


def _is_plain(field: str) -> bool:
    """Tell whether a field has only what a name, a number and a few brackets need."""
    if _FIELD.match(field) is None or not field.strip() or len(field) > FIELD_LENGTH_MAX:
        return False
    if field.count("(") + field.count("[") > FIELD_BRACKETS_MAX or _SIGNS.search(field):
        return False
    return all(_NUMBER.match(number) for number in _DIGITS.findall(field))

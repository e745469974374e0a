"""Refuse before parsing: whatever Python versions parse differently, slowly or not at all.

`ast.parse` answers by version, flags and memory for deep, long or exotic sources. This scan admits
only texts on which every supported version agrees, so that acceptance is a rule of the chain and
not of the interpreter that a node happens to run.

Source: contracts reference 3.2 stage A.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from contracts_py.engine.faults import ContractRefused
from contracts_py.engine.limits import Limits

# Controls, bidirectional and zero-width characters, tags, surrogates: fixed here, because
# categories of characters change with the Unicode version.
_HIDDEN: Final = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\ud800-\udfff\ufeff\ufff9-\uffff\U000e0000-\U000e0fff]"
)
# No possessive quantifiers or atomic groups: before 3.11.5 a possessive group forgot matches, so
# that two nodes would read one source differently. Nothing here can match in two ways, so going
# back costs linear time.
_TOKEN: Final = re.compile(
    r"((?: *(?:\#[^\n]*)?\n)*) *(?:([A-Za-z]{0,3}(?:\"(?:\"\")?|'(?:'')?))"
    r"|([A-Za-z_][A-Za-z0-9_]*)|([0-9][A-Za-z0-9_.]*)"
    r"|(->|\*\*=|//=|<<=|>>=|\*\*|//|<<|>>|<=|>=|==|!=|[-+*/%&|^]="
    r"|[-+*/%&|^~<>=()\[\]{},:.@])|(\#[^\n]*|\Z)|(.))"
)
_ENDS, _STRING, _NAME, _NUMERAL, _OPERATOR, _NOTHING, _STRANGE = range(1, 8)
"""Groups of `_TOKEN`: ends of lines before a token; tokens; a last comment or the end; the rest."""

_ALWAYS: Final = (_NUMERAL, _STRING)
_OPERANDS: Final = (_STRING, _NAME, _NUMERAL)

_NUMBER: Final = re.compile(r"(?:0|[1-9][0-9]*(?:_[0-9]+)*|0x[0-9a-f]+)\Z")
_FIELD: Final = re.compile(r"[A-Za-z0-9_.,+*/%() \[\]-]+\Z")
_FIELD_TOKEN: Final = re.compile(r"[A-Za-z0-9_]+|[^ ]")
_BODIES: Final = {
    '"': re.compile(r'([^"\\\n]*(?:\\.[^"\\\n]*)*)"', re.DOTALL),
    "'": re.compile(r"([^'\\\n]*(?:\\.[^'\\\n]*)*)'", re.DOTALL),
    '"""': re.compile(r'([^"\\]*(?:(?:\\.|"(?!""))[^"\\]*)*)"""', re.DOTALL),
    "'''": re.compile(r"([^'\\]*(?:(?:\\.|'(?!''))[^'\\]*)*)'''", re.DOTALL),
}
_ESCAPED: Final = re.compile(
    r"[^\\]*(?:\\(?:[\\'\"nt]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4})[^\\]*)*\Z", re.DOTALL
)
_LITERAL: Final = re.compile(r"[^{}]*(?:(?:\{\{|\}\})[^{}]*)*", re.DOTALL)
"""What stands before the next field of an f-string."""

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
_KEYWORDS: Final = frozenset(
    ("and", "or", "not", "if", "elif", "else", "in", "is", "return", "assert", "for", "while")
)
_RULED: Final = frozenset({*_FORBIDDEN, "not", "elif", *"([{)]}*+-~", "**"})
"""Names and operators with rules of their own; the others pass, if they are short."""


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
        self._brackets: list[str] = []
        self._elifs = 0
        self._unaries = 0
        self._field_tokens = 0
        """Tokens inside the fields of the last string."""

        self._previous: tuple[int | None, str, str] = (0, "", "")
        """Kind and text of the token before, text of the one before that."""

    def run(self) -> None:
        """Look at every token once; what has no rule of its own passes without a call."""
        text, match_at, limits = self._text, _TOKEN.match, self._limits
        tokens_max, line_tokens_max = limits.tokens_max, limits.line_tokens_max
        name_max, width_max = limits.identifier_length_max, 4 * limits.indents_max
        end, position, tokens, tokens_stop = len(text), 0, 0, line_tokens_max
        kind_before: int | None = 0
        before, before_that, brackets = "", "", self._brackets
        self._check_indent(end - len(text.lstrip(" ")))
        while position < end:
            match = match_at(text, position)
            kind, position = match.lastindex, match.end()  # type: ignore[union-attr] # ends in any
            ends, word = match.group(_ENDS, kind)  # type: ignore[union-attr,arg-type] # as above
            if ends and not brackets:
                tokens_stop = tokens + line_tokens_max
                if tokens_stop > tokens_max:  # noqa: PLR1730 - min() takes twice as long
                    tokens_stop = tokens_max
                kind_before, before = 0, ""
                width = position - len(word) - match.end(_ENDS)  # type: ignore[union-attr] # as above
                if width % 4 or width > width_max:
                    self._position = position - len(word) - width
                    self._check_indent(width)
            if kind >= _NOTHING:  # type: ignore[operator] # as above
                if kind == _STRANGE:
                    self._position = position - 1
                    raise self._refused("character", f"{word!a} is not allowed here")
                continue
            tokens += 1
            if tokens > tokens_stop:
                self._position = position - len(word)
                raise self._too_many(tokens)
            if word in _RULED or kind in _ALWAYS or before_that == "def" or len(word) > name_max:
                self._previous = (kind_before, before, before_that)
                self._position = position - len(word)
                _ARMS[kind](self, word)
                if kind == _STRING:
                    position = self._position
                    tokens += self._field_tokens
                    if tokens > tokens_stop:
                        raise self._too_many(tokens)
            else:
                self._unaries = 0
            before_that = before
            kind_before, before = kind, word
        if brackets:
            self._position = end
            raise self._refused("syntax", f"{brackets[-1]!r} is never closed")

    def _check_indent(self, width: int) -> None:
        """Refuse the indentation of a line, unless nothing or a comment follows."""
        follows = self._text[self._position + width : self._position + width + 1]
        if follows not in ("", "\n", "#") and (width % 4 or width > 4 * self._limits.indents_max):
            raise self._refused(
                "nesting",
                f"indentation of {width} spaces",
                f"indent by 4 spaces, at most {self._limits.indents_max} levels",
            )

    def _too_many(self, tokens: int) -> ContractRefused:
        if tokens > self._limits.tokens_max:
            return self._refused("size", f"more than {self._limits.tokens_max} tokens")
        most = self._limits.line_tokens_max
        return self._refused("size", f"more than {most} tokens in one statement")

    def _name(self, text: str) -> None:
        if len(text) > self._limits.identifier_length_max:
            raise self._refused(
                "name", f"name of {len(text)} letters, at most {self._limits.identifier_length_max}"
            )
        kind_before, before, before_that = self._previous
        fix = _FORBIDDEN.get(text)
        if fix is not None and before != ".":
            raise self._refused("keyword", f"{text!r} is not part of the language", fix)
        if before_that == "def" and kind_before == _NAME:
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
        kind_before, before, before_that = self._previous
        is_operand_before = kind_before in _OPERANDS or before in (")", "]", "}")
        is_value_before = is_operand_before and before not in _KEYWORDS
        if text in "([{":
            if text == "[" and before_that == "def":
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

    def _string(self, opening: str) -> None:
        self._unaries = 0
        start = self._position + len(opening)
        prefix = opening.rstrip("\"'")
        quote = opening[len(prefix) :]
        if prefix not in ("", "f", "b") or (prefix and len(quote) == 3):
            raise self._refused(
                "string", f"string prefix {opening!r}", "only f and b, and not on triple quotes"
            )
        found = _BODIES[quote].match(self._text, start)
        if found is None:
            raise self._refused("syntax", "a string is never closed")
        body, end = found[1], found.end()
        if len(body) > self._limits.string_length_max:
            raise self._refused(
                "string", f"string of {len(body)}, at most {self._limits.string_length_max}"
            )
        if "\\" in body and (_ESCAPED.match(body) is None or _SURROGATE.search(body)):
            raise self._refused(
                "string", "unknown escape in a string", "escapes are \\\\ \\' \\\" \\n \\t \\x \\u"
            )
        self._field_tokens = 0
        if prefix == "f":
            self._fields(body)
        if prefix == "b" and (not body.isascii() or "\\u" in body):
            raise self._refused("string", "bytes are written in ASCII and \\x escapes")
        self._position = end

    def _fields(self, body: str) -> None:
        """Check the fields of an f-string: on this set 3.11 and later grammars agree."""
        position = _LITERAL.match(body).end()  # type: ignore[union-attr] # matches nothing too
        while position < len(body):
            if body[position] == "}":
                raise self._refused("syntax", "single '}' in an f-string")
            end = body.find("}", position)
            field = body[position + 1 : end] if end > 0 else ""
            if not _is_plain(field):
                raise self._refused(
                    "string",
                    "field of an f-string is not plain",
                    "compute the value before; no quotes, formats, ! or = inside braces",
                )
            self._field_tokens += len(_FIELD_TOKEN.findall(field))
            position = _LITERAL.match(body, end + 1).end()  # type: ignore[union-attr] # as above

    def _refused(self, rule: str, message: str, fix: str = "") -> ContractRefused:
        line = self._text.count("\n", 0, self._position) + 1
        column = self._position - self._text.rfind("\n", 0, self._position)
        return ContractRefused(rule, message, line=line, column=column, fix=fix)


_ARMS: Final[dict[int | None, Callable[[_Scanner, str], None]]] = {
    _STRING: _Scanner._string,  # noqa: SLF001 - same module
    _NAME: _Scanner._name,  # noqa: SLF001
    _NUMERAL: _Scanner._number,  # noqa: SLF001
    _OPERATOR: _Scanner._operator,  # noqa: SLF001
}


def _refused(rule: str, message: str) -> ContractRefused:
    return ContractRefused(rule, message, line=0, column=0)


def _is_plain(field: str) -> bool:
    """Tell whether a field has only what a name, a number and a few brackets need."""
    if _FIELD.match(field) is None or not field.strip() or len(field) > FIELD_LENGTH_MAX:
        return False
    if field.count("(") + field.count("[") > FIELD_BRACKETS_MAX or _SIGNS.search(field):
        return False
    return all(_NUMBER.match(number) for number in _DIGITS.findall(field))

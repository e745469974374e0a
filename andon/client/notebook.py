"""How results look in a notebook: a small table of facts, escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

CELL_CHARACTERS_MAX = 200


def facts_html(title: str, pairs: Iterable[tuple[str, object]]) -> str:
    """A titled table with a name and a value a row."""
    rows = "".join(
        f"<tr><th style='text-align:left'>{_text(name)}</th>"
        f"<td style='text-align:left'>{_text(value)}</td></tr>"
        for name, value in pairs
    )
    return f"<table><caption>{_text(title)}</caption><tbody>{rows}</tbody></table>"


def rows_html(title: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A titled table with a head."""
    top = "".join(f"<th>{_text(name)}</th>" for name in head)
    body = "".join(
        "<tr>"
        + "".join(f"<td style='text-align:left'>{_text(cell)}</td>" for cell in row)
        + "</tr>"
        for row in rows
    )
    caption = f"<caption>{_text(title)}</caption>"
    return f"<table>{caption}<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def _text(value: object) -> str:
    text = "0x" + value.hex() if isinstance(value, bytes) else str(value)
    if len(text) > CELL_CHARACTERS_MAX:
        text = text[:CELL_CHARACTERS_MAX] + "…"
    return escape(text)

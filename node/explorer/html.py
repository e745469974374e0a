"""HTML that is escaped by construction: elements are values, text is never markup."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Union
from urllib.parse import quote

VOID = frozenset({"br", "hr", "input", "link", "meta", "img"})
Attribute = Union[str, int, bool, None]


@dataclass(frozen=True, slots=True)
class Markup:
    """Text that is HTML already; made by this module alone."""

    text: str


Child = Union[Markup, str, int, None, Sequence["Child"]]


def tag(name: str, /, *children: Child, **attributes: Attribute) -> Markup:
    """Build an element. `class_` and `for_` lose the underscore, `_` inside becomes `-`.

    True gives a bare attribute; None and False leave it out.
    """
    parts = [f"<{name}"]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        attribute = key.rstrip("_").replace("_", "-")
        parts.append(f" {attribute}" if value is True else f' {attribute}="{escape(str(value))}"')
    parts.append(">")
    if name not in VOID:
        parts.append(render(children))
        parts.append(f"</{name}>")
    return Markup("".join(parts))


def render(child: Child) -> str:
    """Render children; text is escaped."""
    if child is None:
        return ""
    if isinstance(child, Markup):
        return child.text
    if isinstance(child, list | tuple):
        return "".join(render(item) for item in child)
    return escape(str(child))


def link(href: str, text: Child, **attributes: Attribute) -> Markup:
    """Build a link within the explorer."""
    return tag("a", text, href=href, **attributes)


def place(kind: str, name: str) -> str:
    """Path of a thing whose name came from the chain and may hold any character."""
    return f"/{kind}/{quote(name, safe='')}"


def table(head: list[str], rows: list[list[Child]], caption: str = "") -> Markup:
    """Build a table; says so if there are no rows. Columns headed `#..` are numbers."""
    if not rows:
        return tag("p", "Nothing yet.", class_="muted")
    numeric = [name.startswith("#") for name in head]
    return tag(
        "div",
        tag(
            "table",
            tag("caption", caption) if caption else None,
            tag(
                "thead",
                tag(
                    "tr",
                    [
                        tag("th", name.lstrip("#"), scope="col", class_="n" if number else None)
                        for name, number in zip(head, numeric, strict=True)
                    ],
                ),
            ),
            tag(
                "tbody",
                [
                    tag(
                        "tr",
                        [
                            tag("td", cell, class_="n" if number else None)
                            for cell, number in zip(row, numeric, strict=True)
                        ],
                    )
                    for row in rows
                ],
            ),
        ),
        class_="scroll",
    )


def facts(pairs: list[tuple[str, Child]]) -> Markup:
    """Build a list of named facts."""
    return tag("dl", [[tag("dt", name), tag("dd", value)] for name, value in pairs])


def code(text: str) -> Markup:
    """Build monospaced text."""
    return tag("code", text)


def section(title: str, *children: Child) -> Markup:
    """Build a titled section."""
    return tag("section", tag("h2", title), children)

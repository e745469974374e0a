"""Write docs/errors.md from the catalogue of codes and the texts in docs/errors.toml.

`python -m scripts.errors_page` writes the page; `make docs` refuses a page that is not what this
would write. Owns the page's shape; the numbers are those of `andon.core.errors.Code`, the texts
(what it means, what to do) are written by hand, one table a code.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from andon.core.errors import Code

ROOT = Path(__file__).resolve().parent.parent
PAGE = "docs/errors.md"
TEXTS = "docs/errors.toml"
REMAKE = "python -m scripts.errors_page"

GROUPS = (
    (1, 199, "Execution of a transaction", "Found in receipts too. The transaction is in a block."),
    (200, 299, "Authority", "Who signed, and what that key may do."),
    (300, 399, "Predictions", "A model was asked and could not answer, or answers differ."),
    (400, 499, "Model packages and data sets", "Something about a package or its input file."),
    (500, 599, "Bytes and records", "What was sent is not a record of this protocol."),
    (600, 699, "Consensus", "Blocks, votes, certificates and the signer."),
    (800, 999, "Limits", "A named maximum was reached."),
    (1000, 1199, "Mempool", "The node did not take the transaction in."),
    (1200, 1299, "Node", "The state of one node or of its machine."),
)

HEAD = f"""# Errors

Every failure carries a code. A code is stable: its number and its name are never used for anything
else. It appears in receipts, in answers of the RPC, in logs and in what `andon` prints.

This page is written by `{REMAKE}` from the catalogue in `andon/core/errors.py` and the texts
in `{TEXTS}`. Do not edit it.
"""


class Text(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a code means and what whoever gets it does."""

    means: str
    do: str


def main() -> int:
    """Write the page."""
    (ROOT / PAGE).write_text(render(read_texts(ROOT)), encoding="utf-8")
    print(f"errors: wrote {PAGE}, {len(Code)} codes")
    return 0


def read_texts(root: Path) -> dict[str, Text]:
    """Texts by the name of the code."""
    return msgspec.toml.decode((root / TEXTS).read_bytes(), type=dict[str, Text])


def findings(root: Path) -> Iterator[str]:
    """What is wrong with the page or the texts, for `make docs`."""
    texts = read_texts(root)
    for name in Code.__members__:
        if name not in texts:
            yield f"{TEXTS}:1: no text for {name}"
    for name in texts:
        if name not in Code.__members__:
            yield f"{TEXTS}:1: a text for {name}, which is no code"
    page = root / PAGE
    if not page.exists() or page.read_text(encoding="utf-8") != render(texts):
        yield f"{PAGE}:1: not what the catalogue gives; run {REMAKE}"


def render(texts: dict[str, Text]) -> str:
    """The whole page. A code without a text is left out: `findings` names it."""
    parts = [HEAD]
    for first, last, title, remark in GROUPS:
        codes = sorted(
            (code for code in Code if first <= code.value <= last and code.name in texts),
            key=lambda code: code.value,
        )
        parts.append(f"## {first} to {last}: {title}\n\n{remark}\n")
        for code in codes:
            text = texts[code.name]
            parts.append(f"### `{code.name}` ({code.value})\n\n{text.means}\n\n**Do:** {text.do}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    sys.exit(main())

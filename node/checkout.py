"""Refuse to run with rooms of another checkout: `models` and friends are common folder names."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from andon.core.errors import Code, Misuse

ROOMS = ("andon", "consensus", "contracts_py", "models")
CHECKOUT = Path(__file__).resolve().parent.parent


def check_checkout(root: Path = CHECKOUT) -> None:
    """Check that every room would be imported from `root`.

    Raises:
        Misuse: BAD_CONFIG naming the folder that stands in the way.
    """
    for room in ROOMS:
        spec = importlib.util.find_spec(room)
        origin = spec.origin if spec is not None else None
        if origin is None or Path(origin).resolve().parent.parent != root:
            raise Misuse(
                Code.BAD_CONFIG,
                f"package {room} would come from {origin}, not from {root}",
                hint="start `python -m node` in the checkout, with no other on PYTHONPATH",
            )

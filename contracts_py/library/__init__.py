"""The standard contracts, one a file, read as text: the engine checks them, nobody imports them."""

from __future__ import annotations

from importlib import resources

_SUFFIX = ".py"


def names() -> tuple[str, ...]:
    """Names of the standard contracts, ascending."""
    files = resources.files(__name__).iterdir()
    found = [f.name.removesuffix(_SUFFIX) for f in files if f.name.endswith(_SUFFIX)]
    return tuple(sorted(name for name in found if name != "__init__"))


def source(name: str) -> bytes:
    """Source text of a standard contract. Raises FileNotFoundError."""
    return (resources.files(__name__) / f"{name}{_SUFFIX}").read_bytes()

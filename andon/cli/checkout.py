"""Parts of the command line that live in the checkout and not in the published package."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

from andon.core.errors import Code, Misuse


def from_checkout(name: str) -> ModuleType:
    """Load an engine such as `node.audit`; files beside the caller count too.

    Raises:
        Misuse: BAD_CONFIG if this installation lacks it or what it needs.
    """
    # The console script does not look in the working directory; engines and training functions
    # of users lie there.
    sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise Misuse(
            Code.BAD_CONFIG,
            f"this installation has no {name}: {error.name} is missing",
            hint="run from a checkout with the models group installed",
        ) from None

"""Look for private keys in what nodes wrote down: no line of a log may hold one, in any writing."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

from node.keystore import load_key

KEY_FILES = "*.key"
LOG_FILES = ("*.log", "*.jsonl")


def leaked_secrets(folder: Path) -> list[str]:
    """Name each key file below `folder` whose seed stands in a log below it, and that log."""
    logs = [(path, path.read_bytes()) for name in LOG_FILES for path in folder.rglob(name)]
    return [
        f"the seed of {key.relative_to(folder)} stands in {log.relative_to(folder)}"
        for key in sorted(folder.rglob(KEY_FILES))
        for log, content in logs
        if any(form in content for form in _writings(load_key(key).seed))
    ]


def _writings(seed: bytes) -> Iterator[bytes]:
    yield seed
    yield seed.hex().encode()
    yield seed.hex().upper().encode()
    yield base64.b64encode(seed).rstrip(b"=")
    yield base64.urlsafe_b64encode(seed).rstrip(b"=")
    yield repr(seed)[2:-1].encode()
    yield repr(seed)[2:-1].replace("\\", "\\\\").encode()

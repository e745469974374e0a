"""The search for keys in logs finds them however they are written."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from andon.core.keys import PrivateKey
from node.keystore import save_key
from node.testing.log_secrets import leaked_secrets

KEY = PrivateKey(bytes(range(120, 152)))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "logs").mkdir()
    save_key(tmp_path / "keys" / "node.key", KEY)
    (tmp_path / "logs" / "node.log").write_text(f'{{"peer":"{KEY.public.hex()}"}}\n')
    return tmp_path


def test_a_public_key_is_no_secret(home: Path) -> None:
    assert leaked_secrets(home) == []


@pytest.mark.parametrize(
    "written",
    [
        KEY.seed,
        KEY.seed.hex().encode(),
        KEY.seed.hex().upper().encode(),
        base64.b64encode(KEY.seed),
        base64.urlsafe_b64encode(KEY.seed),
        repr(KEY.seed).encode(),
        json.dumps(repr(KEY.seed)).encode(),
    ],
)
def test_a_seed_is_found_in_any_writing(home: Path, written: bytes) -> None:
    with (home / "logs" / "node.log").open("ab") as log:
        log.write(b'{"error":"' + written + b'"}\n')
    assert leaked_secrets(home) == ["the seed of keys/node.key stands in logs/node.log"]

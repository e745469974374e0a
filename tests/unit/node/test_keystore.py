import json
import stat
from pathlib import Path

import pytest

from andon.core.errors import Code, InvalidInput, Misuse
from andon.core.keys import PrivateKey
from node.keystore import load_key, save_key

KEY = PrivateKey(bytes(range(32)))


def test_a_saved_key_reads_back_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "node.key"
    save_key(path, KEY)
    assert load_key(path).public == KEY.public
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    save_key(tmp_path / "k", KEY)
    with pytest.raises(Misuse):
        save_key(tmp_path / "k", PrivateKey(bytes(32)))
    assert load_key(tmp_path / "k").public == KEY.public


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    save_key(tmp_path / "k", KEY)
    (tmp_path / "k").chmod(0o640)
    with pytest.raises(InvalidInput) as error:
        load_key(tmp_path / "k")
    assert error.value.code is Code.BAD_KEY


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    save_key(tmp_path / "k", KEY)
    (tmp_path / "link").symlink_to(tmp_path / "k")
    with pytest.raises(InvalidInput):
        load_key(tmp_path / "link")


@pytest.mark.parametrize(
    "content", [b"", b"{}", b'{"kind":"andon-ed25519-1","public":"00","seed":"zz"}', b"\xff" * 9]
)
def test_a_damaged_file_is_refused_without_telling_its_content(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "k"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(InvalidInput) as error:
        load_key(path)
    assert error.value.code is Code.BAD_KEY
    assert "zz" not in str(error.value)


def test_a_public_part_that_does_not_fit_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "k"
    save_key(path, KEY)
    path.write_bytes(path.read_bytes().replace(KEY.public.hex().encode(), b"00" * 32))
    with pytest.raises(InvalidInput):
        load_key(path)


def test_a_locked_key_needs_its_passphrase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "k"
    save_key(path, KEY, b"correct horse")
    assert KEY.seed.hex() not in path.read_text()
    monkeypatch.delenv("ANDON_PASSPHRASE_FILE", raising=False)
    with pytest.raises(InvalidInput, match="is locked with a passphrase"):
        load_key(path)
    with pytest.raises(InvalidInput, match="does not open"):
        load_key(path, b"battery staple")
    assert load_key(path, b"correct horse").public == KEY.public
    secret = tmp_path / "secret"
    secret.write_text("correct horse\n")
    secret.chmod(0o600)
    monkeypatch.setenv("ANDON_PASSPHRASE_FILE", str(secret))
    assert load_key(path).public == KEY.public
    secret.chmod(0o644)
    with pytest.raises(InvalidInput, match="may be read by others"):
        load_key(path)


def test_a_key_file_may_not_ask_for_endless_work(tmp_path: Path) -> None:
    path = tmp_path / "k"
    save_key(path, KEY, b"x")
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "memory_bytes": 2**40}))
    with pytest.raises(InvalidInput, match="more work"):
        load_key(path, b"x")
    path.write_text(json.dumps({**document, "memory_bytes": 1}))
    with pytest.raises(InvalidInput) as error:
        load_key(path, b"x")
    assert error.value.code is Code.BAD_KEY

"""`andon models train` and `verify` reach the checkout's own command; committees have verbs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from andon.cli.context import Context
from andon.cli.models import models_command
from andon.client.key_file import write_key
from andon.core.errors import Code, InvalidInput, Misuse
from andon.core.keys import PrivateKey
from andon.core.publisher import SIGNATURE_NAME
from models import commands

ROOT = Path(__file__).resolve().parents[4]


def _context(home: Path, *, as_json: bool = False) -> Context:
    return Context(home=home, nodes=(), as_json=as_json, quiet=True, timeout_ms=1)


def test_a_package_is_verified_by_the_interpreter() -> None:
    path = str(ROOT / "models" / "packages" / "rul-demo")
    arguments = ["verify", path, "--backend", "numpy"]
    result = CliRunner().invoke(models_command, arguments, obj=_context(ROOT))
    assert result.exit_code == 0, result.output
    assert "golden vectors and edge inputs agree" in result.output
    told = CliRunner().invoke(models_command, arguments, obj=_context(ROOT, as_json=True))
    document = json.loads(told.output)
    assert document["golden_vectors"] == 24
    assert document["signer"] is None
    assert f"model   {document['model_id']}" in result.output


def test_a_signature_beside_a_package_is_checked(tmp_path: Path) -> None:
    blob = (ROOT / "models" / "packages" / "rul-demo" / "package.blob").read_bytes()
    (tmp_path / "package.blob").write_bytes(blob)
    key = PrivateKey(b"k" * 32)
    write_key(tmp_path / "me.key", key)
    context = _context(tmp_path)
    arguments = ["sign", str(tmp_path), "--from", str(tmp_path / "me.key")]
    signed = CliRunner().invoke(models_command, arguments, obj=context)
    assert signed.exit_code == 0, signed.output
    name = "0x" + key.public.hex()
    assert commands.verify(tmp_path, "numpy", name).lines[-1] == f"signed  by {name}"
    with pytest.raises(InvalidInput) as caught:
        commands.verify(tmp_path, "numpy", "0x" + bytes(32).hex())
    assert caught.value.code is Code.BAD_SIGNATURE
    sidecar = tmp_path / SIGNATURE_NAME
    sidecar.write_bytes(sidecar.read_bytes()[:-1] + b"?")
    with pytest.raises(InvalidInput):
        commands.verify(tmp_path, "numpy")
    sidecar.unlink()
    with pytest.raises(InvalidInput, match="beside"):
        commands.verify(tmp_path, "numpy", name)


def test_a_table_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    arguments = ["train", "--csv", str(tmp_path / "no.csv"), "--task", "regress", "--target", "y"]
    result = CliRunner().invoke(models_command, [*arguments, "--out", str(tmp_path / "out")])
    assert result.exit_code != 0
    assert not (tmp_path / "out").exists()


def test_a_package_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    for run in (lambda: commands.verify(tmp_path, "numpy"), lambda: commands.show(tmp_path)):
        with pytest.raises(InvalidInput, match="there is no package") as caught:
            run()
        assert caught.value.code is Code.NOT_FOUND


def test_an_installation_without_models_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("andon.cli.models_local.ENGINE", "models.nowhere")
    result = CliRunner().invoke(models_command, ["train"])
    assert isinstance(result.exception, Misuse)
    assert "checkout" in result.exception.hint


@pytest.mark.parametrize(
    "verb", ["appoint", "ask", "publish", "list", "show", "alias", "audit", "sign"]
)
def test_every_verb_explains_itself(verb: str) -> None:
    result = CliRunner().invoke(models_command, [verb, "--help"])
    assert result.exit_code == 0
    assert "Usage" in result.output


def test_a_tolerance_below_ten_units_is_refused_before_anything_is_sent() -> None:
    result = CliRunner().invoke(models_command, ["appoint", "wear", "--tolerance", "9"])
    assert result.exit_code == 2

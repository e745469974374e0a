"""The key in a module: SoftHSM, which behaves as hardware does and is installed by name."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from andon.core.certificate import Vote, VoteKind, vote_signing_bytes
from andon.core.errors import Code, InvalidInput
from andon.core.keys import verify

MODULES = (
    Path("/usr/lib/softhsm/libsofthsm2.so"),
    Path("/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"),
    Path("/opt/homebrew/lib/softhsm/libsofthsm2.so"),
)
MODULE = next((path for path in MODULES if path.exists()), None)
TOKEN, LABEL, PIN = "andon", "validator", "1234"

pytestmark = pytest.mark.skipif(
    MODULE is None or shutil.which("softhsm2-util") is None, reason="needs SoftHSM (softhsm2)"
)

PROGRAM = f"""
import pkcs11, sys
from pathlib import Path
from pkcs11 import KeyType, Mechanism
from pkcs11.util.ec import encode_named_curve_parameters
from pkcs11 import Attribute
with pkcs11.lib(sys.argv[1]).get_token(token_label="{TOKEN}").open(rw=True, user_pin="{PIN}") as s:
    parameters = s.create_domain_parameters(
        KeyType.EC_EDWARDS,
        {{Attribute.EC_PARAMS: bytes.fromhex("130c656477617264733235353139")}},
        local=True,
    )
    parameters.generate_keypair(
        mechanism=Mechanism.EC_EDWARDS_KEY_PAIR_GEN, store=True, label="{LABEL}"
    )
"""


@pytest.fixture(scope="module", autouse=True)
def _token(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("hsm")
    (folder / "tokens").mkdir()
    config = folder / "softhsm2.conf"
    config.write_text(f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\n")
    os.environ["SOFTHSM2_CONF"] = str(config)  # the module reads it when it is loaded
    command = ["softhsm2-util", "--init-token", "--free", "--label", TOKEN]
    subprocess.run([*command, "--pin", PIN, "--so-pin", "5678"], check=True, capture_output=True)
    import sys

    subprocess.run([sys.executable, "-c", PROGRAM, str(MODULE)], check=True)


def test_votes_are_signed_inside_the_module_under_the_same_rules(tmp_path: Path) -> None:
    from node.signer import FileSigner, SignStateFile
    from node.signer.pkcs11 import Pkcs11Key

    assert MODULE is not None
    with (
        Pkcs11Key(MODULE, TOKEN, LABEL, PIN) as key,
        SignStateFile(tmp_path / "sign_state", may_create=True) as file,
    ):
        signer = FileSigner("chain", key, file)
        vote = Vote(VoteKind.NOTAR, 0, 1, b"a" * 32)
        signed = signer.sign(vote, 0)
        verify(key.public, vote_signing_bytes("chain", vote), signed.signature)
        # RFC 8032 signatures are deterministic: the module gives the same bytes again.
        assert signer.sign(vote, 0).signature == signed.signature
        with pytest.raises(InvalidInput) as refused:
            signer.sign(Vote(VoteKind.NOTAR, 0, 1, b"b" * 32), 0)
        assert refused.value.code is Code.SIGN_REFUSED


@pytest.mark.parametrize(
    ("token", "label", "pin"),
    [(TOKEN, LABEL, "wrong"), ("nothing", LABEL, PIN), (TOKEN, "nothing", PIN)],
)
def test_what_is_not_there_is_told_without_the_pin(token: str, label: str, pin: str) -> None:
    from node.signer.pkcs11 import Pkcs11Key

    assert MODULE is not None
    with pytest.raises(InvalidInput) as error:
        Pkcs11Key(MODULE, token, label, pin)
    assert error.value.code is Code.BAD_KEY
    assert pin not in str(error.value)

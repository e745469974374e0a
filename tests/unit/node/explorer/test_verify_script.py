"""The browser's verifier against the Python one: the same bundles, honest and forged."""

import json
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest

import node.explorer
from andon.core.codec import Dec, encode_value
from andon.core.errors import InvalidInput
from andon.core.genesis import Genesis, genesis_to_json
from andon.core.keys import PrivateKey
from andon.core.proof import decode_bundle, encode_bundle, verify_bundle
from andon.core.state_key import state_key
from andon.core.transaction import TransactionBody, make_call, sign_transaction
from node.facade import Wait
from node.rpc import proofs
from node.testing.memory_node import CHAIN_ID, MemoryNode

SCRIPT = Path(node.explorer.__file__).parent / "assets" / "verify.js"
NODE = shutil.which("node")
KEY = PrivateKey(b"\x2a" * 32)

pytestmark = pytest.mark.skipif(NODE is None, reason="needs Node.js")

RUNNER = """
import { readFileSync } from "node:fs";
const { verifyBundle } = await import(process.argv[2]);
const given = JSON.parse(readFileSync(0, "utf-8"));
const out = [];
for (const proof of given.proofs) {
  try {
    out.push(await verifyBundle(given.genesis, Uint8Array.from(Buffer.from(proof, "hex"))));
  } catch (error) { out.push({ refused: error.message }); }
}
console.log(JSON.stringify(out));
"""


def in_javascript(tmp_path: Path, genesis: Genesis, bundles: list[bytes]) -> list[dict[str, str]]:
    module, runner = tmp_path / "verify.mjs", tmp_path / "run.mjs"
    module.write_bytes(SCRIPT.read_bytes())
    runner.write_text(RUNNER)
    given = {
        "genesis": json.loads(genesis_to_json(genesis)),
        "proofs": [bundle.hex() for bundle in bundles],
    }
    done = subprocess.run(
        [str(NODE), str(runner), str(module)],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    answers: list[dict[str, str]] = json.loads(done.stdout)
    return answers


def verdict(genesis: Genesis, bundle: bytes) -> bool:
    try:
        verify_bundle(genesis, decode_bundle(bundle))
    except InvalidInput:
        return False
    return True


async def chain() -> tuple[MemoryNode, dict[str, bytes]]:
    here = MemoryNode()
    calls = tuple(
        make_call("maintenance", "assess", {"machine": f"M{number}", "window": bytes([number])})
        for number in range(1, 6)
    )
    body = TransactionBody(CHAIN_ID, KEY.public, bytes(8), 100, 10_000, calls)
    await here.submit(sign_transaction(body, KEY), Wait.FINAL, 1000)
    block = await here.block(1)
    final = block.final
    found = {
        "prediction": await proofs.prove_prediction(here, block, 3, None),
        "receipt": await proofs.prove_receipt(here, block, 0),
        "transaction": await proofs.prove_transaction(here, block, 0),
    }
    for name, machine in (("present", "M2"), ("absent", "M9")):
        key = state_key("maintenance", "machines", machine)
        found[name] = await proofs.prove_state(here, await here.state(key))
    assert final.path == ()
    return here, found


async def test_honest_bundles_of_every_kind_hold_in_javascript(tmp_path: Path) -> None:
    here, found = await chain()
    answers = in_javascript(tmp_path, here.genesis, list(found.values()))
    assert [answer["what"] for answer in answers] == [
        "prediction", "receipt", "transaction", "state", "state",
    ]  # fmt: skip
    assert answers[0]["output"] == "4"
    assert answers[0]["votes"] == "4 of 4"
    assert [answers[3]["present"], answers[4]["present"]] == ["yes", "no"]


async def test_both_verifiers_refuse_the_same_forgeries(tmp_path: Path) -> None:
    here, found = await chain()
    forged: list[bytes] = []
    for name in ("prediction", "present", "absent"):
        data = found[name]
        places = range(0, len(data), 23)
        forged += [data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :] for at in places]
        forged += [data[:-1], data + b"\xc0", b""]
    bundle = decode_bundle(found["prediction"])
    subject = msgspec.structs.replace(
        bundle.subject, record=msgspec.structs.replace(bundle.subject.record, output=(99,))
    )
    forged.append(encode_bundle(msgspec.structs.replace(bundle, subject=subject)))
    # A flipped bit in the key of an absence makes another true statement, about another key.
    expected = [verdict(here.genesis, data) for data in forged]
    assert sum(expected) <= 2
    answers = in_javascript(tmp_path, here.genesis, forged)
    assert ["what" in answer for answer in answers] == expected


async def test_another_genesis_is_another_network(tmp_path: Path) -> None:
    _, found = await chain()
    stranger = MemoryNode(chain_id="other").genesis
    (answer,) = in_javascript(tmp_path, stranger, [found["prediction"]])
    assert "another network" in answer["refused"]


def test_open_values_in_the_genesis_do_not_disturb_it(tmp_path: Path) -> None:
    genesis = MemoryNode().genesis
    odd = {"a": [Dec(-5), -(2**70), (1, "ü")], 7: None, b"\x01": {"x": True}, "validators": []}
    extra = msgspec.structs.replace(genesis.contracts[0], name="odd", args=encode_value(odd))
    whole = msgspec.structs.replace(genesis, contracts=(*genesis.contracts, extra))
    (answer,) = in_javascript(tmp_path, whole, [b"\x95"])
    assert "too early" in answer["refused"]  # the genesis was read, then the proof was not

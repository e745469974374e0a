"""The command line in process, against a node in memory."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from andon.cli import main as main_module
from andon.cli.assertion import parse_condition
from andon.cli.context import parse_arguments, parse_value
from andon.cli.status import Row, render
from andon.client.wallet import Wallet
from andon.core.codec import Dec
from andon.core.errors import InvalidInput
from andon.core.genesis import genesis_to_json
from node.testing.memory_node import MemoryNode
from scripts import load_network
from tests.unit.andon.cli.conftest import Andon, send
from tests.unit.contracts_py.plants import GEAR
from tests.unit.contracts_py.test_quality import CRACK, inspect, works


def test_send_tells_the_hash_first_and_the_result_last(andon: Andon) -> None:
    result = send(andon)
    assert result.code == 0
    assert result.err.startswith("hash 0x")
    assert result.json()["results"] == [{"rul": 5, "machine": "M1"}]


def test_a_failed_call_exits_5_with_the_line(andon: Andon) -> None:
    result = send(andon, method="breaks")
    assert result.code == 5
    assert "line 12: rul below zero" in result.err


def test_a_call_that_is_not_final_in_time_exits_3_and_can_go_on(
    andon: Andon, served: tuple[MemoryNode, str]
) -> None:
    served[0].is_holding = True
    result = andon(
        "--timeout=0.05", "send", "maintenance.assess", "machine=M1", "window=0x31", "--from=me"
    )
    served[0].is_holding = False
    assert result.code == 3
    identity = result.err.split()[1]
    assert f"andon tx wait {identity}" in result.err
    again = andon("tx", "wait", identity)
    assert (again.code, again.out.split()[0]) == (0, "final")


def test_a_view_is_called_with_typed_arguments(andon: Andon) -> None:
    send(andon)
    assert andon("--json", "call", "maintenance.status", "machine=M1").json()["rul"] == 5
    refused = andon("call", "maintenance.nothing")
    assert refused.code == 5
    assert "E_NO_METHOD" in refused.err


def test_a_view_is_asked_at_a_height(andon: Andon) -> None:
    height = send(andon).json()["height"]
    call = ("--json", "call", "maintenance.status", "machine=M1", "--height")
    assert andon(*call, str(height)).json()["rul"] == 5
    refused = andon(*call, "0")
    assert refused.code == 1
    assert refused.json()["error"]["name"] == "HEIGHT_UNKNOWN"  # type: ignore[index]


def test_no_node_exits_6(andon: Andon) -> None:
    result = andon("call", "maintenance.status", "machine=M1", url="http://127.0.0.1:9")
    assert result.code == 6
    assert "UNREACHABLE" in result.err
    assert andon("status", url="http://127.0.0.1:9").code == 6


def test_status_shows_every_node_and_exits_7_if_one_is_not_ready(
    andon: Andon, served: tuple[MemoryNode, str]
) -> None:
    assert andon("status").code == 0
    served[0].is_ready = False
    result = andon("status")
    served[0].is_ready = True
    assert result.code == 7
    assert "no: peers: no quorum of peers" in result.out


def test_status_tells_when_state_roots_differ() -> None:
    fields: dict[str, object] = {
        "height": "3", "time_ms": "1", "epoch": "0", "slot": "3", "peers": [], "mempool_count": 0,
        "worker_state": "ready", "is_ready": True, "not_ready": [],
    }  # fmt: skip
    rows = [Row("a", {**fields, "state_root": "0x01"}), Row("b", {**fields, "state_root": "0x02"})]  # type: ignore[dict-item]
    assert "STATE ROOTS DIFFER at height 3" in render(rows)


def test_a_prediction_is_written_and_verified_offline(
    andon: Andon, served: tuple[MemoryNode, str], tmp_path: Path
) -> None:
    identity = send(andon, window="0x0701").json()["hash"]
    transaction = andon("--json", "query", "tx", str(identity)).json()
    prediction = transaction["predictions"][0]["id"]  # type: ignore[index]
    proof, genesis = tmp_path / "p.proof", tmp_path / "other-genesis.json"
    assert andon("query", "prediction", prediction, "--out", str(proof)).code == 0
    genesis.write_bytes(genesis_to_json(served[0].genesis))
    nowhere = "http://127.0.0.1:9"
    good = andon("--json", "verify", str(proof), "--genesis", str(genesis), url=nowhere)
    assert good.code == 0
    assert good.json()["output"] == [8]
    assert good.json()["votes"] == "4/4"
    data = bytearray(proof.read_bytes())
    data[-3] ^= 1
    proof.write_bytes(data)
    assert andon("verify", str(proof), "--genesis", str(genesis), url=nowhere).code == 1
    assert andon("verify", str(proof), url=nowhere).code == 1


def test_state_blocks_events_and_validators_are_queried(andon: Andon) -> None:
    send(andon)
    assert andon("--json", "query", "state", "maintenance.machines", "M1").json()["rul"] == 5
    assert andon("query", "state", "maintenance.machines", "nobody").out == "null\n"
    assert andon("--json", "query", "block").json()["signers"]
    assert andon("query", "block", "1").code == 0
    assert andon("query", "block", "x").code == 1
    assert len(andon("--json", "query", "validators").json()["validators"]) == 4  # type: ignore[arg-type]
    assert andon("--json", "query", "events").json()["events"]
    watched = andon("watch", "events", "--from", "0-0-0", "--count", "1")
    assert watched.out.startswith("2-0-0")
    assert "go on with --from 2-0-0" in watched.err


def test_keys_are_made_listed_and_never_shown(andon: Andon, tmp_path: Path) -> None:
    made = andon("--json", "keys", "new", "gateway").json()
    listed = andon("keys", "list").out
    assert str(made["public"]) in listed
    secret = json.loads((tmp_path / "keys" / "gateway.key").read_text())["seed"]
    assert secret not in listed
    assert andon("keys", "new", "gateway").code == 1
    assert andon("keys", "show", "nobody").code == 1


def test_a_key_signs_statements_that_anybody_checks(andon: Andon, tmp_path: Path) -> None:
    note, other = tmp_path / "note", tmp_path / "other"
    note.write_bytes(b"press 7 was repaired")
    other.write_bytes(b"press 8 was repaired")
    made = andon("--json", "keys", "sign", "me", str(note)).json()
    public, signature = str(made["public"]), str(made["signature"])
    assert andon("keys", "verify", public, str(note), signature).code == 0
    assert andon("keys", "verify", "me", str(note), signature).out == "valid\n"
    assert andon("keys", "verify", public, str(other), signature).code == 1
    assert andon("--json", "keys", "verify", public, str(note), "0x00").json()["valid"] is False


def test_a_key_leaves_the_wallet_locked_or_on_purpose(andon: Andon, tmp_path: Path) -> None:
    out = tmp_path / "out.key"
    refused = andon("keys", "export", "me", str(out))
    assert (refused.code, out.exists()) == (1, False)
    assert "--unsafe" in refused.err
    assert andon("keys", "export", "me", str(out), "--unsafe").code == 0
    assert out.stat().st_mode & 0o777 == 0o600
    assert andon("keys", "import", "copy", str(out)).code == 0
    assert andon("keys", "show", "copy").out == andon("keys", "show", "me").out
    assert andon("keys", "export", "me", str(out), "--unsafe").code == 1


def test_transactions_are_watched_from_a_height(andon: Andon) -> None:
    send(andon)
    watched = andon("watch", "txs", "--from", "1", "--count", "1")
    assert "maintenance.assess" in watched.out
    assert "go on with --from" in watched.err
    assert andon("--json", "watch", "blocks", "--from", "1", "--count", "1").json()["hash"]


def test_predictions_are_watched_with_their_votes(andon: Andon) -> None:
    send(andon)
    watched = andon("watch", "predictions", "--from", "1", "--count", "1")
    assert "maintenance  model 0x" in watched.out
    assert "[5]  4 of 4 votes" in watched.out
    both = ("--contract", "maintenance", "--from", "1", "--count", "1")
    found = andon("--json", "watch", "predictions", *both).json()
    assert (found["output"], found["votes"], found["contract"]) == ([5], 4, "maintenance")


def test_a_prediction_has_the_same_fields_in_every_verb(
    andon: Andon, served: tuple[MemoryNode, str], tmp_path: Path
) -> None:
    identity = send(andon).json()["hash"]
    shown = andon("--json", "query", "tx", str(identity)).json()["predictions"][0]  # type: ignore[index]
    proof, genesis = tmp_path / "p.proof", tmp_path / "genesis.json"
    genesis.write_bytes(genesis_to_json(served[0].genesis))
    queried = andon("--json", "query", "prediction", shown["id"], "--out", str(proof)).json()
    height = str(queried["height"])
    exported = andon("export", "predictions", "--first", height, "--last", height).json()
    watched = andon("--json", "watch", "predictions", "--from", height, "--count", "1").json()
    assert list(exported.items())[:-1] == list(queried.items()) == list(watched.items())
    assert list(exported)[-1] == "block"
    verified = andon("--json", "verify", str(proof), "--genesis", str(genesis)).json()
    assert list(verified)[1:8] == list(queried)[:7]


def test_rounds_of_one_run_are_watched(andon: Andon) -> None:
    for run in ("other", "life"):
        arguments = ["machine=M1", "window=0x05", f"run={run}", "--from", "me"]
        assert andon("send", "training.opened", *arguments).code == 0
    one = andon("--json", "watch", "fl", "life", "--from", "0-0-0", "--count", "1").json()
    assert (one["contract"], one["fields"]["run"]) == ("training", "life")  # type: ignore[index]
    first = andon("--json", "watch", "fl", "--from", "0-0-0", "--count", "1").json()
    assert first["fields"]["run"] == "other"  # type: ignore[index]


def test_a_machine_and_a_lot_are_queried_by_name(
    andon: Andon, served: tuple[MemoryNode, str]
) -> None:
    send(andon)
    assert andon("--json", "query", "machine", "M1").json() == {"rul": 5, "machine": "M1"}
    absent = andon("query", "machine", "M2")
    assert (absent.code, "maintenance knows no machine M2" in absent.err) == (1, True)
    world = works()
    inspect(world, CRACK)
    served[0].adopt(world.host)
    lot = andon("--json", "query", "lot", GEAR).json()
    assert (lot["status"], lot["counts"]["REJECT"]) == ("QUARANTINED", 1)  # type: ignore[index]
    assert "quality knows no lot L2" in andon("query", "lot", "L2").err


def test_assert_waits_and_exits_8_with_what_it_saw(andon: Andon) -> None:
    send(andon)
    assert andon("assert", "height >= 1 within 5s on all", "is_ready == true").code == 0
    failed = andon("assert", "height >= 100000")
    assert failed.code == 8
    assert "does not hold" in failed.out
    assert andon("assert", "nonsense").code == 1


@pytest.mark.parametrize(
    "text", ["height", "height >= ", "height ~ 3", ">= 3", "height >= 3 within"]
)
def test_conditions_out_of_form_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_condition(text)


def test_arguments_are_read_by_their_form(tmp_path: Path) -> None:
    path = tmp_path / "w.bin"
    path.write_bytes(b"\x01\x02")
    pairs = ["a=text", "b=7", "c=0x0a", "d=1.5", f"e=@{path}", "f=[1, 2]", 'g="7"', "h=true"]
    assert parse_arguments(pairs) == {
        "a": "text",
        "b": 7,
        "c": b"\n",
        "d": Dec(15 * 10**17),
        "e": b"\x01\x02",
        "f": [1, 2],
        "g": "7",
        "h": True,
    }
    assert parse_value("{x") == "{x"
    for bad in (["x"], ["=1"], ["a=1", "a=2"], ["a=@/nowhere/at/all"]):
        with pytest.raises(InvalidInput):
            parse_arguments(bad)


def test_a_bench_tells_offered_accepted_and_final_apart(
    served: tuple[MemoryNode, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Wallet(tmp_path / "keys").create("me", b"\x2a" * 32)
    call = ["maintenance.assess", "machine=M{n}", "window=0x31"]
    options = [f"--home={tmp_path}", f"--node={served[1]}", "--sender=me", "--rate=40"]
    out = tmp_path / "report.json"
    ramp = ["--seconds=0.2", "--controller=ramp", f"--out={out}", "--json"]
    assert load_network.main([*options, *ramp, *call]) == 0
    steps = json.loads(capsys.readouterr().out)["steps"]
    assert [step["offered_per_s"] for step in steps] == [10.0, 20.0, 30.0, 40.0]
    assert [step["final"] for step in steps] == [2, 4, 6, 8]
    assert all(set(step["final_ms"]) == {"p50", "p95", "p99", "max"} for step in steps)
    assert json.loads(out.read_text())["call"] == "maintenance.assess"
    assert not any("cpu_s" in step for step in steps)  # no network in --home
    assert load_network.main([*options, "--rate=1e6", *call]) == 1
    assert "at most" in capsys.readouterr().err


def test_help_lists_all_verbs_without_loading_them() -> None:
    program = (
        "import sys; sys.argv=['andon','--help']\n"
        "from andon.cli.main import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print([m for m in ('aiohttp','andon.client','rich') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "verify" in done.stdout
    assert done.stdout.rstrip().endswith("[]")


def test_every_verb_loads_and_has_help(andon: Andon) -> None:
    for verb in main_module.VERBS:
        result = andon(verb, "--help")
        assert result.code == 0, verb
        assert "Usage" in result.out


def test_global_options_may_stand_behind_the_verb(andon: Andon) -> None:
    assert main_module.hoist(["send", "--home", "x", "a=--json", "--json", "--node=u"]) == [
        "--home", "x", "--json", "--node=u", "send", "a=--json",
    ]  # fmt: skip
    assert main_module.hoist(["call", "--", "--json"]) == ["call", "--", "--json"]
    assert main_module.hoist(["status", "--home"]) == ["--home", "status"]
    assert andon("status", "--json").json()["nodes"]


def test_unknown_verbs_are_usage_errors(andon: Andon) -> None:
    assert andon("nonsense").code == 2
    assert andon("send").code == 2


def test_blocks_and_predictions_are_exported_as_json_lines(andon: Andon, tmp_path: Path) -> None:
    done = andon("export", "blocks")
    assert done.code == 0
    blocks = [json.loads(line) for line in done.out.splitlines()]
    assert [int(block["header"]["height"]) for block in blocks] == list(range(1, len(blocks) + 1))
    out = tmp_path / "predictions.jsonl"
    assert andon("export", "predictions", "--out", str(out)).code == 0
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["id"] for line in lines] == [item for b in blocks for item in b["predictions"]]
    assert andon("export", "blocks", "--first", "0").code == 1

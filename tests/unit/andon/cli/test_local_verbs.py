"""Verbs about a local network that need no process: manifest, tail, what `up` passes on."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from andon.cli import local
from andon.cli import main as main_module
from andon.cli.manifest import NetworkFile, load_network_file, parse_network_file
from andon.client.wallet import Wallet
from andon.core.errors import Code, InvalidInput
from node.local_network import Plan, prepare

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def andon(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Run:
    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["andon", f"--home={tmp_path / 'net'}", *arguments])
        with pytest.raises(SystemExit) as caught:
            main_module.main()
        captured = capsys.readouterr()
        code = caught.value.code
        return code if isinstance(code, int) else 0, captured.out, captured.err

    return run


def test_a_manifest_is_written_once_and_says_what_it_was_told(andon: Run, tmp_path: Path) -> None:
    path = tmp_path / "net.toml"
    assert andon("init", str(path), "--validators=7", "--observers=1", "--seed=9")[0] == 0
    assert load_network_file(path) == NetworkFile(validators=7, observers=1, seed=9)
    code, _, err = andon("init", str(path))
    assert (code, "not overwritten" in err) == (1, True)
    assert json.loads(andon("--json", "validate", str(path))[1])["validators"] == 7
    assert andon("init", str(tmp_path / "other.toml"), "--validators=0")[0] == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("validators = 65", "validators are 1 to 64"),
        ("observers = -1", "observers are 0 to 16"),
        ("base_port = 65530", "ports are"),
        ("worker = 'abacus'", "worker is one of"),
        ("idle_block_ms = 0", "at least 1"),
        ("chain_id = ''", "chain_id"),
        ("validatorz = 4", "validatorz"),
        ("validators = 'four'", "int"),
        ("= 4", "Invalid"),
    ],
)
def test_a_manifest_out_of_form_is_refused(text: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason) as caught:
        parse_network_file(text, "net.toml")
    assert caught.value.code is Code.BAD_CONFIG


def test_up_takes_the_manifest_and_what_is_given_on_the_line_counts_more(
    andon: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed: list[list[str]] = []

    def launch(module: str, arguments: list[str]) -> int:
        passed.append([module, *arguments])
        return 0

    monkeypatch.setattr(local, "run_launcher", launch)
    path = tmp_path / "net.toml"
    path.write_text("validators = 7\nobservers = 2\nseed = 5\n", encoding="utf-8")
    assert andon("up", f"--manifest={path}", "--observers=1", "--fast", "--detach")[0] == 0
    assert passed[-1][0] == "scripts.launch_cluster"
    wanted = {"--validators=7", "--observers=1", "--seed=5", "--worker=none", "--detach"}
    assert wanted | {"--idle-block-ms=200"} <= set(passed[-1])
    assert andon("up")[0] == 0
    assert not any(item.startswith("--with") for item in passed[-1])
    assert {"--validators=4", "--worker=cpu"} <= set(passed[-1])
    assert not any(item.startswith("--seed") for item in passed[-1])


def test_up_goes_on_with_the_nodes_that_the_network_has(
    andon: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed: list[list[str]] = []
    monkeypatch.setattr(local, "run_launcher", lambda _, arguments: passed.append(arguments) or 0)
    prepare(Plan(home=tmp_path / "net", validators=2, observers=1, seed=1))
    assert andon("up")[0] == 0
    assert {"--validators=2", "--observers=1"} <= set(passed[-1])
    assert andon("up", "--reset")[0] == 0
    assert {"--validators=4", "--observers=0"} <= set(passed[-1])


def test_up_starts_companions_by_name(
    andon: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed: list[list[str]] = []
    monkeypatch.setattr(local, "run_launcher", lambda _, arguments: passed.append(arguments) or 0)
    assert andon("up", "--with", "mqtt,explorer", "--with=prometheus")[0] == 0
    assert {"--with=mqtt", "--with=explorer", "--with=prometheus", "--observers=1"} <= set(
        passed[-1]
    )
    assert andon("up", "--with=explorer", "--observers=3")[0] == 0
    assert "--observers=3" in passed[-1]
    code, _, err = andon("up", "--with=kafka")
    assert (code, "'kafka' is none of explorer, mqtt, prometheus" in err) == (2, True)


def test_a_rotated_key_is_found_by_the_name_and_by_the_role_of_its_account(
    andon: Run, tmp_path: Path
) -> None:
    home = tmp_path / "net"
    prepare(Plan(home=home, validators=1, seed=1))
    before = andon("keys", "show", "operator")[1]
    assert andon("keys", "show", "org-1-operator")[1] == before
    Wallet(home / "keys").create("fresh")
    assert Wallet(home / "keys").promote("fresh", "org-1-operator") == ""
    after = andon("keys", "show", "operator")[1]
    assert after != before
    Wallet(home / "keys").create("fresh")
    kept = Wallet(home / "keys").promote("fresh", "org-1-operator")
    assert andon("keys", "show", kept)[1] == after


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    home = tmp_path / "net"
    prepare(Plan(home=home, validators=2, seed=1))
    rows = {
        "node-1": [("1", "info", "block.final"), ("3", "warning", "peer.banned")],
        "node-2": [("2", "debug", "vote.sent"), ("4", "error", "disk.full")],
    }
    for name, entries in rows.items():
        folder = home / name / "logs"
        lines = [
            json.dumps({"event": event, "level": level, "ts": f"2026-01-01T00:00:0{second}.000Z"})
            for second, level, event in entries
        ]
        (folder / "node.log").write_text("\n".join(lines) + "\n", encoding="utf-8")
    with (home / "node-1" / "logs" / "node.log").open("a", encoding="utf-8") as file:
        file.write("Traceback: no JSON\n")
    return home


@pytest.mark.usefixtures("logs")
def test_tail_merges_logs_by_time_and_filters(andon: Run) -> None:
    lines = andon("tail", "--no-follow")[1].splitlines()
    assert [line.split()[1] for line in lines] == ["node-1", "node-1", "node-2", "Traceback:"]
    assert "disk.full" in lines[2]
    only = andon("--json", "tail", "2", "--no-follow", "--level=debug", "--event=vote.*")[1]
    assert json.loads(only)["event"] == "vote.sent"
    assert andon("tail", "--no-follow", "-n", "0")[1] == ""
    assert andon("tail", "node-9", "--no-follow")[0] == 1


def test_tail_goes_on_in_the_next_file_when_a_log_is_rotated(logs: Path) -> None:
    from andon.cli.tail import Log

    path = logs / "node-2" / "logs" / "node.log"
    log = Log("node-2", path)
    assert len(log.backlog()) == 2
    with path.open("a", encoding="utf-8") as file:
        file.write("half")
        file.flush()
        assert list(log.lines()) == []
        file.write(" whole\nlast\n")
    path.rename(path.with_suffix(".log.1"))
    path.write_text("new\n", encoding="utf-8")
    assert list(log.lines()) == ["half whole\n", "last\n"]
    assert list(log.lines()) == ["new\n"]
    log.close()


def test_tail_of_what_never_ran_says_so(andon: Run, tmp_path: Path) -> None:
    assert "no network" in andon("tail")[2]
    prepare(Plan(home=tmp_path / "net", validators=1, seed=1))
    assert "did they ever run" in andon("tail")[2]

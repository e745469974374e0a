"""What `andon doctor` finds, on files and answers that are right and wrong."""

from __future__ import annotations

import platform
import time
from pathlib import Path

import pytest

from andon.cli import diagnosis
from andon.cli.diagnosis import Finding, check_home, check_machine, check_nodes
from andon.cli.status import Row


def bad(findings: list[Finding]) -> set[str]:
    return {finding.name.rpartition(": ")[2] for finding in findings if not finding.is_ok}


def reply(**changes: object) -> dict[str, object]:
    return {
        "height": "100",
        "time_ms": str(time.time_ns() // 1_000_000),
        "genesis_hash": "0xaa",
        "version": "0.1.0",
        "not_ready": [],
        **changes,
    }


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "node-1"
    (home / "keys").mkdir(parents=True)
    for name in ("config.toml", "genesis.json", "keys/node.key", "keys/validator.key"):
        (home / name).write_text("", encoding="utf-8")
        (home / name).chmod(0o600)
    (home / "data/chain").mkdir(parents=True)
    (home / "sign_state").touch(mode=0o600)
    return home


def test_a_home_in_order_has_no_finding_and_each_flaw_has_one(home: Path) -> None:
    assert bad(check_home(home)) == set()
    (home / "keys/validator.key").chmod(0o640)
    assert bad(check_home(home)) == {"modes"}
    (home / "sign_state").unlink()
    (home / "genesis.json").unlink()
    (home / "crash").touch()
    assert bad(check_home(home)) == {"modes", "sign state", "files", "left behind"}


def test_an_observer_needs_no_sign_state(home: Path) -> None:
    (home / "keys/validator.key").unlink()
    (home / "sign_state").unlink()
    assert bad(check_home(home)) == set()


def test_a_home_on_a_network_file_system_is_a_finding(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnosis, "_NETWORK_FILE_SYSTEMS", (diagnosis._file_system(home),))
    assert bad(check_home(home)) == {"file system"}


def test_nodes_that_agree_and_are_near_each_other_have_no_finding() -> None:
    rows = [Row("http://a", reply(), clock_off_s=0), Row("http://b", reply(height="95"))]
    assert bad(check_nodes(rows)) == set()
    assert check_nodes([]) == []


def test_nodes_that_differ_lag_or_have_a_wrong_clock_are_found() -> None:
    old = str(time.time_ns() // 1_000_000 - 600_000)
    rows = [
        Row("http://a", reply(time_ms=old), clock_off_s=-7),
        Row("http://b", reply(time_ms=old, height="50", version="0.2.0", genesis_hash="0xbb")),
        Row("http://c", reply(time_ms=old, not_ready=["lag: 50 blocks"])),
        Row("http://d", None, "refused"),
    ]
    assert bad(check_nodes(rows)) == {
        "http://a clock",
        "http://b height",
        "http://c ready",
        "http://d",
        "genesis hash",
        "version",
        "last block",
    }


def test_a_machine_is_measured_where_the_data_shall_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {finding.name: finding.seen for finding in check_machine(tmp_path)}
    assert "ms (median" in seen["durable write"]
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(diagnosis, "WRITE_MS_MAX", 0)
    monkeypatch.setattr(diagnosis, "FREE_BYTES_MIN", 2**60)
    monkeypatch.setattr(diagnosis, "MEMORY_BYTES_MIN", 2**60)
    assert {"durable write", "disk", "memory"} <= bad(check_machine(tmp_path))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("'--prefix=/opt/py' '--enable-optimizations' '--with-lto'", ""),
        ("'--enable-shared' '--prefix=/usr' '--enable-ipv6'", ""),
        ("'--prefix=/root/.pyenv/versions/3.11.7' '--enable-shared'", "slow"),
    ],
)
def test_an_interpreter_that_was_built_slow_is_named(
    monkeypatch: pytest.MonkeyPatch, arguments: str, said: str
) -> None:
    monkeypatch.setattr(diagnosis.sysconfig, "get_config_var", lambda _: arguments)
    found = {item.name: item for item in check_machine(Path.cwd())}["python"]
    assert found.is_ok
    assert found.seen.endswith(said or platform.python_version())

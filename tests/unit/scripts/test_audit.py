"""The audit finds weak versions, missing hashes and unknown licences."""

import json
import sys
from pathlib import Path

import pytest

from scripts import audit

LOCK = """\
aiohttp==3.14.4 \\
    --hash=sha256:aa \\
    --hash=sha256:bb
cffi==2.1.1 ; platform_python_implementation != 'PyPy' \\
    --hash=sha256:cc
cryptography==50.0.0 \\
    --hash=sha256:dd
lmdb==2.3.0 \\
    --hash=sha256:ee
msgpack==1.2.10 \\
    --hash=sha256:ff
pynacl==1.6.2 \\
    --hash=sha256:00
"""


def test_pins_are_read_with_their_hashes() -> None:
    pins = audit.read_pins(LOCK)
    assert [(pin.name, pin.version) for pin in pins][:2] == [
        ("aiohttp", "3.14.4"),
        ("cffi", "2.1.1"),
    ]
    assert pins[0].hashes == ("aa", "bb")


def test_versions_at_or_above_their_floors_pass() -> None:
    assert list(audit.check_pins(audit.read_pins(LOCK))) == []


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        ("aiohttp==3.14.4", "aiohttp==3.14.3", "aiohttp 3.14.3: below 3.14.4"),
        ("pynacl==1.6.2", "pynacl==1.5.9", "pynacl 1.5.9: below 1.6.2"),
        ("    --hash=sha256:ee\n", "", "lmdb 2.3.0: no hash"),
        ("msgpack==", "msgpack-other==", "msgpack: has a floor but no pin"),
    ],
)
def test_what_is_weak_is_found(old: str, new: str, finding: str) -> None:
    found = list(audit.check_pins(audit.read_pins(LOCK.replace(old, new))))
    assert len(found) == 1
    assert found[0].startswith(finding)


def test_a_licence_that_nobody_allowed_is_found() -> None:
    licences = {"a": "MIT", "b": "BSD-3-Clause", "c": "Proprietary", "d": ""}
    assert [line.split(":")[0] for line in audit.check_licences(licences)] == ["c"]


def test_bill_of_materials_is_the_same_for_the_same_lock() -> None:
    pins = audit.read_pins(LOCK)
    licences = {pin.name: "MIT" for pin in pins}
    text = audit.render_sbom(pins, licences)
    assert text == audit.render_sbom(list(reversed(pins)), licences)
    document = json.loads(text)
    assert document["components"][0]["purl"] == "pkg:pypi/aiohttp@3.14.4"
    assert len(document["components"]) == len(pins)


def test_the_lock_of_the_image_passes() -> None:
    pins = audit.read_pins((audit.ROOT / audit.LOCK).read_text(encoding="utf-8"))
    assert list(audit.check_pins(pins)) == []
    assert list(audit.check_licences({pin.name: audit.licence_of(pin) for pin in pins})) == []


def test_every_floor_says_why() -> None:
    assert [name for name, (_, reason) in audit.FLOORS.items() if not reason] == []
    assert Path(audit.ROOT / audit.LOCK).is_file()


def database(tmp_path: Path, program: str) -> list[str]:
    """A command in the place of pip-audit."""
    path = tmp_path / "tool.py"
    path.write_text(program, encoding="utf-8")
    return [sys.executable, str(path)]


def said(answers: list[dict[str, object]], status: int = 0) -> str:
    """A program that says so."""
    text = json.dumps({"dependencies": answers, "fixes": []})
    return f"import sys\nassert '--require-hashes' in sys.argv\nprint({text!r})\nsys.exit({status})"


SOUND = {"name": "lmdb", "version": "2.3.0", "vulns": []}
WEAK = {
    "name": "aiohttp",
    "version": "3.14.4",
    "vulns": [{"id": "CVE-1", "fix_versions": ["3.14.5"], "aliases": [], "description": "x"}],
}
UNKNOWN = {"name": "cffi", "skip_reason": "not found on PyPI"}


@pytest.mark.parametrize(
    ("program", "is_weak", "line"),
    [
        (said([SOUND, UNKNOWN]), False, "asked about 1 of 2 pins, 0 have vulnerabilities"),
        (said([SOUND, WEAK], 1), True, "aiohttp 3.14.4: CVE-1, fixed in 3.14.5"),
        (said([UNKNOWN, UNKNOWN]), False, "NOT asked for: the database knows none of 2 pins"),
        ("import sys; sys.exit('ERROR: no route')", False, "NOT asked for: ERROR: no route"),
        ("", False, "NOT asked for: it says nothing"),
    ],
    ids=["sound", "weak", "mirror", "unreachable", "silent"],
)
def test_what_the_database_says_or_does_not_is_told(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    program: str,
    is_weak: bool,  # noqa: FBT001 - a column of the table above
    line: str,
) -> None:
    assert audit.ask_database(lambda: database(tmp_path, program)) is is_weak
    assert line in capsys.readouterr().out


def test_without_a_tool_it_is_said_that_nobody_was_asked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert not audit.ask_database(list)
    assert "NOT asked for: pip-audit is not installed" in capsys.readouterr().out


def test_a_database_that_never_answers_is_given_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "ASK_S", 0.2)
    assert not audit.ask_database(lambda: database(tmp_path, "import time; time.sleep(60)"))
    assert "NOT asked for: no answer" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("programs", "expected"),
    [((), []), (("uvx",), ["uvx", "pip-audit"]), (("pip-audit", "uvx"), ["pip-audit"])],
)
def test_the_tool_is_found_on_the_path_or_run_by_uvx(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, programs: tuple[str, ...], expected: list[str]
) -> None:
    for name in programs:
        (tmp_path / name).write_text("#!/bin/sh\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = audit.find_pip_audit()
    if found[:1] == [sys.executable]:
        pytest.skip("this Python has pip-audit itself")
    assert [Path(word).name for word in found] == expected

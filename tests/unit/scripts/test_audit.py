"""The audit finds weak versions, missing hashes and unknown licences."""

import json
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

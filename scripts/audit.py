"""Look at what we depend on: security floors, licences, and a bill of materials.

Run by `make audit`. Reads the lock of the image and the metadata of what is installed; writes
`out/sbom.json` (CycloneDX 1.6). Exits 1 for a version below a floor, a pin without a hash, or a
licence that nobody has allowed, or a known vulnerability. A database is asked through `pip-audit`,
which is in no lock: it is used where this Python has it, where it is on the PATH, or by `uvx`.
Whatever was not asked is said.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parent.parent
LOCK = "docker/requirements.lock"
SBOM = "out/sbom.json"

NOT_ASKED = "audit: vulnerabilities NOT asked for:"
ASK_S = 300.0
PIP_AUDIT_OPTIONS = ("--require-hashes", "--disable-pip", "--format=json", "--progress-spinner=off")

# Lowest versions without a weakness that matters here, with the reason.
FLOORS = {
    "aiohttp": ("3.14.4", "request smuggling and memory limits, CVE-2026-69243 and others"),
    "cryptography": ("50.0.0", "CVE-2026-69247"),
    "lmdb": ("2.3.0", "thread and map size faults; patched LMDB for CVE-2019-16224 to 16228"),
    "msgpack": ("1.2.3", "memory leak and crash on hostile input, CVE-2026-114613"),
    "pynacl": ("1.6.2", "group check of points, CVE-2025-69277; consensus depends on it"),
}
ALLOWED = re.compile(
    r"MIT|BSD|Apache|PSF|Python Software Foundation|ISC|MPL|Mozilla Public|0BSD|Unlicense"
    r"|OLDAP|OpenLDAP|LGPL",
    re.IGNORECASE,
)
PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(?:\[[^\]]*\])?==(?P<version>[^ ;\\]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One locked version; `hashes` are SHA-256 of its files."""

    name: str
    version: str
    hashes: tuple[str, ...]


def main() -> int:
    """Audit the lock; 0 if nothing is wrong."""
    pins = read_pins((ROOT / LOCK).read_text(encoding="utf-8"))
    licences = {pin.name: licence_of(pin) for pin in pins}
    findings = [*check_pins(pins), *check_licences(licences)]
    out = ROOT / SBOM
    out.parent.mkdir(exist_ok=True)
    out.write_bytes(render_sbom(pins, licences))
    for line in findings:
        print(line)
    known = sum(1 for text in licences.values() if text)
    print(f"audit: {len(pins)} pins, {known} licences read, {len(findings)} findings, {SBOM}")
    return 1 if findings or ask_database() else 0


def read_pins(lock: str) -> list[Pin]:
    """Pins of a lock file, in its order."""
    pins: list[Pin] = []
    for line in lock.splitlines():
        start = PIN.match(line)
        if start is not None:
            pins.append(Pin(name=start["name"].lower(), version=start["version"], hashes=()))
        elif "--hash=sha256:" in line and pins:
            value = line.split("sha256:")[1].split()[0]
            last = pins[-1]
            pins[-1] = Pin(name=last.name, version=last.version, hashes=(*last.hashes, value))
    return pins


def check_pins(pins: list[Pin]) -> Iterator[str]:
    """Pins without a hash or below a floor."""
    for pin in pins:
        if not pin.hashes:
            yield f"{pin.name} {pin.version}: no hash in {LOCK}"
        floor, reason = FLOORS.get(pin.name, ("", ""))
        if floor and numbers(pin.version) < numbers(floor):
            yield f"{pin.name} {pin.version}: below {floor} ({reason})"
    for name in FLOORS:
        if name not in {pin.name for pin in pins}:
            yield f"{name}: has a floor but no pin in {LOCK}"


def numbers(version: str) -> tuple[int, ...]:
    """Numeric part of a release, for comparison."""
    return tuple(int(part) for part in re.findall(r"\d+", version.split("+", maxsplit=1)[0])[:3])


def licence_of(pin: Pin) -> str:
    """What the installed distribution says; empty if it is not installed here."""
    try:
        about = metadata.metadata(pin.name)
    except metadata.PackageNotFoundError:
        return ""
    named = (about.get_all("License-Expression") or [""])[0]
    classified = [
        text.rsplit(" :: ", 1)[-1]
        for text in about.get_all("Classifier") or []
        if text.startswith("License ::")
    ]
    stated = (about.get_all("License") or [""])[0].strip().splitlines()
    return named or ", ".join(classified) or (stated[0] if stated else "not stated")


def check_licences(licences: dict[str, str]) -> Iterator[str]:
    """Licences outside the list. What is not installed on this platform is not judged."""
    for name, text in licences.items():
        if text and not ALLOWED.search(text):
            yield f"{name}: licence {text!r} is not on the list of {Path(__file__).name}"


def render_sbom(pins: list[Pin], licences: dict[str, str]) -> bytes:
    """A CycloneDX document; the same bytes for the same lock."""
    components = [
        {
            "type": "library",
            "bom-ref": f"pkg:pypi/{pin.name}@{pin.version}",
            "name": pin.name,
            "version": pin.version,
            "purl": f"pkg:pypi/{pin.name}@{pin.version}",
            "licenses": [{"license": {"name": licences[pin.name]}}] if licences[pin.name] else [],
            "properties": [
                {"name": "andon:wheel-sha256", "value": value} for value in sorted(pin.hashes)
            ],
        }
        for pin in sorted(pins, key=lambda pin: (pin.name, pin.version))
    ]
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "application", "name": "andon-node"}},
        "components": components,
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"


class Vulnerability(msgspec.Struct, frozen=True):
    """One entry of the database."""

    id: str
    fix_versions: list[str] = []


class Answer(msgspec.Struct, frozen=True):
    """What `pip-audit` says of one pin; a pin that it could not ask for has a reason."""

    name: str
    version: str = ""
    skip_reason: str = ""
    vulns: list[Vulnerability] = []


class Answers(msgspec.Struct, frozen=True):
    """All that it says."""

    dependencies: list[Answer]


def ask_database(find: Callable[[], list[str]] | None = None, lock: Path = ROOT / LOCK) -> bool:
    """Ask a vulnerability database; True if it knows one. Says plainly what was not asked."""
    tool = (find or find_pip_audit)()
    if not tool:
        print(f"{NOT_ASKED} pip-audit is not installed (pip install pip-audit, or uvx)")
        return False
    command = [*tool, *PIP_AUDIT_OPTIONS, "-r", str(lock)]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=ASK_S)
    except subprocess.TimeoutExpired:
        print(f"{NOT_ASKED} no answer within {ASK_S:.0f} s")
        return False
    try:
        found = msgspec.json.decode(done.stdout, type=Answers).dependencies
    except msgspec.MsgspecError:
        last = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
        print(f"{NOT_ASKED} {last[:200]}")
        return False
    return judge_answers(found)


def judge_answers(found: list[Answer]) -> bool:
    """Print what the database knows; True if that is a vulnerability.

    A mirror without a database answers nothing for each pin, and `pip-audit` calls that clean.
    """
    asked = [answer for answer in found if not answer.skip_reason]
    known = [answer for answer in asked if answer.vulns]
    for answer in known:
        for vulnerability in answer.vulns:
            fixed = ", ".join(vulnerability.fix_versions) or "nothing yet"
            print(f"{answer.name} {answer.version}: {vulnerability.id}, fixed in {fixed}")
    if not asked:
        print(f"{NOT_ASKED} the database knows none of {len(found)} pins: a mirror without one?")
        return False
    print(
        f"audit: the database was asked about {len(asked)} of {len(found)} pins, "
        f"{len(known)} have vulnerabilities"
    )
    return bool(known)


def find_pip_audit() -> list[str]:
    """The command that runs it here: a module of this Python, a program, or `uvx`; empty if none.

    `uvx` downloads it from the package index that is configured.
    """
    if importlib.util.find_spec("pip_audit") is not None:
        return [sys.executable, "-m", "pip_audit"]
    program = shutil.which("pip-audit")
    if program is not None:
        return [program]
    runner = shutil.which("uvx")
    return [] if runner is None else [runner, "pip-audit"]


if __name__ == "__main__":
    sys.exit(main())

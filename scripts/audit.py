"""Look at what we depend on: security floors, licences, and a bill of materials.

Run by `make audit`. Reads the lock of the image and the metadata of what is installed; writes
`out/sbom.json` (CycloneDX 1.6). Exits 1 for a version below a floor, a pin without a hash, or a
licence that nobody has allowed. Asks a vulnerability database only if `pip-audit` is installed.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parent.parent
LOCK = "docker/requirements.lock"
SBOM = "out/sbom.json"

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


def ask_database() -> bool:
    """Run pip-audit if it is there; True if it finds something."""
    tool = shutil.which("pip-audit")
    if tool is None:
        print("audit: vulnerabilities not asked for, pip-audit is not installed")
        return False
    command = [tool, "--require-hashes", "--disable-pip", "-r", str(ROOT / LOCK)]
    return subprocess.run(command, check=False).returncode != 0


if __name__ == "__main__":
    sys.exit(main())

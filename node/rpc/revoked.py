"""Client certificates that open no door any more, though their authority signed them.

A text file, one certificate a line: the SHA-256 fingerprint (64 hex digits), or the serial number
as the authority's records have it (at most 40). Colons and what follows a `#` do not count. It is
a list and no CRL, because a CRL that ran out would lock everybody out, and because a fingerprint
can be listed by an operator who is not the authority.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from andon.core.errors import Code, InvalidInput

FILE_BYTES_MAX = 1024 * 1024
LINES_MAX = 10_000
FINGERPRINT_DIGITS = 64
SERIAL_DIGITS_MAX = 40
"""RFC 5280 4.1.2.2: a serial number has at most 20 octets."""

_HEX = re.compile(r"[0-9a-f]+\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Revoked:
    """What is listed, in lower-case hex; serials without leading zeros."""

    fingerprints: frozenset[str] = frozenset()
    serials: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.fingerprints or self.serials)

    def names(self, transport: asyncio.BaseTransport) -> bool:
        """Tell whether the certificate that a connection came with is listed."""
        if not self:
            return False
        identity = fingerprint(transport)
        if not identity:
            return False
        found = transport.get_extra_info("ssl_object").getpeercert() or {}
        serial = str(found.get("serialNumber", "")).lower().lstrip("0")
        return identity in self.fingerprints or serial in self.serials


def fingerprint(transport: asyncio.BaseTransport | None) -> str:
    """SHA-256 of the certificate that a connection came with, in hex; "" if it came with none."""
    tls = None if transport is None else transport.get_extra_info("ssl_object")
    der = None if tls is None else tls.getpeercert(binary_form=True)
    return hashlib.sha256(der).hexdigest() if der else ""


def load_revoked(path: Path) -> Revoked:
    """Read a list.

    Raises:
        InvalidInput: BAD_CONFIG with the line that is none.
    """
    try:
        with path.open("rb") as file:
            text = file.read(FILE_BYTES_MAX + 1).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(Code.BAD_CONFIG, f"cannot read {path}: {error}") from None
    lines = text.splitlines()
    if len(text) > FILE_BYTES_MAX or len(lines) > LINES_MAX:
        raise InvalidInput(
            Code.BAD_CONFIG, f"{path}: at most {LINES_MAX} lines, {FILE_BYTES_MAX} bytes"
        )
    fingerprints, serials = set(), set()
    for number, line in enumerate(lines, start=1):
        digits = line.partition("#")[0].strip().replace(":", "").lower()
        if not digits:
            continue
        if not _HEX.match(digits) or SERIAL_DIGITS_MAX < len(digits) != FINGERPRINT_DIGITS:
            raise InvalidInput(
                Code.BAD_CONFIG,
                f"{path}, line {number}: {digits[:80]!r} names no certificate",
                hint="a SHA-256 fingerprint or a serial number in hex: openssl x509 -noout "
                "-fingerprint -sha256 -serial -in FILE",
            )
        if len(digits) == FINGERPRINT_DIGITS:
            fingerprints.add(digits)
        else:
            serials.add(digits.lstrip("0"))
    return Revoked(frozenset(fingerprints), frozenset(serials))

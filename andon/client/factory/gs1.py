"""GS1 keys: one text for one thing, whichever way it was written.

The ledger's id of an item is its Digital Link path, `01/09506000134352/21/A7`. EPC URNs, Digital
Link URIs of any domain and scans all lead to it. Check digits are checked. Ids outside GS1 stay as
they are, which EPCIS allows.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from andon.core.errors import Code, InvalidInput, Misuse

CANONICAL_DOMAIN: Final = "https://id.gs1.org/"
IDENTIFIER_LENGTH_MAX: Final = 128
_KEYS: Final = {"01": 14, "00": 18, "414": 13, "417": 13, "8003": 0, "8004": 0, "253": 0, "255": 0}
"""Primary keys that items, places and assets have here, with their length where it is fixed."""

_QUALIFIERS: Final = {"01": ("22", "10", "21"), "414": ("254",)}
_URN: Final = re.compile(
    r"urn:epc:(id|class|idpat):([a-z]+):([0-9]+)\.([^.]*)(?:\.(.+))?\Z", re.ASCII
)


def check_digit(digits: str) -> str:
    """The check digit that follows these digits: weights 3 and 1 from the right."""
    total = sum(int(digit) * (3, 1)[place % 2] for place, digit in enumerate(reversed(digits)))
    return str(-total % 10)


def path_of(identifier: str) -> str:
    """The ledger's id of an EPC URN, a Digital Link URI or a path; other ids stay as they are.

    Raises:
        InvalidInput: MALFORMED for a wrong check digit or a key that is no key.
    """
    if not 0 < len(identifier) <= 512 or not identifier.isascii():
        raise _bad(identifier, "ids are ASCII text of 1 to 512 characters")
    if identifier.startswith("urn:epc:"):
        found = _from_urn(identifier)
    elif identifier.startswith(("http://", "https://")):
        found = _from_path(urlsplit(identifier).path) or identifier
    else:
        found = _from_path(identifier) or identifier
    if len(found) > IDENTIFIER_LENGTH_MAX:
        raise _bad(identifier, f"an id has at most {IDENTIFIER_LENGTH_MAX} characters")
    return found


def uri_of(path: str) -> str:
    """The canonical Digital Link URI of a path; ids that are no path stay as they are."""
    return CANONICAL_DOMAIN + path if _from_path(path) == path else path


def scan(text: str) -> str:
    """The id in what a scanner read: a QR code's Digital Link, or a GS1 element string.

    Raises:
        InvalidInput: MALFORMED. Misuse: BAD_CONFIG without the extra `gs1`.
    """
    try:
        from biip import ParseError, parse  # noqa: PLC0415 - an extra: nodes have no scanner
    except ImportError:
        raise Misuse(
            Code.BAD_CONFIG, "biip is not installed", hint="pip install 'andon[gs1]'"
        ) from None
    try:
        found = parse(text)
    except ParseError as error:
        raise _bad(text, str(error)) from None
    source = found.gs1_digital_link_uri or found.gs1_message
    if source is None:
        raise _bad(text, "neither a Digital Link nor a GS1 message")
    for element in source.element_strings:
        wrong = element.gtin_error or element.gln_error or element.sscc_error
        if wrong:
            raise _bad(text, wrong)
    values = {element.ai.ai: element.value for element in source.element_strings}
    primary = next((ai for ai in values if ai in _KEYS), None)
    if primary is None:
        raise _bad(text, "no key of an item, a place or an asset in it")
    return _joined(text, primary, values)


def _joined(text: str, primary: str, values: dict[str, str]) -> str:
    chosen = [primary, _key(text, primary, values[primary])]
    for qualifier in _QUALIFIERS.get(primary, ()):
        if qualifier in values:
            chosen += [qualifier, quote(values[qualifier], safe="")]
    return "/".join(chosen)


def _from_path(path: str) -> str | None:
    """The last key of a path with its qualifiers; None if there is none."""
    parts = [part for part in path.split("/") if part]
    for place in range(len(parts) - 1):
        if parts[place] in _KEYS:
            rest = parts[place:]
            if len(rest) % 2:
                return None
            values = {rest[i]: unquote(rest[i + 1]) for i in range(0, len(rest), 2)}
            known = (rest[0], *_QUALIFIERS.get(rest[0], ()))
            return _joined(path, rest[0], values) if all(ai in known for ai in values) else None
    return None


def _key(text: str, primary: str, value: str) -> str:
    length = _KEYS[primary]
    if not length:
        return quote(value, safe="")
    digits = value.rjust(length, "0") if primary == "01" else value
    if not digits.isdigit() or len(digits) != length:
        raise _bad(text, f"the key ({primary}) has {length} digits")
    if check_digit(digits[:-1]) != digits[-1]:
        raise _bad(text, f"the check digit of {digits} is {check_digit(digits[:-1])}")
    return digits


def _from_urn(urn: str) -> str:
    match = _URN.match(urn)
    if match is None:
        return urn
    kind, scheme, prefix, middle, last = match.groups()
    serial = quote(unquote(last or ""), safe="")
    if scheme in ("sgtin", "lgtin") and middle[:1].isdigit():
        digits = middle[0] + prefix + middle[1:]
        if len(digits) != 13 or not digits.isdigit():
            raise _bad(urn, "company prefix and item reference have 13 digits together")
        gtin = f"01/{digits}{check_digit(digits)}"
        if kind == "idpat" and last == "*":
            return gtin
        return f"{gtin}/{'21' if scheme == 'sgtin' else '10'}/{serial}"
    if scheme == "sscc" and middle[:1].isdigit():
        digits = middle[0] + prefix + middle[1:]
        if len(digits) != 17 or not digits.isdigit():
            raise _bad(urn, "company prefix and serial reference have 17 digits together")
        return f"00/{digits}{check_digit(digits)}"
    if scheme == "sgln":
        digits = prefix + middle
        if len(digits) != 12 or not digits.isdigit():
            raise _bad(urn, "company prefix and location reference have 12 digits together")
        place = f"414/{digits}{check_digit(digits)}"
        return place if last in (None, "0") else f"{place}/254/{serial}"
    if scheme == "giai":
        rest = middle if last is None else f"{middle}.{last}"
        return f"8004/{quote(prefix + unquote(rest), safe='')}"
    if scheme == "grai":
        digits = prefix + middle
        if len(digits) != 12 or not digits.isdigit():
            raise _bad(urn, "company prefix and asset type have 12 digits together")
        return f"8003/0{digits}{check_digit(digits)}{serial}"
    return urn


def _bad(text: str, reason: str) -> InvalidInput:
    return InvalidInput(
        Code.MALFORMED, f"{text[:80]!r} is no GS1 key: {reason}", hint="see docs/factory.md"
    )

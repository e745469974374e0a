"""One id for one thing, however it was written."""

from __future__ import annotations

import pytest

from andon.client.factory.gs1 import check_digit, path_of, scan, uri_of
from andon.core.errors import InvalidInput

ITEM = "01/09506000134352/21/A7"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("https://id.gs1.org/01/09506000134352/21/A7", ITEM),
        ("https://shop.example/de/01/9506000134352/21/A7?17=261231", ITEM),
        ("urn:epc:id:sgtin:950600.0013435.A7", ITEM),
        ("urn:epc:id:sgtin:9506000.013435.A7", ITEM),
        (ITEM, ITEM),
        ("urn:epc:class:lgtin:9506000.013435.L%2F1", "01/09506000134352/10/L%2F1"),
        ("https://id.gs1.org/01/09506000134352/10/L%2F1", "01/09506000134352/10/L%2F1"),
        ("urn:epc:idpat:sgtin:9506000.013435.*", "01/09506000134352"),
        ("urn:epc:id:sscc:9506000.1345678901", "00/195060003456789012"),
        ("urn:epc:id:sgln:9506000.00001.0", "414/9506000000015"),
        ("urn:epc:id:sgln:9506000.00001.dock3", "414/9506000000015/254/dock3"),
        ("urn:epc:id:giai:9506000.press4", "8004/9506000press4"),
        ("urn:epc:id:grai:9506000.00001.77", "8003/0950600000001577"),
        ("urn:uuid:6a2a2b1e-0000-4000-8000-000000000001", None),
        ("https://plant.example/machines/4", None),
    ],
)
def test_every_writing_leads_to_one_path(text: str, path: str | None) -> None:
    assert path_of(text) == (text if path is None else path)


def test_the_path_and_its_uri_are_each_others_inverse() -> None:
    for path in (ITEM, "01/09506000134352/10/L%2F1", "414/9506000000015"):
        assert path_of(uri_of(path)) == path
    assert uri_of("urn:uuid:1") == "urn:uuid:1"


@pytest.mark.parametrize(
    "text",
    [
        "https://id.gs1.org/01/09506000134351/21/A7",
        "urn:epc:id:sgtin:950600.13435.A7",
        "00/195060003456789013",
        "https://id.gs1.org/01/95060001343x2/21/A7",
        "",
        "é",
        "https://id.gs1.org/01/09506000134352/21/" + "x" * 200,
    ],
)
def test_wrong_keys_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="MALFORMED"):
        path_of(text)


@pytest.mark.parametrize(
    ("digits", "check"), [("950600013435", "2"), ("629104150021", "3"), ("00000000000", "0")]
)
def test_the_check_digit_is_that_of_gs1(digits: str, check: str) -> None:
    assert check_digit(digits) == check


def test_scans_of_qr_codes_and_bar_codes_give_the_same_id() -> None:
    assert scan("https://shop.example/01/09506000134352/21/A7?17=261231") == ITEM
    assert scan("]Q3010950600013435221A7") == ITEM


@pytest.mark.parametrize("text", ["hello", "https://id.gs1.org/01/09506000134351/21/A7", "]Q3"])
def test_scans_of_something_else_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="MALFORMED"):
        scan(text)

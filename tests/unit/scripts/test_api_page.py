"""The page of the RPC is that of the method table."""

from pathlib import Path

from node.rpc.methods import TABLE
from scripts import api_page


def test_every_method_has_a_section_with_its_path_and_parameters() -> None:
    page = api_page.render()
    for method in TABLE:
        start = page.index(f"### `{method.name}`\n")
        section = page[start : page.index("\n##", start + 1)]
        assert f"`{method.verb} /v1{method.path}`" in section
        for name in method.params.__struct_fields__:
            assert f"\n| `{name}` | " in section


def test_every_type_that_is_linked_has_a_heading(tmp_path: Path) -> None:
    from scripts.check_docs import check_page, read_page

    path = tmp_path / "api.md"
    path.write_text(api_page.render(), encoding="utf-8")
    (tmp_path / "errors.md").write_text("# Errors\n", encoding="utf-8")
    assert list(check_page(read_page(path))) == []
    assert "[ReceiptReply](#receiptreply)" in path.read_text(encoding="utf-8")


def test_limits_and_defaults_are_shown() -> None:
    page = api_page.render()
    assert "| `timeout_ms` | integer, at least 0, at most 60000 | `15000` |" in page
    assert '| `wait` | `"accepted"`, `"final"`, `"none"` | `"accepted"` |' in page


def test_another_page_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    assert len(list(api_page.findings(tmp_path))) == 1
    (tmp_path / api_page.PAGE).write_text(api_page.render(), encoding="utf-8")
    assert list(api_page.findings(tmp_path)) == []

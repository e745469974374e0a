"""The documentation checker finds each kind of mistake, and only mistakes."""

from pathlib import Path

import pytest

from andon.core.errors import Code
from scripts import check_docs, errors_page


def page(tmp_path: Path, text: str) -> check_docs.Page:
    path = tmp_path / "page.md"
    path.write_text(text, encoding="utf-8")
    return check_docs.read_page(path)


def findings(tmp_path: Path, text: str) -> list[str]:
    return list(check_docs.check_page(page(tmp_path, text)))


def test_good_page_has_no_findings(tmp_path: Path) -> None:
    text = (
        "# One title\n\nSee [it](#one-title), [out](https://example.org/x) and [me](page.md).\n"
        "Run `make test`; read `scripts/tidy.py::main`. `SIGN_REFUSED` (604) is a code.\n"
        "`cometbft_consensus_height` grows.\n"
    )
    assert findings(tmp_path, text) == []


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("[gone](missing.md)", "no such file"),
        ("[gone](#no-such-heading)", "no such heading"),
        ("[gone](../../../../../../../outside.md)", "leaves the repository"),
        ("run `make nonsense` now", "make nonsense: no such target"),
        ("`NO_SUCH_CODE` (604) came back", "error code NO_SUCH_CODE does not exist"),
        ("`SIGN_REFUSED` (605) came back", "error code SIGN_REFUSED is 604, not 605"),
        ("set `QUITE_UNKNOWN_" + "NAME` to 1", "neither an error code nor a name"),
        ("read `scripts/no_such_script.py`", "no such file"),
        ("see `scripts/tidy.py::no_such`", "no such function in the file"),
        ("watch `andon_no_such_metric`", "is no metric of a node"),
        ("try `andon upwards`", "no verb upwards"),
        ("try `andon up --sideways`", "no option --sideways"),
        ("try `andon --sideways up`", "no option --sideways"),
        ("try `andon keys forget`", "no verb forget"),
    ],
)
def test_mistake_is_found_with_its_line(tmp_path: Path, line: str, part: str) -> None:
    found = findings(tmp_path, f"# Title\n\n{line}\n")
    assert [item for item in found if part in item]
    assert all(item.startswith("page.md:3: ") for item in found)


def test_verbs_and_options_that_there_are_pass() -> None:
    for command in (
        "andon up --validators 4 --detach",
        "andon --home DIR status --help",
        "andon status | grep height",
        "andon VERB --help",
        "andon --version",
        "python -m andon_other --nonsense",
    ):
        assert list(check_docs.check_verbs(command)) == []


def test_links_inside_code_are_not_links(tmp_path: Path) -> None:
    assert findings(tmp_path, "`[a](b.md)`\n\n```text\n[a](b.md)\n```\n") == []


def test_make_targets_in_blocks_are_checked(tmp_path: Path) -> None:
    found = findings(tmp_path, "```console\n$ make nonsense\n```\n")
    assert found == ["page.md:2: make nonsense: no such target"]


def test_second_heading_of_one_name_gets_a_number(tmp_path: Path) -> None:
    path = page(
        tmp_path, "# `andon up`: start!\n\n## Same\n\n## Same\n\n```\n# no heading\n```\n"
    ).path
    assert check_docs.anchors(path) == {"andon-up-start", "same", "same-1"}


def test_blocks_know_their_line_language_and_mark(tmp_path: Path) -> None:
    text = "text\n\n<!-- run -->\n```python\nprint(1)\nprint(2)\n```\n\n```console\n$ ls\n```\n"
    first, second = page(tmp_path, text).blocks
    assert (first.language, first.line, first.text) == ("python", 5, "print(1)\nprint(2)\n")
    assert first.is_runnable
    assert (second.language, second.line, second.is_runnable) == ("console", 10, False)


def test_longer_fence_holds_a_shorter_one(tmp_path: Path) -> None:
    (block,) = page(tmp_path, "````text\n```python\nx\n```\n````\n").blocks
    assert block.text == "```python\nx\n```\n"


def test_only_python_and_console_can_be_run(tmp_path: Path) -> None:
    found = findings(tmp_path, "<!-- run -->\n```toml\na = 1\n```\n")
    assert found == ["page.md:3: only python and console blocks can be run"]


def run(tmp_path: Path, language: str, text: str) -> list[str]:
    read = page(tmp_path, f"<!-- run -->\n```{language}\n{text}\n```\n")
    return list(check_docs.run_block(read, read.blocks[0]))


def test_python_block_that_works_is_silent(tmp_path: Path) -> None:
    assert run(tmp_path, "python", "from andon.core.errors import Code\nassert Code(604)") == []


def test_python_block_that_raises_is_found(tmp_path: Path) -> None:
    (found,) = run(tmp_path, "python", "raise SystemExit(3)")
    assert found.startswith("page.md:3: the block fails with 3")


def test_console_output_must_match_and_dots_stand_for_anything(tmp_path: Path) -> None:
    assert run(tmp_path, "console", "$ echo one two three\none ... three\n$ true") == []
    (found,) = run(tmp_path, "console", "$ echo one\ntwo")
    assert "prints something else" in found


def test_console_command_that_fails_is_found_and_ends_the_block(tmp_path: Path) -> None:
    (found,) = run(tmp_path, "console", "$ exit 7\n$ exit 8")
    assert "`exit 7` fails with 7" in found


def test_console_command_may_go_on_in_the_next_line() -> None:
    assert check_docs.console_steps("$ echo a \\\n  b\na b\n") == [("echo a  b", "a b")]


def test_block_that_never_ends_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_docs, "BLOCK_TIMEOUT_S", 0.2)
    (found,) = run(tmp_path, "console", "$ sleep 5")
    assert "fails with 124" in found


def test_every_code_has_a_group_and_a_text_on_the_page() -> None:
    texts = errors_page.read_texts(errors_page.ROOT)
    rendered = errors_page.render(texts)
    assert [code.name for code in Code if f"### `{code.name}` ({code.value})" not in rendered] == []


def test_texts_and_codes_that_do_not_fit_are_findings(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    texts = '[SIGN_REFUSED]\nmeans = "m"\ndo = "d"\n[NOT_A_CODE]\nmeans = "m"\ndo = "d"\n'
    (tmp_path / errors_page.TEXTS).write_text(texts, encoding="utf-8")
    found = list(errors_page.findings(tmp_path))
    assert f"{errors_page.TEXTS}:1: no text for BAD_VOTE" in found
    assert f"{errors_page.TEXTS}:1: a text for NOT_A_CODE, which is no code" in found
    assert not [item for item in found if "no text for SIGN_REFUSED" in item]
    assert found[-1].startswith(f"{errors_page.PAGE}:1: not what the catalogue gives")


def test_no_page_names_what_is_not_there() -> None:
    assert check_docs.main(["--no-run"]) == 0

"""The operator's guide lists the settings that there are, with their defaults."""

import re
from pathlib import Path

import msgspec

from node.config import Config

PAGE = Path(__file__).resolve().parents[3] / "docs/operator.md"
ROW = re.compile(r"^\| `([a-z0-9_]+)` \| (.+?) \| .+ \|$", re.MULTILINE)


def test_every_setting_stands_in_the_guide_with_its_default() -> None:
    text = PAGE.read_text(encoding="utf-8")
    section = text[text.index("\n## Configuration") : text.index("\n## Monitor")]
    shown = dict(ROW.findall(section))
    defaults = msgspec.to_builtins(Config())
    for name, value in defaults.items():
        expected = "empty" if value == {} else f"`{msgspec.json.encode(value).decode()}`"
        assert shown.get(name) == expected, name
    assert set(shown) == set(defaults)
